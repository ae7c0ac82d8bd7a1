// The CPU backend: each op is a loop of kernels/cpu/loops at the level of this processor, or a free-standing part beside this file.
#pragma once

#include "core/backend/backend.h"
#include "core/comm/host_collectives.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/memory.h"

namespace mbt::cpu {

/// Ops are done when they return. Used by one thread at a time; the ops themselves run on `num_threads` threads.
/// The same calls with the same thread count give the same bits.
class CpuBackend final : public Backend {
 public:
  /// num_threads 0: OMP_NUM_THREADS, else all cores given to the process.
  explicit CpuBackend(int num_threads = 0);

  std::string name() const override { return "cpu"; }
  BackendFacts facts() const override;
  std::string identity() const override;
  GemmSupport gemm_support(const QuantSpec* a, const QuantSpec* b, DType act) const override { return gemm_.support(a, b, act); }
  size_t gemm_scratch_bytes(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const override {
    return gemm_.scratch_bytes_for(shape, a, b, act);
  }
  std::string gemm_size_problem(const GemmShape&, const QuantSpec*, const QuantSpec*, DType) const override { return {}; }
  bool wants_transposed(const QuantSpec&) const override { return false; }
  AttentionSupport attention_support(AttentionBackend, const AttentionShape&) const override {
    return {.path = "blocked", .how = "the CPU's one way: blocks of keys, no score matrix, any head width"};
  }

  void* allocate(size_t bytes) override;
  void deallocate(void* data, size_t bytes) noexcept override;
  void upload(const void* host, TensorView device) override;
  void* stage(TensorView device) override { return device.data; }
  void submit_staged() override {}
  void download(ConstTensorView device, void* host) override;
  void synchronize() override {}
  std::optional<AvailableMemory> available_memory() const override;
  size_t allocated_bytes() const override { return allocated_bytes_; }
  size_t scratch_bytes() const override { return scratch_.bytes() + gemm_.scratch_bytes() + attention_.scratch_bytes(); }
  std::unique_ptr<Collectives> connect(World& world) override { return std::make_unique<HostCollectives>(world); }
  size_t exchange_scratch_bytes(int ranks) const override { return HostCollectives::scratch_bytes(ranks); }
  void fill_zero(TensorView t) override;

 protected:
  void begin_op(const char*) override;
#define MBT_DECLARE_DO(op, Args) void do_##op(const Args& args) override;
  MBT_FOR_EACH_OP(MBT_DECLARE_DO)
#undef MBT_DECLARE_DO

 private:
  /// Quantizes `x`, the output of an op, when its codes are wanted. Ops call it last.
  void quantize(const ConstTensorView& x, const QuantOutput& quantized);

  int num_threads_;
  size_t allocated_bytes_ = 0;
  Scratch scratch_;
  Gemm gemm_;
  Attention attention_;
};

}  // namespace mbt::cpu
