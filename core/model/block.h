// One transformer layer: forward and backward side by side. Training, evaluation and generation all run this forward.
//   x -> norm -> qkv -> (QK-norm, RoPE) -> attention -> proj -> + -> norm -> fc1 -> activation -> fc2 -> +
// The norm that follows does each of the two additions (core/ops/norm.h), so a layer passes on its stream and the last delta. When a linear
// layer is quantized, the op before it also writes the codes (core/ops/quant_output.h).
#pragma once

#include "core/backend/backend.h"
#include "core/base/function_ref.h"
#include "core/model/activations.h"
#include "core/model/linear.h"
#include "core/model/shapes.h"
#include "core/model/weights.h"

namespace mbt {

struct NormParams {
  ConstTensorView weight, bias;  // [C] act; bias with LayerNorm only
  TensorView d_weight, d_bias;   // [C] f32
};

/// Parameters of one layer as views; made from Weights by name.
struct LayerParams {
  NormParams input_norm, mlp_norm;
  ConstTensorView q_norm, k_norm;  // [D] act; with QK-norm only
  TensorView d_q_norm, d_k_norm;   // [D] f32
  LinearParams qkv, proj, fc1, fc2;
};

/// What all layers of one model share in one pass.
struct BlockContext {
  Backend& backend;
  const ModelConfig& model;
  const PrecisionPolicy& policy;
  ModelShapes shapes;
  ConstTensorView rope_table;  // [P,R] f32; empty without RoPE
  float softmax_scale;
  ConstTensorView document_start, positions;  // of the micro-batch, [N] i32; empty when it has none
  int64_t first_position = 0;                 // of a sequence's first token, without `positions`
};

NormParams bind_norm(const Weights& w, const std::string& name);
LinearParams bind_linear(const Weights& w, const std::string& name);
LayerParams bind_layer(const Weights& w, const ModelConfig& model, int64_t layer);

/// y = norm(h), h = x + delta; the quantized output is y's. Without `delta`, `h` is not written.
void norm_fwd(const BlockContext& c, const NormParams& w, ConstTensorView x, ConstTensorView delta, TensorView h, TensorView y,
              TensorView rstd, TensorView mean, const QuantOutput& quantized);

/// The step of a layer that differs between training and generation: fills a.attention, and its codes where `quantized` wants them, from
/// a.qkv, which has passed QK-norm and RoPE.
using AttentionStep = FunctionRef<void(const LayerViews& a, const QuantOutput& quantized)>;
/// The AttentionStep of training and evaluation: each token attends to those before it in its own sequence of the micro-batch.
void sequence_attention_fwd(const BlockContext& c, const LayerViews& a, const QuantOutput& quantized);

/// stream: where the residual stream stands; delta: the sub-layer output still to be added to it (empty for the first layer).
/// On return `shared.delta` holds fc2's output, to be added to a.middle. When `without_fc2`, stops before fc2: recomputation.
void layer_fwd(const BlockContext& c, const PassContext& pass, int64_t layer, const LayerParams& w, const LayerViews& a,
               const SharedViews& shared, ConstTensorView stream, ConstTensorView delta, AttentionStep attention, bool without_fc2 = false);

/// shared.d_stream: gradient of the layer's output on entry, with its codes in a.dy_fc2; of its input stream on return, with its codes in
/// `d_input`, those of the layer below (empty for the first layer). Parameter gradients accumulate.
void layer_bwd(const BlockContext& c, const PassContext& pass, int64_t layer, const LayerParams& w, const LayerViews& a,
               const SharedViews& shared, const QuantOutput& d_input);

}  // namespace mbt
