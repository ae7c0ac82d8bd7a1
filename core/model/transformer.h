// The decoder-only transformer: embedding, layers, head and loss, forward and backward of one micro-batch.
#pragma once

#include <functional>
#include <vector>

#include "core/backend/backend.h"
#include "core/model/activations.h"
#include "core/model/block.h"
#include "core/model/embedding_head.h"
#include "core/model/rope_table.h"
#include "core/model/weights.h"

namespace mbt {

/// One micro-batch on the host; [B,T] each, B and T as the model was built for.
struct MicroBatch {
  const int32_t* tokens;                    ///< in [0, V)
  const int32_t* targets;                   ///< already shifted: the token that follows
  const float* loss_mask;                   ///< weight of each position in the loss
  const int32_t* document_start = nullptr;  ///< where in its row each token's document begins (core/ops/attention.h); null: at 0
  const int32_t* positions = nullptr;       ///< in [0, T); null: 0 to T - 1
};

/// Hooks between the units of a micro-batch (ParamSpec::unit), for communication that overlaps with it.
class UnitHooks {
 public:
  virtual ~UnitHooks() = default;
  virtual void before_forward(int64_t unit) = 0;  ///< nothing of it has been read
  virtual void after_backward(int64_t unit) = 0;  ///< its gradients are complete
};

class Transformer {
 public:
  /// weights must outlive it. with_backward false: loss and logits only. inputs: the optional inputs that micro-batches may have. A
  /// micro-batch with other inputs, or with invalid documents or positions, causes an Error.
  Transformer(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, Weights& weights, int64_t micro_batch,
              bool with_backward, const BatchInputs& inputs = {});

  /// Adds sum(mask * ce) to loss_sum(). The logits' gradient is loss_gradient_scale * mask * (softmax - onehot); parameter gradients
  /// accumulate into weights.grad(). Everything that differs between calls is uploaded first, so that a backend may replay the rest. With
  /// hooks nothing is replayed: the backend gets every op.
  void forward_backward(const PassContext& pass, const MicroBatch& batch, float loss_gradient_scale, UnitHooks* hooks = nullptr);
  /// Adds to loss_sum() as above; no gradients.
  void forward(const PassContext& pass, const MicroBatch& batch);

  /// Device f64 [1]: the sum of losses since reset_loss_sum().
  TensorView loss_sum() const { return acts_.shared.loss_sum; }
  void reset_loss_sum() { backend_.fill_zero(loss_sum()); }
  /// Device f32 [N]: masked loss of each token of the last micro-batch.
  TensorView token_losses() const { return acts_.shared.loss; }

  /// Called with each chunk of logits (device view [rows,Vp] act, first row) before the loss overwrites it. For probing.
  using LogitsHook = std::function<void(ConstTensorView logits, int64_t first_row)>;
  void set_logits_hook(LogitsHook hook) { logits_hook_ = std::move(hook); }
  /// Called with the amaxes that a micro-batch has staged (f32 [columns of DelayedState]) before they become scales, to combine them with
  /// those of the other ranks.
  using AmaxExchange = std::function<void(TensorView staged)>;
  void set_amax_exchange(AmaxExchange exchange) { amax_exchange_ = std::move(exchange); }
  /// False: every micro-batch runs op by op.
  void set_replay(bool is_on) { replays_ = is_on; }
  /// Returns why the backend failed to record micro-batches for replay; empty: it replays them, or does not support replay.
  const std::string& replay_refusal() const { return micro_batch_.refusal; }

  /// After a pass: where a NaN or an infinity entered the residual stream, e.g. "the output of layer 3"; empty when nowhere. Slow.
  std::string first_non_finite_activation();

  const ModelShapes& shapes() const { return context_.shapes; }
  const ArenaPlan& arena_plan() const { return plan_.arena; }

 private:
  PassContext upload(const PassContext& pass, const MicroBatch& batch, float loss_gradient_scale);
  void put_sequence_inputs(const MicroBatch& batch, int32_t* document_start, int32_t* positions) const;
  void forward_layers(const PassContext& pass, UnitHooks* hooks);
  void head(bool with_backward);
  void backward_layers(const PassContext& pass, UnitHooks* hooks);
  void update_scales();

  Backend& backend_;
  ModelConfig model_;
  PrecisionPolicy policy_;
  Weights& weights_;
  ActivationsPlan plan_;
  Buffer memory_;
  RopeMemory rope_;
  Activations acts_;
  BlockContext context_;
  std::vector<LayerParams> layers_;
  EmbeddingHeadParams ends_;
  LogitsHook logits_hook_;
  AmaxExchange amax_exchange_;
  bool replays_ = true;
  Recording micro_batch_;  // of forward and backward under recorded_pass_
  PassContext recorded_pass_;
  std::vector<std::string> layer_names_;  // of profiler ranges
};

}  // namespace mbt
