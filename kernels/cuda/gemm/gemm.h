// Matrix products on the device (contract: core/ops/gemm.h): prepares operands (gemm_prepare.h), describes the product (gemm_product.h) and
// hands it to cuBLASLt.
#pragma once

#include <memory>

#include "core/backend/backend.h"
#include "kernels/cuda/gemm/gemm_cublaslt.h"
#include "kernels/cuda/gemm/gemm_rules.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// Not thread-safe: one product at a time.
class Gemm {
 public:
  explicit Gemm(const cudaDeviceProp& properties);

  void run(const GemmArgs& args, const LaunchContext& context);
  /// Null specs: plain operands of dtype `act`.
  GemmSupport support(const QuantSpec* a, const QuantSpec* b, DType act) const { return support_of(device_, a, b, act); }
  bool wants_transposed(const QuantSpec& spec) const { return cuda::wants_transposed(device_, spec); }
  std::string size_problem(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const {
    return cuda::size_problem(device_, shape, a, b, act);
  }
  /// Prepared operands and cuBLASLt's workspace.
  size_t scratch_bytes_for(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const;
  size_t workspace_bytes() const { return executor_->workspace_bytes(); }
  std::string description() const { return executor_->description(); }
  const GemmDevice& device() const { return device_; }

 private:
  std::unique_ptr<ProductExecutor> executor_;
  GemmDevice device_;
};

}  // namespace mbt::cuda
