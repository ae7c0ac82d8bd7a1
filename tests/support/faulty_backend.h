// A backend around the CPU's in which one op, or one way to move bytes, gives one wrong result: for tests of checks.
#pragma once

#include <string>

#include "core/backend/timing_backend.h"

namespace mbt::test {

class FaultyBackend final : public TimingBackend {
 public:
  /// `fault`: an op; "fused norm_fwd": its codes; "narrow gemm": of quantized operands alone; upload, download, stage, fill_zero, replay.
  FaultyBackend(Backend& inner, std::string fault) : TimingBackend(inner), fault_(std::move(fault)) { set_enabled(false); }

  void upload(const void* host, TensorView device) override {
    TimingBackend::upload(host, device);
    if (fault_ == "upload") flip(device.data);
  }
  void download(ConstTensorView device, void* host) override {
    TimingBackend::download(device, host);
    if (fault_ == "download") flip(host);
  }
  void* stage(TensorView device) override {
    staged_ = device.data;
    return TimingBackend::stage(device);
  }
  void submit_staged() override {
    TimingBackend::submit_staged();
    if (fault_ == "stage") flip(staged_);
  }
  void fill_zero(TensorView t) override {
    TimingBackend::fill_zero(t);
    if (fault_ == "fill_zero") flip(t.data);
  }
  /// The fault: every third run is lost.
  void replay(Recording& recording, const std::function<void()>& ops) override {
    if (fault_ == "replay" && ++replays_ % 3 == 0) return;
    TimingBackend::replay(recording, ops);
  }

 protected:
#define MBT_FAULTY_OP(op, Args)                \
  void do_##op(const Args& args) override {    \
    TimingBackend::do_##op(args);              \
    if (fault_ == #op) spoil(result_of(args)); \
    spoil_more(args);                          \
  }
  MBT_FOR_EACH_OP(MBT_FAULTY_OP)
#undef MBT_FAULTY_OP

 private:
  static void flip(void* byte) { *static_cast<uint8_t*>(byte) ^= 1; }
  /// The first element: its sign, exponent and more.
  static void spoil(const TensorView& t) {
    if (t.dtype == DType::u8) return flip(t.data);
    static_cast<uint8_t*>(t.data)[size_of(t.dtype) - 1] ^= 0x41;
  }

  // The result of each op that is spoiled.
  static TensorView result_of(const EmbeddingFwdArgs& a) { return a.out; }
  static TensorView result_of(const EmbeddingBwdArgs& a) { return a.d_table; }
  static TensorView result_of(const NormFwdArgs& a) { return a.y; }
  static TensorView result_of(const NormBwdArgs& a) { return a.d_h; }
  static TensorView result_of(const QkNormFwdArgs& a) { return a.qkv_out; }
  static TensorView result_of(const QkNormBwdArgs& a) { return a.d_qkv; }
  static TensorView result_of(const RopeArgs& a) { return a.qkv; }
  static TensorView result_of(const AttentionFwdArgs& a) { return a.out; }
  static TensorView result_of(const AttentionBwdArgs& a) { return a.d_qkv; }
  static TensorView result_of(const AttentionCachedArgs& a) { return a.out; }
  static TensorView result_of(const ActivationFwdArgs& a) { return a.y; }
  static TensorView result_of(const ActivationBwdArgs& a) { return a.d_x; }
  static TensorView result_of(const CrossEntropyArgs& a) { return a.loss; }
  static TensorView result_of(const GemmArgs& a) { return a.d; }
  static TensorView result_of(const BiasBwdArgs& a) { return a.d_bias; }
  static TensorView result_of(const QuantizeArgs& a) { return code_of(a.to.q, 0); }
  static TensorView result_of(const DelayedScalingUpdateArgs& a) { return a.scale; }
  static TensorView result_of(const ShardAmaxArgs& a) { return a.amax; }
  static TensorView result_of(const QuantizeShardArgs& a) { return code_of(a.q, a.first); }
  static TensorView result_of(const CompleteCopiesArgs& a) { return code_of(a.q, 0); }
  static TensorView result_of(const GradNormArgs& a) { return a.squared_norm; }
  static TensorView result_of(const ClipScaleArgs& a) { return a.scale; }
  static TensorView result_of(const DecideStepArgs& a) { return a.skip; }
  static TensorView result_of(const AdamwArgs& a) { return a.master; }
  static TensorView result_of(const CastArgs& a) { return a.dst; }
  static TensorView result_of(const AddArgs& a) { return a.out; }
  static TensorView result_of(const SumArgs& a) { return a.out; }
  static TensorView code_of(const QuantTensorView& q, int64_t i) { return {static_cast<uint8_t*>(q.rowwise.codes) + i, DType::u8, {1}}; }

  template <class Args>
  void spoil_more(const Args&) {}
  void spoil_more(const NormFwdArgs& a) {
    if (fault_ == "fused norm_fwd" && !a.quantized.empty()) spoil(code_of(a.quantized.q, 0));
  }
  void spoil_more(const GemmArgs& a) {
    if (fault_ == "narrow gemm" && a.a.is_quantized()) spoil(a.d);
  }

  std::string fault_;
  void* staged_ = nullptr;
  int replays_ = 0;
};

}  // namespace mbt::test
