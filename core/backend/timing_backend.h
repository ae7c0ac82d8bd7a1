// A backend that wraps another and records each op: when it began, how long it took, and the operands of GEMMs. It waits for every op, so a
// step on an asynchronous device is slower than without it. `mbtrain bench step` and profiling.trace_path use it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/backend/backend.h"

namespace mbt {

struct OpEvent {
  std::string name;      ///< op, with the role for GEMMs: "gemm.wgrad"
  double start_s = 0.0;  ///< since the backend was made
  double seconds = 0.0;
  double flops = 0.0;  ///< GEMMs only
};

class TimingBackend : public Backend {
 public:
  explicit TimingBackend(Backend& inner) : inner_(inner) {}

  const std::vector<OpEvent>& events() const { return events_; }
  /// The GEMMs since the last clear(), as they were called: running them again runs the same products on the same memory.
  const std::vector<GemmArgs>& gemms() const { return gemms_; }
  void clear() {
    events_.clear();
    gemms_.clear();
  }
  /// Off: ops are handed on and not noted.
  void set_enabled(bool is_enabled) { is_enabled_ = is_enabled; }

  std::string name() const override { return inner_.name(); }
  BackendFacts facts() const override { return inner_.facts(); }
  std::string identity() const override { return inner_.identity(); }
  GemmSupport gemm_support(const QuantSpec* a, const QuantSpec* b, DType act) const override { return inner_.gemm_support(a, b, act); }
  size_t gemm_scratch_bytes(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const override {
    return inner_.gemm_scratch_bytes(shape, a, b, act);
  }
  std::string gemm_size_problem(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const override {
    return inner_.gemm_size_problem(shape, a, b, act);
  }
  bool wants_transposed(const QuantSpec& spec) const override { return inner_.wants_transposed(spec); }
  AttentionSupport attention_support(AttentionBackend wanted, const AttentionShape& shape) const override {
    return inner_.attention_support(wanted, shape);
  }
  void* allocate(size_t bytes) override { return inner_.allocate(bytes); }
  void deallocate(void* data, size_t bytes) noexcept override { inner_.deallocate(data, bytes); }
  void upload(const void* host, TensorView device) override { inner_.upload(host, device); }
  void* stage(TensorView device) override { return inner_.stage(device); }
  void submit_staged() override { inner_.submit_staged(); }
  void download(ConstTensorView device, void* host) override { inner_.download(device, host); }
  void synchronize() override { inner_.synchronize(); }
  size_t allocated_bytes() const override { return inner_.allocated_bytes(); }
  size_t scratch_bytes() const override { return inner_.scratch_bytes(); }
  std::optional<AvailableMemory> available_memory() const override { return inner_.available_memory(); }
  void reserve_scratch(size_t bytes) override { inner_.reserve_scratch(bytes); }
  std::unique_ptr<Collectives> connect(World& world) override { return inner_.connect(world); }
  size_t exchange_scratch_bytes(int ranks) const override { return inner_.exchange_scratch_bytes(ranks); }
  /// While ops are recorded for timing, each one must be called: no recording is replayed in their place.
  void replay(Recording& recording, const std::function<void()>& ops) override { is_enabled_ ? ops() : inner_.replay(recording, ops); }
  void begin_range(const char* name) override { inner_.begin_range(name); }
  void end_range() noexcept override { inner_.end_range(); }
  void fill_zero(TensorView t) override {
    note("fill_zero", 0.0, [&] { inner_.fill_zero(t); });
  }

 protected:
#define MBT_TIMED_OP(op, Args)                                        \
  void do_##op(const Args& args) override {                           \
    note(label(#op, args), flops_of(args), [&] { inner_.op(args); }); \
    remember(args);                                                   \
  }
  MBT_FOR_EACH_OP(MBT_TIMED_OP)
#undef MBT_TIMED_OP

 private:
  using Clock = std::chrono::steady_clock;

  template <class Args>
  static std::string label(const char* op, const Args&) {
    return op;
  }
  static std::string label(const char* op, const GemmArgs& g) { return std::string(op) + "." + std::string(name_of(g.role)); }
  template <class Args>
  static double flops_of(const Args&) {
    return 0.0;
  }
  static double flops_of(const GemmArgs& g) {
    return 2.0 * static_cast<double>(g.d_rows()) * static_cast<double>(g.d_cols()) * static_cast<double>(g.summed());
  }
  template <class Args>
  void remember(const Args&) {}
  void remember(const GemmArgs& g) {
    if (is_enabled_) gemms_.push_back(g);
  }

  template <class F>
  void note(std::string name, double flops, F&& run) {
    const auto start = Clock::now();
    run();
    if (!is_enabled_) return;
    inner_.synchronize();
    auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
    events_.push_back({std::move(name), seconds(start - epoch_), seconds(Clock::now() - start), flops});
  }

  Backend& inner_;
  bool is_enabled_ = true;
  Clock::time_point epoch_ = Clock::now();
  std::vector<OpEvent> events_;
  std::vector<GemmArgs> gemms_;
};

}  // namespace mbt
