// All the memory that belongs to parameters: fp32 masters, moments and main gradients in flat buffers; working weights in the activation
// dtype; quantised copies of the linear weights; delayed-scaling state.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/delayed_state.h"
#include "core/model/params.h"
#include "core/model/quant_slots.h"
#include "core/tensor/arena_plan.h"

namespace mbt {

/// Slots of everything in Weights; pure arithmetic, so that `mbtrain plan` needs no memory.
struct WeightsPlan {
  ArenaPlan arena;
  ParamList params;
  TensorSlot master, exp_avg, exp_avg_sq, grad;  ///< [flat_size], f32 but for the moments; those are empty without an optimizer
  std::vector<TensorSlot> working;               ///< per parameter, act dtype; empty: aliases the master (fp32), or exists only as codes
  std::vector<QuantSlots> quantised;             ///< per parameter; empty unless it is a quantised linear weight
  DelayedStatePlan delayed;
};

/// How Adam's moments are kept between steps: f32 or bf16 each.
struct MomentTypes {
  DType exp_avg = DType::f32, exp_avg_sq = DType::f32;
};

/// with_training: masters, moments, gradients and the column-wise codes that dgrad reads too; without: what generation and evaluation need.
WeightsPlan plan_weights(const ModelConfig& model, const PrecisionPolicy& policy, bool with_training, const TransposedQuery& wants_transposed,
                         MomentTypes moments = {});

class Weights {
 public:
  Weights(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, bool with_training, MomentTypes moments = {});

  const ParamList& params() const { return plan_.params; }
  int64_t num_params() const { return static_cast<int64_t>(plan_.params.specs.size()); }
  const ParamSpec& spec(int64_t i) const { return plan_.params.specs[static_cast<size_t>(i)]; }

  // -- flat buffers [flat_size], f32 but for the moments (MomentTypes), and one parameter's part of them
  TensorView master() const { return master_; }
  TensorView exp_avg() const { return exp_avg_; }
  TensorView exp_avg_sq() const { return exp_avg_sq_; }
  TensorView grad() const { return grad_; }
  TensorView part(const TensorView& flat, int64_t i) const;

  /// The working weight in the activation dtype; empty when it exists only as codes.
  TensorView working(int64_t i) const { return working_[static_cast<size_t>(i)]; }
  /// The quantised weight; empty when the parameter is not a quantised linear weight.
  const QuantTensorView& quantised(int64_t i) const { return quantised_[static_cast<size_t>(i)]; }
  DelayedState& delayed() { return delayed_; }

  /// Masters := values, by parameter index; refresh() must follow.
  void set_master(int64_t i, const std::vector<float>& values);
  /// Of an f32 buffer.
  std::vector<float> get(const TensorView& flat, int64_t i) const;

  /// Working copies := masters rounded to the activation dtype, for all parameters (after loading or initialising; the optimizer
  /// writes them itself). Then requantise() when weights exist only as codes.
  void refresh_working();
  /// quantised_params: codes := quantise(round(master)). Called after every optimizer step.
  void requantise_from_masters();
  /// Not quantised_params: codes := quantise(working); called in the first micro-batch of a step, when `is_stale`.
  void quantise_working();
  /// New codes for the next step, from the weights and delayed scales as they are now: at once where weights exist only as codes, else in
  /// the next forward. After every optimizer step, a skipped one too: delayed scales have moved, and each step stages its weights' amaxes.
  void renew_codes();
  bool codes_are_stale() const { return codes_are_stale_; }
  bool keeps_codes_only() const { return policy_.quantised_params; }

 private:
  Backend& backend_;
  PrecisionPolicy policy_;
  WeightsPlan plan_;
  Buffer memory_;
  TensorView master_, exp_avg_, exp_avg_sq_, grad_;
  std::vector<TensorView> working_;
  std::vector<QuantTensorView> quantised_;
  DelayedState delayed_;
  bool codes_are_stale_ = true;
};

}  // namespace mbt
