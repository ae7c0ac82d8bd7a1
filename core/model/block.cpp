#include "core/model/block.h"

namespace mbt {
namespace {

void norm_fwd(const BlockContext& c, const NormParams& w, ConstTensorView x, ConstTensorView delta, TensorView h, TensorView y,
              TensorView rstd, TensorView mean, const QuantOutput& quantized) {
  c.backend.norm_fwd({.kind = norm_kind(c.model),
                      .x = x,
                      .weight = w.weight,
                      .y = y,
                      .rstd = rstd,
                      .bias = w.bias,
                      .mean = mean,
                      .delta = delta,
                      .h = delta.empty() ? TensorView{} : h,
                      .eps = static_cast<float>(c.model.layernorm_epsilon),
                      .quantized = quantized,
                      .keeps_y = quantized.empty()});
}

void norm_bwd(const BlockContext& c, const NormParams& w, ConstTensorView d_y, ConstTensorView h, TensorView rstd, TensorView mean,
              TensorView d_h, const QuantOutput& quantized) {
  c.backend.norm_bwd({.kind = norm_kind(c.model),
                      .d_y = d_y,
                      .h = h,
                      .weight = w.weight,
                      .rstd = rstd,
                      .d_h = d_h,
                      .d_weight = w.d_weight,
                      .mean = mean,
                      .d_bias = w.d_bias,
                      .quantized = quantized});
}

void activation_fwd(const BlockContext& c, const LayerViews& a, const QuantOutput& quantized) {
  c.backend.activation_fwd(
      {.kind = activation_kind(c.model), .x = a.fc1, .y = a.activation, .quantized = quantized, .keeps_y = quantized.empty()});
}

void attention_fwd(const BlockContext& c, const LayerParams& w, const LayerViews& a, const QuantOutput& quantized) {
  const ModelShapes& s = c.shapes;
  if (!a.qkv_raw.empty()) {
    c.backend.qk_norm_fwd({.qkv = a.qkv_raw,
                           .q_weight = w.q_norm,
                           .k_weight = w.k_norm,
                           .qkv_out = a.qkv,
                           .rstd = a.qk_rstd,
                           .num_heads = s.heads,
                           .num_kv_heads = s.kv_heads,
                           .eps = static_cast<float>(c.model.layernorm_epsilon)});
  }
  if (!c.rope_table.empty()) {
    c.backend.rope({.qkv = a.qkv,
                    .cos_sin = c.rope_table,
                    .num_heads = s.heads,
                    .num_kv_heads = s.kv_heads,
                    .sequence_length = s.sequence,
                    .positions = c.positions});
  }
  c.backend.attention_fwd({.qkv = a.qkv,
                           .out = a.attention,
                           .lse = a.lse,
                           .num_heads = s.heads,
                           .num_kv_heads = s.kv_heads,
                           .sequence_length = s.sequence,
                           .scale = c.softmax_scale,
                           .backend = attention_backend_named(c.model.attention_backend),
                           .document_start = c.document_start,
                           .quantized = quantized});
}

/// quantized: of d_qkv, which the last of up to three ops completes.
void attention_bwd(const BlockContext& c, const LayerParams& w, const LayerViews& a, const SharedViews& t, const QuantOutput& quantized) {
  const ModelShapes& s = c.shapes;
  const bool has_rope = !c.rope_table.empty(), has_qk_norm = !a.qkv_raw.empty();
  c.backend.attention_bwd({.d_out = t.d_attention,
                           .qkv = a.qkv,
                           .out = a.attention,
                           .lse = a.lse,
                           .d_qkv = t.d_qkv,
                           .num_heads = s.heads,
                           .num_kv_heads = s.kv_heads,
                           .sequence_length = s.sequence,
                           .scale = c.softmax_scale,
                           .backend = attention_backend_named(c.model.attention_backend),
                           .document_start = c.document_start,
                           .quantized = has_rope || has_qk_norm ? QuantOutput{} : quantized});
  if (has_rope) {
    c.backend.rope({.qkv = t.d_qkv,
                    .cos_sin = c.rope_table,
                    .num_heads = s.heads,
                    .num_kv_heads = s.kv_heads,
                    .sequence_length = s.sequence,
                    .inverse = true,
                    .positions = c.positions,
                    .quantized = has_qk_norm ? QuantOutput{} : quantized});
  }
  if (has_qk_norm) {
    c.backend.qk_norm_bwd({.d_qkv = t.d_qkv,
                           .qkv = a.qkv_raw,
                           .q_weight = w.q_norm,
                           .k_weight = w.k_norm,
                           .rstd = a.qk_rstd,
                           .d_q_weight = w.d_q_norm,
                           .d_k_weight = w.d_k_norm,
                           .num_heads = s.heads,
                           .num_kv_heads = s.kv_heads,
                           .quantized = quantized});
  }
}

/// Selective recomputation: norm and activation outputs, and the codes made from them and from the kept attention output, once more.
void recompute_outputs(const BlockContext& c, const PassContext& pass, const LayerParams& w, const LayerViews& a) {
  norm_fwd(c, w.input_norm, a.input, {}, {}, a.input_norm, a.input_rstd, a.input_mean, quantized_for(pass, w.qkv, a.x_qkv));
  norm_fwd(c, w.mlp_norm, a.middle, {}, {}, a.mlp_norm, a.mlp_rstd, a.mlp_mean, quantized_for(pass, w.fc1, a.x_fc1));
  activation_fwd(c, a, quantized_for(pass, w.fc2, a.x_fc2));
  quantize_for(c.backend, pass, w.proj, a.attention, a.x_proj);
}

}  // namespace

NormParams bind_norm(const Weights& w, const std::string& name) {
  NormParams p;
  const int64_t weight = w.params().index_of(name + ".weight"), bias = w.params().index_of(name + ".bias");
  p.weight = w.working(weight);
  p.d_weight = w.part(w.grad(), weight);
  if (bias >= 0) p.bias = w.working(bias), p.d_bias = w.part(w.grad(), bias);
  return p;
}

LinearParams bind_linear(const Weights& w, const std::string& name) {
  LinearParams p;
  const int64_t weight = w.params().index_of(name + ".weight"), bias = w.params().index_of(name + ".bias");
  p.weight = w.working(weight);
  p.weight_q = w.quantized(weight);
  p.d_weight = w.part(w.grad(), weight);
  p.id = weight;
  if (bias >= 0) p.bias = w.working(bias), p.d_bias = w.part(w.grad(), bias);
  return p;
}

LayerParams bind_layer(const Weights& w, const ModelConfig& model, int64_t layer) {
  const std::string p = "layers." + std::to_string(layer) + ".";
  LayerParams l;
  l.input_norm = bind_norm(w, p + "input_norm");
  l.mlp_norm = bind_norm(w, p + "pre_mlp_norm");
  l.qkv = bind_linear(w, p + "qkv");
  l.proj = bind_linear(w, p + "proj");
  l.fc1 = bind_linear(w, p + "fc1");
  l.fc2 = bind_linear(w, p + "fc2");
  if (model.qk_layernorm) {
    const int64_t q = w.params().index_of(p + "q_norm.weight"), k = w.params().index_of(p + "k_norm.weight");
    l.q_norm = w.working(q), l.d_q_norm = w.part(w.grad(), q);
    l.k_norm = w.working(k), l.d_k_norm = w.part(w.grad(), k);
  }
  return l;
}

void layer_fwd(const BlockContext& c, const PassContext& pass, int64_t layer, const LayerParams& w, const LayerViews& a,
               const SharedViews& t, ConstTensorView stream, ConstTensorView delta, bool without_fc2) {
  Backend& b = c.backend;
  const LinearPrecision& precision = c.policy.linear(layer);
  norm_fwd(c, w.input_norm, stream, delta, a.input, a.input_norm, a.input_rstd, a.input_mean, quantized_for(pass, w.qkv, a.x_qkv));
  linear_fwd(b, precision, w.qkv, a.input_norm, a.x_qkv, a.qkv_raw.empty() ? a.qkv : a.qkv_raw);
  attention_fwd(c, w, a, quantized_for(pass, w.proj, a.x_proj));
  linear_fwd(b, precision, w.proj, a.attention, a.x_proj, t.delta);
  norm_fwd(c, w.mlp_norm, a.input, t.delta, a.middle, a.mlp_norm, a.mlp_rstd, a.mlp_mean, quantized_for(pass, w.fc1, a.x_fc1));
  linear_fwd(b, precision, w.fc1, a.mlp_norm, a.x_fc1, a.fc1);
  activation_fwd(c, a, quantized_for(pass, w.fc2, a.x_fc2));
  if (!without_fc2) linear_fwd(b, precision, w.fc2, a.activation, a.x_fc2, t.delta);  // else: wgrad needs fc2's input, nothing its output
}

void layer_bwd(const BlockContext& c, const PassContext& pass, int64_t layer, const LayerParams& w, const LayerViews& a,
               const SharedViews& t, const QuantOutput& d_input) {
  Backend& b = c.backend;
  const LinearPrecision& precision = c.policy.linear(layer);
  const Recompute recompute = recompute_of(c.model, layer);
  if (recompute == Recompute::full) layer_fwd(c, pass, layer, w, a, t, a.input, {}, true);
  if (recompute == Recompute::selective) recompute_outputs(c, pass, w, a);

  linear_bwd(b, precision, w.fc2, a.activation, a.x_fc2, t.d_stream, a.dy_fc2, t.d_activation);
  b.activation_bwd({.kind = activation_kind(c.model),
                    .d_y = t.d_activation,
                    .x = a.fc1,
                    .d_x = t.d_fc1,
                    .quantized = quantized_for(pass, w.fc1, a.dy_fc1),
                    .keeps_d_x = a.dy_fc1.empty() || !w.fc1.bias.empty()});  // the bias's gradient is a sum of plain values
  linear_bwd(b, precision, w.fc1, a.mlp_norm, a.x_fc1, t.d_fc1, a.dy_fc1, t.d_norm);
  norm_bwd(c, w.mlp_norm, t.d_norm, a.middle, a.mlp_rstd, a.mlp_mean, t.d_stream, quantized_for(pass, w.proj, a.dy_proj));

  linear_bwd(b, precision, w.proj, a.attention, a.x_proj, t.d_stream, a.dy_proj, t.d_attention);
  attention_bwd(c, w, a, t, quantized_for(pass, w.qkv, a.dy_qkv));
  linear_bwd(b, precision, w.qkv, a.input_norm, a.x_qkv, t.d_qkv, a.dy_qkv, t.d_norm);
  norm_bwd(c, w.input_norm, t.d_norm, a.input, a.input_rstd, a.input_mean, t.d_stream, d_input);
}

}  // namespace mbt
