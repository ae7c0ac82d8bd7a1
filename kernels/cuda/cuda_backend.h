// The CUDA backend: each op is a launch_<op> of launchers.h in one stream; GEMMs go through cuBLASLt (gemm.h).
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "core/backend/backend.h"
#include "kernels/cuda/fault.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/memory.h"

namespace mbt::cuda {

/// Owns a stream.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a CUDA stream"); }
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Ops are asynchronous; download() and synchronize() wait, and throw what kernels noted (fault.h). The same calls give the same bits.
class CudaBackend final : public Backend {
 public:
  /// On device `device`. Throws InputError without a device, or when it is older than compute capability 8.0.
  explicit CudaBackend(int device = 0);
  ~CudaBackend() override;

  std::string name() const override { return "cuda"; }
  BackendFacts facts() const override;
  GemmSupport gemm_support(const QuantSpec* a, const QuantSpec* b, DType act) const override { return gemm_->support(a, b, act); }
  size_t gemm_scratch_bytes(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const override {
    return gemm_->scratch_bytes_for(shape, a, b, act);
  }
  std::string gemm_size_problem(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const override {
    return gemm_->size_problem(shape, a, b, act);
  }
  bool wants_transposed(const QuantSpec& spec) const override { return gemm_->wants_transposed(spec); }
  AttentionSupport attention_support(AttentionBackend wanted, const AttentionShape& shape) const override {
    return attention_path(wanted, shape);
  }

  void* allocate(size_t bytes) override;
  void deallocate(void* data, size_t bytes) noexcept override;
  void upload(const void* host, TensorView device) override;
  void download(ConstTensorView device, void* host) override;
  void synchronize() override;
  size_t allocated_bytes() const override { return allocated_bytes_; }
  size_t scratch_bytes() const override { return scratch_.bytes() + gemm_->workspace_bytes(); }
  void fill_zero(TensorView t) override;

 protected:
#define MBT_DECLARE_DO(op, Args) void do_##op(const Args& args) override;
  MBT_FOR_EACH_OP(MBT_DECLARE_DO)
#undef MBT_DECLARE_DO

 private:
  LaunchContext context() { return {stream_.get(), scratch_, fault_, properties_.multiProcessorCount}; }
  void throw_fault();

  cudaDeviceProp properties_{};
  Stream stream_;
  Scratch scratch_;
  Fault* fault_ = nullptr;  // pinned host memory that the device reaches too
  std::unique_ptr<Gemm> gemm_;
  size_t allocated_bytes_ = 0;
};

}  // namespace mbt::cuda
