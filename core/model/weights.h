// All memory of the parameters: fp32 masters, moments and main gradients in flat buffers; working weights in the activation dtype;
// quantized copies of the linear weights; delayed-scaling state. With a sharded optimizer a rank has only its own pieces of masters and
// moments. Without training, masters exist only when the activation dtype is fp32 or weights exist only as codes.
#pragma once

#include <span>
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
  TensorSlot master;                  ///< f32 [flat_size], sharded: [shard_size]; in fp32 it serves as working weights: always [flat_size]
  TensorSlot staging;                 ///< f32, without masters: new values on their way to the working weights, so many at a time
  TensorSlot exp_avg, exp_avg_sq;     ///< as many elements as are held; empty without an optimizer
  TensorSlot grad;                    ///< f32 [flat_size]; empty without training
  TensorSlot working;                 ///< act [plain_size]; empty in fp32: the masters
  TensorSlot codes;                   ///< u8 [flat_size - plain_size]: row-wise codes of what exists only as codes
  std::vector<QuantSlots> quantized;  ///< per parameter; empty unless it is a quantized linear weight
  DelayedStatePlan delayed;
};

/// How Adam's moments are kept between steps: f32 or bf16 each.
struct MomentTypes {
  DType exp_avg = DType::f32, exp_avg_sq = DType::f32;
};

/// with_training: masters, moments, gradients and the column-wise codes that dgrad reads too; without: what generation and evaluation need,
/// masters only where the activation dtype is fp32 or weights exist only as codes.
WeightsPlan plan_weights(const ModelConfig& model, const PrecisionPolicy& policy, bool with_training,
                         const TransposedQuery& wants_transposed, MomentTypes moments = {}, const Sharding& sharding = {});

class Weights {
 public:
  Weights(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, bool with_training, MomentTypes moments = {},
          const Sharding& sharding = {});

  const ParamList& params() const { return plan_.params; }
  int64_t num_params() const { return static_cast<int64_t>(plan_.params.specs.size()); }
  const ParamSpec& spec(int64_t i) const { return plan_.params.specs[static_cast<size_t>(i)]; }
  const Sharding& sharding() const { return plan_.params.sharding; }

  // -- flat buffers, f32 but for the moments (MomentTypes): [flat_size], or [shard_size] where masters and moments are sharded; empty: none
  TensorView master() const { return master_; }
  TensorView exp_avg() const { return exp_avg_; }
  TensorView exp_avg_sq() const { return exp_avg_sq_; }
  TensorView grad() const { return grad_; }
  /// Working weights [plain_size] in the activation dtype (fp32: the masters, [flat_size]), and codes u8 [flat_size - plain_size].
  TensorView working_buffer() const { return working_buffer_; }
  TensorView codes_buffer() const { return codes_buffer_; }

  /// Elements of parameter i that this rank's optimizer updates: all, or with a sharded optimizer those in its pieces (count 0: none).
  ElementRange held(int64_t i) const { return held_[static_cast<size_t>(i)]; }
  /// Elements own_range(i), flat [count], in any buffer that has them; empty: there are none.
  TensorView own_part(const TensorView& buffer, int64_t i) const;
  /// Elements held(i), flat [count], in the masters, moments or gradients; empty: there are none, or no such buffer.
  TensorView held_part(const TensorView& buffer, int64_t i) const;
  /// Those elements of the working weight; empty when there is no working copy.
  TensorView held_working(int64_t i) const;
  /// Parameter i, in its shape, in a buffer of [flat_size].
  TensorView part(const TensorView& flat, int64_t i) const;

  /// The working weight in the activation dtype; empty when it exists only as codes.
  TensorView working(int64_t i) const { return working_[static_cast<size_t>(i)]; }
  /// The quantized weight; empty when the parameter is not a quantized linear weight.
  const QuantTensorView& quantized(int64_t i) const { return quantized_[static_cast<size_t>(i)]; }
  DelayedState& delayed() { return delayed_; }

  /// Sets this rank's elements of parameter i, starting at `first`: the masters, or without masters the working weights, rounded.
  /// refresh_working() must follow the last one, or what does it across ranks (DataParallel).
  void set(int64_t i, std::span<const float> values, int64_t first = 0);
  /// Returns the elements of parameter i in an f32 buffer: held(i) for the masters, all of them for the gradients.
  std::vector<float> get(const TensorView& buffer, int64_t i) const;

  /// Working copies := masters rounded to the activation dtype, for all parameters (after loading or initializing; the optimizer
  /// writes them itself; set() where there are no masters). Then renew_codes(). Not with a sharded optimizer.
  void refresh_working();
  /// The first half of that: the elements that are held.
  void round_masters();
  /// quantized_params: codes := quantize(round(master)). Called after every optimizer step.
  void requantize_from_masters();
  /// Not quantized_params: codes := quantize(working); called in the first micro-batch of a step, when codes are stale.
  void quantize_working();
  /// The same for the parameters of one unit (ParamSpec::unit), where weights arrive one after another; codes_are_fresh() ends it.
  void quantize_working(int64_t unit);
  void codes_are_fresh() { codes_are_stale_ = false; }
  /// Renews the codes from the current weights and delayed scales: at once when weights exist only as codes, else in the next forward. Call
  /// it after every optimizer step, even a skipped one, because delayed scales have changed and each step stages its weights' amaxes.
  void renew_codes();
  void expire_codes() { codes_are_stale_ = true; }
  bool codes_are_stale() const { return codes_are_stale_; }
  bool keeps_codes_only() const { return policy_.quantized_params; }

 private:
  Backend& backend_;
  PrecisionPolicy policy_;
  WeightsPlan plan_;
  Buffer memory_;
  TensorView master_, staging_, exp_avg_, exp_avg_sq_, grad_, working_buffer_, codes_buffer_;
  std::vector<ElementRange> own_, held_;
  std::vector<int64_t> shard_offset_;
  std::vector<TensorView> working_;
  std::vector<QuantTensorView> quantized_;
  DelayedState delayed_;
  bool codes_are_stale_ = true;
};

}  // namespace mbt
