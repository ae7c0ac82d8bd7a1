// The tensors that one micro-batch keeps from forward to backward, and the buffers that layers share. N = micro-batch x sequence.
#pragma once

#include <vector>

#include "core/config/dataset_config.h"
#include "core/model/delayed_state.h"
#include "core/model/quant_slots.h"
#include "core/model/shapes.h"
#include "core/recipe/policy.h"
#include "core/tensor/arena_plan.h"

namespace mbt {

/// Which activations are kept for backward, and which are recomputed.
enum class Recompute : uint8_t {
  none,
  selective,  ///< outputs of norms and of the activation function are made again from their inputs; quantized inputs are quantized again
  full,       ///< a layer keeps only its input; its forward runs again in backward
};

/// The tensors of one layer, as slots (Slot = TensorSlot) or as views (Slot = TensorView); Quant is QuantSlots or QuantTensorView.
template <class Slot, class Quant>
struct LayerTensors {
  Slot input;                   // [N,C] act: the residual stream at the input norm
  Slot input_rstd, input_mean;  // [N] f32; mean with LayerNorm only
  Slot input_norm;              // [N,C] act: output of the input norm
  Slot qkv_raw;                 // [N,(H+2K)D] act: before QK-norm; only with it
  Slot qk_rstd;                 // [N,H+K] f32; only with QK-norm
  Slot qkv;                     // [N,(H+2K)D] act: after QK-norm and RoPE
  Slot attention;               // [N,H*D] act
  Slot lse;                     // [B,H,T] f32; not in generation
  Slot middle;                  // [N,C] act: the stream after attention, input of the pre-MLP norm
  Slot mlp_rstd, mlp_mean;      // [N] f32
  Slot mlp_norm;                // [N,C] act
  Slot fc1;                     // [N,F] or [N,2F] act
  Slot activation;              // [N,F] act
  // Quantized inputs and output gradients of the linear layers; empty when the layer is not quantized.
  Quant x_qkv, x_proj, x_fc1, x_fc2;
  // Of gradients: memory shared by all layers, scales each layer's own. dy_fc2 is written in the backward of the layer above.
  Quant dy_qkv, dy_proj, dy_fc1, dy_fc2;
};

using LayerSlots = LayerTensors<TensorSlot, QuantSlots>;
using LayerViews = LayerTensors<TensorView, QuantTensorView>;

/// Scalars that change with every micro-batch. They are on the device, so that the ops of all micro-batches have the same arguments.
struct BatchScalars {
  uint64_t stream;  ///< PassContext::stream
  float loss_gradient_scale;
  float unused = 0.0F;
};

/// The optional inputs of a micro-batch, besides tokens, targets and loss mask. Their tensors exist only in a run that uses them.
struct BatchInputs {
  bool document_start = false;  ///< attention stays within documents
  bool positions = false;       ///< the position embedding's positions are not 0 to T - 1
};
BatchInputs batch_inputs(const DatasetConfig& dataset, const ModelConfig& model);

/// Buffers used by one layer at a time.
template <class Slot>
struct SharedTensors {
  Slot tokens, targets;  // [N] i32
  Slot loss_mask;        // [N] f32
  Slot document_start;   // [N] i32, core/ops/attention.h; or empty
  Slot positions;        // [N] i32; or empty
  Slot scalars;          // [4] i32: BatchScalars; from tokens to here all lie one after the other and are uploaded at once
  Slot loss;             // [N] f32
  Slot loss_sum;         // [1] f64
  Slot delta;            // [N,C] act: output of proj or fc2, added to the stream by the next norm
  Slot final_input;      // [N,C] act: the stream at the final norm
  Slot final_rstd, final_mean;
  Slot final_norm;    // [N,C] act
  Slot logits;        // [chunk,Vp] act
  Slot d_stream;      // [N,C] act: gradient of the residual stream
  Slot d_norm;        // [N,C] act: gradient of a norm's output
  Slot d_qkv;         // [N,(H+2K)D] act
  Slot d_attention;   // [N,H*D] act
  Slot d_fc1;         // [N,F] or [N,2F] act
  Slot d_activation;  // [N,F] act
};

using SharedSlots = SharedTensors<TensorSlot>;
using SharedViews = SharedTensors<TensorView>;

struct ActivationsPlan {
  ArenaPlan arena;
  std::vector<LayerSlots> layers;  ///< tensors that layers may share carry the same slot
  SharedSlots shared;
  int64_t logits_rows = 0;  ///< rows of one chunk of logits
};

/// How layer `i` recomputes under model.recompute_*.
Recompute recompute_of(const ModelConfig& model, int64_t layer);

/// with_backward false: evaluation and probing of logits only; every layer then shares one set.
ActivationsPlan plan_activations(const ModelConfig& model, const PrecisionPolicy& policy, int64_t micro_batch, bool with_backward,
                                 const TransposedQuery& wants_transposed, const BatchInputs& inputs);

/// Generation, up to `tokens` of one sequence at once: no loss, logits of one row, and all layers share one set of tensors in which the
/// stream is updated in place. The caller adds what it keeps for the whole sequence to the plan's arena.
ActivationsPlan plan_generation(const ModelConfig& model, const PrecisionPolicy& policy, int64_t tokens);

/// Views into one block of memory, made from a plan.
struct Activations {
  std::vector<LayerViews> layers;
  SharedViews shared;
};
/// delayed: gives each layer's quantized tensors their scales.
Activations bind_activations(const ActivationsPlan& plan, void* base, const DelayedState& delayed);

/// The first `tokens` rows of every tensor. For plans without lse, whose rows are not tokens.
LayerViews first_tokens(const LayerViews& a, int64_t tokens);

}  // namespace mbt
