// Matrix products on the device (contract: core/ops/gemm.h): through cuBLASLt in gemm_cublaslt.cpp; the emulated device has a twin.
#pragma once

#include <memory>

#include "core/backend/backend.h"
#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// Not thread-safe: one product at a time.
class Gemm {
 public:
  virtual ~Gemm() = default;
  virtual void run(const GemmArgs& args, const LaunchContext& context) = 0;
  /// Null specs: plain operands of dtype `act`.
  virtual GemmSupport support(const QuantSpec* a, const QuantSpec* b, DType act) const = 0;
  virtual size_t scratch_bytes_for(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const = 0;
  virtual size_t scratch_bytes() const = 0;
  /// "cuBLASLt 13.1.0".
  virtual std::string description() const = 0;
};

/// For the current device.
std::unique_ptr<Gemm> make_gemm(const cudaDeviceProp& properties);

}  // namespace mbt::cuda
