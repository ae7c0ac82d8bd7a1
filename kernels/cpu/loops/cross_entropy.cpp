#include "kernels/cpu/loops/cross_entropy.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/loops/math.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

template <class T>
float max_of_row(const T* row, int64_t cols) {
  float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
  for (int64_t v = 0; v < cols; ++v) largest = max_of(load(row, v), largest);
  return largest;
}

/// Sum of e^(x - largest), in fp32 over blocks of the vocabulary and f64 over the blocks. Short blocks: a lane that holds the largest
/// term would round away the small ones added to it, and at x86-64-v2 a lane takes a quarter of its block.
template <class T>
double sum_of_exp(const T* row, int64_t cols, float largest) {
  constexpr int64_t kBlock = 128;
  double total = 0;
  for (int64_t first = 0; first < cols; first += kBlock) {
    const int64_t last = first + kBlock < cols ? first + kBlock : cols;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t v = first; v < last; ++v) sum += exp_of(load(row, v) - largest);
    total += sum;
  }
  return total;
}

/// Overwrites the row with weight * (softmax - one hot of target), padding columns with 0.
template <class T>
void gradient_of_row(T* row, const CrossEntropyArgs& a, int64_t target, float weight, float largest, double sum) {
  const float factor = static_cast<float>(weight / sum);
  const float at_target = exp_of(load(row, target) - largest) * factor - weight;
#pragma omp simd
  for (int64_t v = 0; v < a.vocab_size; ++v) store(row, v, exp_of(load(row, v) - largest) * factor);
  store(row, target, at_target);
  __builtin_memset(row + a.vocab_size, 0, static_cast<size_t>(a.logits.cols() - a.vocab_size) * sizeof(T));
}

template <class T>
void rows_of(const CrossEntropyArgs& a) {
  const int64_t rows = a.logits.rows();
  const int64_t cols = a.logits.cols();
  const float d_scale = a.device_scale.empty() ? a.d_scale : a.d_scale * *a.device_scale.as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < rows; ++n) {
    T* row = a.logits.as<T>() + n * cols;
    const int64_t target = a.targets.as<int32_t>()[n];
    const float mask = a.loss_mask.as<float>()[n];
    const float largest = max_of_row(row, a.vocab_size);
    const double sum = sum_of_exp(row, a.vocab_size, largest);
    a.loss.as<float>()[n] = mask * static_cast<float>(std::log(sum) + (largest - load(row, target)));
    if (a.compute_gradient) gradient_of_row(row, a, target, d_scale * mask, largest, sum);
  }
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args) {
  with_act(args.logits.dtype, [&]<class T>(T*) { rows_of<T>(args); });
}

}  // namespace mbt::cpu::MBT_LEVEL
