// Sums in the order of ranks: the host's bits, on aligned and unaligned tensors.
#include "kernels/cuda/nccl/rank_sums.h"

#include "kernels/cuda/runtime/graph.h"
#include "tests/support/catch.h"
#include "tests/support/collective_cases.h"

namespace mbt::test::rank_sums_test {

namespace {

void finish(const cuda::Stream& stream) { cuda::check(cudaStreamSynchronize(stream.get()), "waiting"); }

}  // namespace

TEST_CASE("parts are added in f32 in the order of ranks and rounded once") {
  const cuda::Stream stream;
  for (DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (int ranks : {1, 2, 7})
      for (int rank : {0, ranks - 1})
        for (const auto& [n, stride] : {std::pair<int64_t, int64_t>{1, 1}, {1024, 1024}, {1019, 1024}, {1019, 1019}})
          for (bool is_in_place : {false, true}) {
            CAPTURE(name_of(dtype), ranks, rank, n, stride, is_in_place);
            std::vector<GuardedTensor> parts;
            GuardedTensor received(dtype, {ranks, stride}), out(dtype, {n}), want(dtype, {n});
            for (int r = 0; r < ranks; ++r) {
              parts.push_back(given_by(r, dtype, n));
              for (int64_t i = 0; i < n; ++i)  // its own row counts for nothing
                received.set(r * stride + i, r == rank ? NAN : parts.back().at(i));
            }
            want.fill([&](int64_t i) { return sum_of(parts, i, 0.3f, dtype, false); });
            GuardedTensor own = parts[static_cast<size_t>(rank)];
            GuardedTensor& result = is_in_place ? own : out;
            cuda::launch_sum_ranks({own.view().data, received.view().data, stride, rank, ranks}, 0.3f, result, stream.get());
            finish(stream);
            CHECK(result.same_bits(want));
          }
}

TEST_CASE("a factor alone scales in place") {
  const cuda::Stream stream;
  GuardedTensor x = given_by(0, DType::f16, 777), want(DType::f16, {777});
  want.fill([&](int64_t i) { return static_cast<double>(static_cast<float>(x.at(i)) * 0.7f); });
  cuda::launch_sum_ranks({x.view().data, nullptr, 0, 0, 1}, 0.7f, x, stream.get());
  finish(stream);
  CHECK(x.same_bits(want));
}

TEST_CASE("f64 and i32 parts, sums and maxima; a maximum passes over NaN") {
  const cuda::Stream stream;
  GuardedTensor own(DType::f64, {2}), received(DType::f64, {3, 2});
  own.set(0, NAN), own.set(1, 1e-17);
  for (int r = 0; r < 3; ++r) received.set(2 * r, r == 0 ? -3.0 : -2.0), received.set(2 * r + 1, r == 0 ? 1.0 : -1.0);
  const cuda::RankParts parts{own.view().data, received.view().data, 2, 1, 3};
  GuardedTensor sums(DType::f64, {2}), maxima(DType::f64, {2});
  cuda::launch_combine_ranks(parts, ReduceOp::sum, sums, stream.get());
  cuda::launch_combine_ranks(parts, ReduceOp::max, maxima, stream.get());
  finish(stream);
  CHECK(std::isnan(sums.at(0)));
  CHECK(sums.at(1) == (1.0 + 1e-17) - 1.0);  // in this order: 0
  CHECK(maxima.at(0) == -2.0);
  CHECK(maxima.at(1) == 1.0);

  std::vector<int32_t, TestAllocator<int32_t>> x{5, -7}, others{1, -9, 0, 0};
  cuda::launch_combine_ranks({x.data(), others.data(), 2, 1, 2}, ReduceOp::max, TensorView(x.data(), DType::i32, {2}), stream.get());
  cuda::launch_combine_ranks({x.data(), others.data(), 2, 1, 2}, ReduceOp::sum, TensorView(x.data(), DType::i32, {2}), stream.get());
  finish(stream);
  CHECK(x[0] == 6);
  CHECK(x[1] == -16);
}

}  // namespace mbt::test::rank_sums_test
