// Timing what could compute a product: on memory of its own with random values, never on the caller's tensors.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "kernels/cuda/gemm/gemm_product.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// Operands, scales, bias and result like those of a product: ordinary values of its types.
class TimingOperands {
 public:
  /// Throws Error when the device has no memory for them.
  TimingOperands(const Product& like, int multiprocessors, cudaStream_t stream);
  TimingOperands(const TimingOperands&) = delete;
  TimingOperands& operator=(const TimingOperands&) = delete;
  ~TimingOperands() { static_cast<void>(cudaFree(memory_)); }
  const Product& product() const { return product_; }

 private:
  void fill(const ProductMatrix& m, int64_t outer, uint32_t seed, int multiprocessors, cudaStream_t stream);

  Product product_;
  void* memory_ = nullptr;
};

struct Fastest {
  int index;
  double microseconds;
};
/// Runs each of `count` candidates a few times (launch(i) puts one into `stream`; false: it cannot run) and takes the least median. Of
/// nearly equal ones the first, so that noise seldom decides. Nothing when none can run.
std::optional<Fastest> fastest_of(int count, const std::function<bool(int)>& launch, cudaStream_t stream);
/// The same on medians in microseconds; negative: cannot run.
std::optional<Fastest> fastest_of(const std::vector<double>& medians);

}  // namespace mbt::cuda
