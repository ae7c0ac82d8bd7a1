// A backend around the CPU's that counts ops, and spoils every plain output that its op was not asked to keep: who reads one gets NaN.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>

#include "core/backend/timing_backend.h"

namespace mbt::test {

class SpoilingBackend final : public TimingBackend {
 public:
  explicit SpoilingBackend(Backend& inner) : TimingBackend(inner) {}

  /// Calls of an op since the last clear().
  int64_t count(const std::string& op) const {
    return std::count_if(events().begin(), events().end(), [&](const OpEvent& e) { return e.name == op; });
  }
  /// Plain outputs spoiled so far.
  int spoiled() const { return spoiled_; }

 protected:
  void do_norm_fwd(const NormFwdArgs& args) override {
    TimingBackend::do_norm_fwd(args);
    spoil_unless(args.keeps_y, args.y);
  }
  void do_activation_fwd(const ActivationFwdArgs& args) override {
    TimingBackend::do_activation_fwd(args);
    spoil_unless(args.keeps_y, args.y);
  }
  void do_activation_bwd(const ActivationBwdArgs& args) override {
    TimingBackend::do_activation_bwd(args);
    spoil_unless(args.keeps_d_x, args.d_x);
  }

 private:
  void spoil_unless(bool keeps, const TensorView& t) {
    if (keeps) return;
    std::memset(t.data, 0xFF, static_cast<size_t>(t.size_bytes()));
    ++spoiled_;
  }
  int spoiled_ = 0;
};

}  // namespace mbt::test
