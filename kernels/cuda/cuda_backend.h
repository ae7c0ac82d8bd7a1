// The CUDA backend: each op is a launch_<op> of launchers.h in one stream; GEMMs go through cuBLASLt (gemm.h).
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "core/backend/backend.h"
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/gemm/gemm.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime/fault.h"
#include "kernels/cuda/runtime/graph.h"
#include "kernels/cuda/runtime/host_wait.h"
#include "kernels/cuda/runtime/memory.h"
#include "kernels/cuda/runtime/staging.h"

namespace mbt::cuda {

/// Ops are asynchronous; download() and synchronize() wait, and throw what kernels noted (fault.h). The same calls give the same bits.
class CudaBackend final : public Backend {
 public:
  /// On device `device`. Throws InputError without a device, or when it is older than compute capability 8.0.
  explicit CudaBackend(int device = 0);
  ~CudaBackend() override;

  std::string name() const override { return "cuda"; }
  BackendFacts facts() const override;
  std::string identity() const override;
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
  void* stage(TensorView device) override;
  void submit_staged() override;
  void download(ConstTensorView device, void* host) override;
  void synchronize() override;
  size_t allocated_bytes() const override { return allocated_bytes_; }
  size_t scratch_bytes() const override { return scratch_.bytes() + gemm_->workspace_bytes() + collective_scratch_bytes_; }
  std::optional<AvailableMemory> available_memory() const override;
  void reserve_scratch(size_t bytes) override {
    const size_t there = gemm_->workspace_bytes();  // gemm_scratch_bytes counts it too
    if (bytes > there) static_cast<void>(scratch_.get<char>(bytes - there));
  }
  /// Over NCCL where there are several ranks; one connection at a time. Ranks that share a GPU are refused by NCCL.
  std::unique_ptr<Collectives> connect(World& world) override;
  size_t exchange_scratch_bytes(int ranks) const override;
  void fill_zero(TensorView t) override;

  /// The first time `ops` run one by one, so that scratch, GEMM plans and kernel attributes exist. The second time they are recorded; from
  /// then on the graph runs. When scratch has moved in the meantime, this starts anew. What cannot be recorded runs one by one
  /// (Recording::refusal says why).
  void replay(Recording& recording, const std::function<void()>& ops) override;
  void begin_range(const char* name) override;
  void end_range() noexcept override;

 protected:
  void begin_op(const char* op) override { last_op_ = op; }
#define MBT_DECLARE_DO(op, Args) void do_##op(const Args& args) override;
  MBT_FOR_EACH_OP(MBT_DECLARE_DO)
#undef MBT_DECLARE_DO

 private:
  LaunchContext context() { return {stream_.get(), scratch_, fault_, properties_.multiProcessorCount, gemm_.get()}; }
  void throw_fault();
  /// Throws Error for what has no place in recorded work.
  void refuse_while_recording(const char* call) const;

  cudaDeviceProp properties_{};
  Stream stream_;
  HostWait wait_;
  size_t collective_scratch_bytes_ = 0;  // of the connection, while it lives
  Scratch scratch_;
  Staging staging_{wait_};
  TensorView staged_;
  bool is_recording_ = false;
  const char* last_op_ = "none";  // that was handed to the GPU
  Fault* fault_ = nullptr;        // pinned host memory that the device reaches too
  std::unique_ptr<Gemm> gemm_;
  size_t allocated_bytes_ = 0;
};

}  // namespace mbt::cuda
