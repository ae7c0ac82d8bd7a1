#include "kernels/cuda/gemm/gemm_timing.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/gemm/gemm_kernels.h"

namespace mbt::cuda {
namespace {

constexpr int kWarmUps = 2, kRuns = 7;
constexpr double kNearlyEqual = 0.02;

int64_t to_256(int64_t bytes) { return (bytes + 255) / 256 * 256; }
int64_t bytes_of(const ProductMatrix& m) { return m.ld * m.cols * bits_of(m.type) / 8; }

/// Random bits of a word that stay, and bits that are set: values from 0.5 to 1 of either sign, all codes of four bits.
struct Pattern {
  uint32_t mask, set;
};
Pattern pattern_of(ElementType t) {
  const int64_t bits = bits_of(t);
  if (bits < 8) return {0xFFFFFFFF, 0};
  const FloatFormat f = t.is_codes() ? layout_of(t.format) : t.dtype == DType::f32 ? kFp32 : t.dtype == DType::bf16 ? kBf16 : kFp16;
  const uint32_t of_all = bits == 32 ? 1 : bits == 16 ? 0x10001 : 0x1010101;  // elements of the word
  const uint32_t sign = 1U << (bits - 1), mantissa = (1U << f.mantissa_bits) - 1,
                 half = static_cast<uint32_t>(f.bias - 1) << f.mantissa_bits;
  return {of_all * (sign | mantissa), of_all * half};
}
/// Ones.
Pattern pattern_of(ScaleMode m) {
  return {0, m == ScaleMode::vec32_ue8m0 ? 0x7F7F7F7F : m == ScaleMode::vec16_ue4m3 ? 0x38383838U : 0x3F800000U};
}

class Event {
 public:
  Event() { cuda::check(cudaEventCreate(&event_), "creating a CUDA event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Median of a candidate's runs in microseconds; negative: it cannot run.
double median_of(const std::function<bool()>& launch, cudaStream_t stream) {
  for (int i = 0; i < kWarmUps; ++i)
    if (!launch()) return -1;
  std::array<Event, kRuns + 1> marks;
  cuda::check(cudaEventRecord(marks[0].get(), stream), "timing a product");
  for (int i = 0; i < kRuns; ++i) {
    if (!launch()) return -1;
    cuda::check(cudaEventRecord(marks[static_cast<size_t>(i) + 1].get(), stream), "timing a product");
  }
  cuda::check(cudaEventSynchronize(marks.back().get()), "timing a product");
  std::array<float, kRuns> milliseconds{};
  for (size_t i = 0; i < kRuns; ++i) check(cudaEventElapsedTime(&milliseconds[i], marks[i].get(), marks[i + 1].get()), "timing a product");
  std::nth_element(milliseconds.begin(), milliseconds.begin() + kRuns / 2, milliseconds.end());
  return 1e3 * double{milliseconds[kRuns / 2]};
}

}  // namespace

TimingOperands::TimingOperands(const Product& like, int multiprocessors, cudaStream_t stream) : product_(like) {
  Product& p = product_;
  const int64_t d_bytes = p.m * p.n * bits_of(p.d_type) / 8;
  const int64_t first_scale = scale_bytes(p.first.scale_mode, p.m, p.k), second_scale = scale_bytes(p.second.scale_mode, p.n, p.k);
  const int64_t bias = p.bias == nullptr ? 0 : 4 * p.m, scalars = p.alpha_beta == nullptr ? 0 : 8;
  const int64_t sizes[] = {bytes_of(p.first), first_scale, bytes_of(p.second), second_scale, d_bytes, bias, scalars};
  int64_t total = 0;
  for (const int64_t size : sizes) total += to_256(size);
  cuda::check(cudaMalloc(&memory_, static_cast<size_t>(total)), fmt::format("operands to time products on: {} bytes", total));
  char* parts[std::size(sizes)];
  char* at = static_cast<char*>(memory_);
  for (size_t i = 0; i < std::size(sizes); ++i) parts[i] = std::exchange(at, at + to_256(sizes[i]));
  cuda::check(cudaMemsetAsync(parts[4], 0, static_cast<size_t>(total) - static_cast<size_t>(parts[4] - parts[0]), stream),
              "operands to time products on");
  p.first.data = parts[0], p.second.data = parts[2], p.d = parts[4];
  if (p.first.scale != nullptr) p.first.scale = parts[1];
  if (p.second.scale != nullptr) p.second.scale = parts[3];
  if (p.bias != nullptr) p.bias = parts[5];
  if (p.alpha_beta != nullptr) p.alpha_beta = reinterpret_cast<const float*>(parts[6]);
  fill(p.first, p.m, 1, multiprocessors, stream);
  fill(p.second, p.n, 2, multiprocessors, stream);
  if (p.alpha_beta != nullptr) launch_random_words(reinterpret_cast<uint32_t*>(parts[6]), 2, 0, 0, 0x3F800000, multiprocessors, stream);
}

void TimingOperands::fill(const ProductMatrix& m, int64_t outer, uint32_t seed, int multiprocessors, cudaStream_t stream) {
  const auto words = [&](const void* data, int64_t bytes, Pattern p) {
    auto* const out = static_cast<uint32_t*>(const_cast<void*>(data));  // ours
    launch_random_words(out, (bytes + 3) / 4, seed, p.mask, p.set, multiprocessors, stream);
  };
  words(m.data, bytes_of(m), pattern_of(m.type));
  if (m.scale != nullptr) words(m.scale, scale_bytes(m.scale_mode, outer, product_.k), pattern_of(m.scale_mode));
}

std::optional<Fastest> fastest_of(int count, const std::function<bool(int)>& launch, cudaStream_t stream) {
  std::vector<double> medians;
  for (int i = 0; i < count; ++i) medians.push_back(median_of([&] { return launch(i); }, stream));
  return fastest_of(medians);
}

std::optional<Fastest> fastest_of(const std::vector<double>& medians) {
  double least = -1;
  for (const double m : medians)
    if (m >= 0 && (least < 0 || m < least)) least = m;
  for (size_t i = 0; i < medians.size(); ++i)
    if (medians[i] >= 0 && medians[i] <= least * (1 + kNearlyEqual)) return Fastest{static_cast<int>(i), medians[i]};
  return std::nullopt;
}

}  // namespace mbt::cuda
