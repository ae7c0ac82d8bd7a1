// Collectives where the host reaches the tensors: the contract of core/comm, for one to five ranks on threads.
#include "core/comm/gather.h"
#include "core/comm/host_collectives.h"
#include "tests/support/catch.h"
#include "tests/support/collective_cases.h"
#include "tests/support/thread_world.h"

namespace mbt::test::collectives_test {
namespace {

constexpr int64_t kMoreThanAChunk = (1 << 18) + 37;  // HostCollectives exchanges 2^18 elements at a time

TEST_CASE("the host's collectives keep their contract on one to five ranks, out of place and in place") {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    CAPTURE(ranks);
    CHECK(run_threads(ranks, [](World& world) {
            HostCollectives collectives(world);
            expect(collectives.rank() == world.rank() && collectives.ranks() == world.ranks(), "who it is");
            for (int64_t n : {1, 37, 1000}) check_collectives({collectives}, n);
          }) == nothing_thrown(ranks));
  }
}

TEST_CASE("tensors of more than one chunk") {
  CHECK(run_threads(2, [](World& world) {
          HostCollectives collectives(world);
          const Tested tested{collectives};
          check_reduce_scatter(tested, {DType::f32, kMoreThanAChunk, 0.5f, false, false});
          check_reduce_scatter(tested, {DType::bf16, kMoreThanAChunk, 1.0f / 3, true, true});
          for (bool is_in_place : {false, true}) check_all_gather<uint64_t>(tested, DType::f64, kMoreThanAChunk, is_in_place);
          check_all_reduce<int32_t>(tested, DType::i32, kMoreThanAChunk, ReduceOp::sum);
        }) == nothing_thrown(2));
}

TEST_CASE("calls are done in order, and wait() covers all before its own") {
  CHECK(run_threads(3, [](World& world) {
          HostCollectives collectives(world);
          float value = 1, gathered[3] = {};
          const TensorView t(&value, DType::f32, {1});
          for (Collectives::Ticket call = 1; call <= 10; ++call) expect(collectives.all_reduce({.t = t}) == call, "tickets count from 1");
          collectives.wait(collectives.all_gather({.in = t, .out = TensorView(gathered, DType::f32, {3})}));
          for (float g : gathered) expect(g == 59049.0f, fmt::format("three ranks, ten sums: {}, expected 3 to the 10th", g));
        }) == nothing_thrown(3));
}

TEST_CASE("what is exchanged meanwhile does not meet what was posted") {
  CHECK(run_threads(3, [](World& world) {
          HostCollectives collectives(world);
          std::vector<float> big(3 * 100000, static_cast<float>(world.rank())), out(100000);
          const auto ticket = collectives.reduce_scatter(
              {.in = ConstTensorView(big.data(), DType::f32, {300000}), .out = TensorView(out.data(), DType::f32, {100000})});
          for (int i = 0; i < 100; ++i)
            expect(gather_texts(world, fmt::format("{}#{}", world.rank(), i)) ==
                       std::vector{fmt::format("0#{}", i), fmt::format("1#{}", i), fmt::format("2#{}", i)},
                   "texts");
          expect(broadcast_text(world, fmt::format("from {}", world.rank()), 2) == "from 2", "broadcast");
          collectives.wait(ticket);
          expect(out == std::vector<float>(100000, 3.0f), "sum");
        }) == nothing_thrown(3));
}

TEST_CASE("a rank that is gone ends the others' waiting, with an error") {
  const std::vector<std::string> thrown = run_threads(3, [](World& world) {
    HostCollectives collectives(world);
    float x = 1;
    const TensorView t(&x, DType::f32, {1});
    collectives.wait(collectives.all_reduce({.t = t}));
    if (world.rank() == 1) throw Error("out of luck");
    collectives.wait(collectives.all_reduce({.t = t}));
  });
  CHECK(thrown[1] == "out of luck");
  for (size_t r : {0U, 2U}) CHECK_THAT(thrown[r], ContainsSubstring(" has ended"));
}

/// One rank, whose n-th gather fails.
class FailingWorld final : public World {
 public:
  explicit FailingWorld(int failing) : left_(failing) {}
  const RankPlace& place() const override { return place_; }
  std::string name() const override { return "a world that fails"; }
  void all_gather(const void* mine, size_t bytes, void* all) override {
    if (--left_ == 0) throw Error("the cable is out");
    std::memcpy(all, mine, bytes);
  }
  void all_to_all(const void* const*, void* const*, size_t) override {}
  void broadcast(void*, size_t, int) override {}
  void post(std::function<void()> job) override { job(); }
  [[noreturn]] void abort(int exit_code) noexcept override { std::_Exit(exit_code); }
  int left() const { return left_; }

 private:
  RankPlace place_;
  int left_;
};

TEST_CASE("what goes wrong in a call is thrown by wait(), and no later call is run") {
  FailingWorld world(2);
  HostCollectives collectives(world);
  float x = 1;
  const AllReduceArgs args{.t = TensorView(&x, DType::f32, {1})};
  const auto good = collectives.all_reduce(args);
  CHECK_NOTHROW(collectives.wait(good));
  const auto bad = collectives.all_reduce(args), later = collectives.all_reduce(args);
  CHECK_THROWS_WITH(collectives.wait(bad), "the cable is out");
  CHECK_THROWS_WITH(collectives.wait(later), "the cable is out");
  CHECK(world.left() == 0);
}

TEST_CASE("shapes and dtypes that do not fit are refused") {
  SingleWorld world;
  HostCollectives collectives(world);
  float x[4] = {};
  const auto view = [&](DType dtype, int64_t n) { return TensorView(x, dtype, {n}); };
  CHECK_THROWS_WITH(collectives.reduce_scatter({.in = view(DType::f32, 4), .out = view(DType::f32, 2)}), ContainsSubstring("1 ranks"));
  CHECK_THROWS_WITH(collectives.reduce_scatter({.in = view(DType::i32, 2), .out = view(DType::i32, 2)}), ContainsSubstring("in is"));
  CHECK_THROWS_WITH(collectives.all_gather({.in = view(DType::f32, 2), .out = view(DType::bf16, 2)}), ContainsSubstring("all_gather"));
  CHECK_THROWS_WITH(collectives.all_reduce({.t = view(DType::bf16, 2)}), ContainsSubstring("all_reduce"));
}

}  // namespace
}  // namespace mbt::test::collectives_test
