#include "apps/mbtrain/bench_tools.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <unordered_set>

namespace mbt {
namespace {

uint32_t next_random(uint32_t& state) { return state = state * 1664525U + 1013904223U; }

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double seconds_per_call(Backend& backend, const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  constexpr int kMinBatches = 3, kMaxCalls = 500;
  constexpr double kBatchSeconds = 5e-3, kTotalSeconds = 0.15;
  const auto timed = [&](int calls) {
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) call();
    backend.synchronize();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  timed(1);
  const int calls = static_cast<int>(std::clamp(kBatchSeconds / timed(1), 1.0, static_cast<double>(kMaxCalls)));
  double best = std::numeric_limits<double>::infinity(), total = 0;
  for (int batch = 0; batch < kMinBatches || total < kTotalSeconds; ++batch) {
    const double seconds = timed(calls);
    best = std::min(best, seconds / calls);
    total += seconds;
  }
  return best;
}

BenchTensor random_tensor(Backend& backend, DType dtype, const Shape& shape) {
  constexpr int64_t kPiece = int64_t{1} << 20;  // made once on the host, then repeated
  BenchTensor t(backend, dtype, shape);
  const int64_t n = shape.size(), piece = std::min(n, kPiece);
  std::vector<float> values(static_cast<size_t>(piece));
  uint32_t state = 1;
  for (float& x : values) x = static_cast<float>(static_cast<int32_t>(next_random(state))) * 0x1p-31F;
  const BenchTensor staging(backend, DType::f32, {piece});
  backend.upload(values.data(), staging);
  for (int64_t first = 0; first < n; first += piece) {
    const int64_t count = std::min(piece, n - first);
    backend.cast({.src = ConstTensorView(staging.view().data, DType::f32, {count}),
                  .dst = TensorView(static_cast<char*>(t.view().data) + first * size_of(dtype), dtype, {count})});
  }
  backend.synchronize();
  return t;
}

BenchTensor random_indices(Backend& backend, int64_t n, int64_t limit, int64_t* distinct) {
  BenchTensor t(backend, DType::i32, {n});
  std::vector<int32_t> values(static_cast<size_t>(n));
  uint32_t state = 7;
  for (int32_t& x : values) x = static_cast<int32_t>((next_random(state) >> 4) % static_cast<uint32_t>(limit));
  if (distinct != nullptr) *distinct = static_cast<int64_t>(std::unordered_set<int32_t>(values.begin(), values.end()).size());
  backend.upload(values.data(), t);
  backend.synchronize();
  return t;
}

BenchQuantTensor::BenchQuantTensor(Backend& backend, const QuantSpec& spec, int64_t rows, int64_t cols, bool with_columns,
                                   bool transposed) {
  view_.spec = spec;
  view_.rows = rows;
  view_.cols = cols;
  view_.rowwise = allocate(backend, false);
  if (with_columns) view_.columnwise = spec.columnwise_shares_codes() && !transposed ? view_.rowwise : allocate(backend, true);
  view_.columnwise.is_transposed = with_columns && transposed;
  if (spec.scaling == QuantScaling::delayed) {
    const float one = 1.0F;
    auto* const scale = static_cast<float*>(block(backend, sizeof one));
    backend.upload(&one, TensorView(scale, DType::f32, {1}));
    view_.scale = scale;
    view_.amax = static_cast<float*>(block(backend, sizeof one));
    backend.synchronize();
  }
}

void* BenchQuantTensor::block(Backend& backend, int64_t bytes) { return parts_.emplace_back(backend, static_cast<size_t>(bytes)).data(); }

QuantCopy BenchQuantTensor::allocate(Backend& backend, bool is_columnwise) {
  const QuantCopyShape shape = quant_copy_shape(view_.spec, view_.rows, view_.cols, is_columnwise);
  QuantCopy copy;
  copy.codes = block(backend, shape.codes_bytes);
  copy.scale_inv = block(backend, shape.scale_bytes);
  if (view_.spec.scaling == QuantScaling::nvfp4) copy.global_amax = static_cast<float*>(block(backend, sizeof(float)));
  bytes_ += shape.codes_bytes + shape.scale_bytes;
  return copy;
}

}  // namespace mbt
