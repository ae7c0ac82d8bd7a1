// Products through cuBLASLt: a plan (descriptors and an algorithm) for each kind of product, made when it first comes. Of the algorithms
// that cuBLASLt's heuristic offers, the fastest on random operands is taken and remembered (gemm_choices.h): the bits of a result depend on
// it. While a stream is captured nothing can be timed; a plan made then takes the heuristic's first and keeps it for this process, so a run
// executes each product once before it captures any.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "kernels/cuda/gemm/gemm_product.h"

namespace mbt::cuda {

/// Executes what a Product describes: cuBLASLt (gemm_cublaslt.cpp), or its twin on the emulated device.
class ProductExecutor {
 public:
  virtual ~ProductExecutor() = default;
  virtual void run(const Product& product, cudaStream_t stream) = 0;
  virtual size_t library_version() const = 0;  ///< GemmDevice::library_version
  virtual size_t workspace_bytes() const = 0;
  /// "cuBLASLt 13.1.0, algorithms: ...".
  virtual std::string description() const = 0;
};
/// For the current device.
std::unique_ptr<ProductExecutor> make_executor(const cudaDeviceProp& properties);

}  // namespace mbt::cuda
