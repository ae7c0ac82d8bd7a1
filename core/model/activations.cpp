#include "core/model/activations.h"

#include <algorithm>

namespace mbt {
namespace {

/// Rows of one chunk of logits. Each chunk adds to the head's gradient, [Vp,C] in f32, which is read and written once more: with twice C
/// rows that is a third of what the chunk itself moves. Whole tiles of a product; never more than kMost, unless that is less than one tile.
int64_t logits_chunk_rows(const ModelShapes& s, DType act) {
  constexpr int64_t kLeast = 128 << 20, kMost = int64_t{1} << 30, kTile = 128;  // bytes, bytes, rows
  const int64_t row_bytes = s.padded_vocab * size_of(act);
  const int64_t rows = std::max(kLeast / row_bytes, std::min(2 * s.width, kMost / row_bytes));
  return std::min(s.tokens, std::max(kTile, rows / kTile * kTile));
}

/// Tensors the backward of a layer needs come from `kept`, the others from a set that all layers share.
class LayerPlanner {
 public:
  LayerPlanner(ArenaPlan& arena, const ModelConfig& m, const PrecisionPolicy& policy, const ModelShapes& s, bool with_backward,
               const TransposedQuery& wants_transposed)
      : arena_(arena), model_(m), policy_(policy), s_(s), with_backward_(with_backward), wants_transposed_(wants_transposed) {
    for (int64_t i = 0; i < m.num_layers; ++i) shares_columnwise_ |= with_backward && recompute_of(m, i) != Recompute::none;
  }

  LayerSlots plan(int64_t layer, Recompute recompute) {
    const bool is_quantized = policy_.linear(layer).is_quantized();
    LayerSlots l = recompute == Recompute::full ? shared(layer) : LayerSlots{};
    l.input = stream();
    if (recompute == Recompute::full) return l;
    // Norm and activation outputs: with quantized inputs their codes are kept instead; with selective recompute neither is.
    const bool keeps_outputs = recompute == Recompute::none && !is_quantized;
    add_always_kept(l);
    const LayerSlots& common = shared(layer);
    l.input_norm = keeps_outputs ? stream() : common.input_norm;
    l.mlp_norm = keeps_outputs ? stream() : common.mlp_norm;
    l.activation = keeps_outputs ? act({s_.tokens, s_.ffn}) : common.activation;
    l.dy_qkv = common.dy_qkv, l.dy_proj = common.dy_proj, l.dy_fc1 = common.dy_fc1, l.dy_fc2 = common.dy_fc2;
    auto codes = [&](const QuantSlots& c) { return recompute == Recompute::none ? keep_columnwise(c) : c; };
    l.x_qkv = codes(common.x_qkv), l.x_proj = codes(common.x_proj), l.x_fc1 = codes(common.x_fc1), l.x_fc2 = codes(common.x_fc2);
    return l;
  }

  /// The set that layers without their own tensors use, one for quantized and one for plain layers.
  const LayerSlots& shared(int64_t layer) {
    const bool is_quantized = policy_.linear(layer).is_quantized();
    LayerSlots& l = shared_[is_quantized];
    if (l.input_norm.empty()) {
      if (!shared_[!is_quantized].input_norm.empty()) l = shared_[!is_quantized];
      else add_all(l);
      if (is_quantized) add_quantized(l, layer);
    }
    return l;
  }

  TensorSlot act(const Shape& shape) { return arena_.add(MemoryCategory::activations, policy_.act, shape); }
  TensorSlot f32(const Shape& shape) { return arena_.add(MemoryCategory::activations, DType::f32, shape); }
  TensorSlot stream() { return act({s_.tokens, s_.width}); }
  TensorSlot mean() { return model_.normalization == "LayerNorm" ? f32({s_.tokens}) : TensorSlot{}; }

 private:
  void add_always_kept(LayerSlots& l) {
    l.input_rstd = f32({s_.tokens});
    l.input_mean = mean();
    if (model_.qk_layernorm) {
      l.qkv_raw = act({s_.tokens, s_.qkv});
      l.qk_rstd = f32({s_.tokens, s_.heads + s_.kv_heads});
    }
    l.qkv = act({s_.tokens, s_.qkv});
    l.attention = act({s_.tokens, s_.attention});
    l.lse = f32({s_.batch, s_.heads, s_.sequence});
    l.middle = stream();
    l.mlp_rstd = f32({s_.tokens});
    l.mlp_mean = mean();
    l.fc1 = act({s_.tokens, s_.fc1});
  }
  void add_all(LayerSlots& l) {
    add_always_kept(l);
    l.input_norm = stream();
    l.mlp_norm = stream();
    l.activation = act({s_.tokens, s_.ffn});
  }
  void add_quantized(LayerSlots& l, int64_t layer) {
    const LinearPrecision& p = policy_.linear(layer);
    auto plan = [&](const QuantSpec& spec, int64_t cols, bool columnwise) {
      const QuantCopies copies{.columnwise = columnwise, .columnwise_is_transposed = columnwise && wants_transposed_(spec)};
      return plan_quantized(arena_, MemoryCategory::workspace, spec, s_.tokens, cols, copies);
    };
    auto x = [&](int64_t cols) { return plan(*p.input, cols, shares_columnwise_); };
    l.x_qkv = x(s_.width), l.x_proj = x(s_.attention), l.x_fc1 = x(s_.width), l.x_fc2 = x(s_.ffn);
    if (!with_backward_) return;
    auto dy = [&](int64_t cols) { return plan(*p.grad_output, cols, true); };
    l.dy_qkv = dy(s_.qkv), l.dy_proj = dy(s_.width), l.dy_fc1 = dy(s_.fc1), l.dy_fc2 = dy(s_.width);
  }
  /// Backward reads the column-wise copy alone: the row-wise one stays in the shared set unless both are the same codes.
  QuantSlots keep_columnwise(const QuantSlots& common) {
    if (common.empty()) return common;
    const QuantCopies copies{.rowwise = false, .columnwise_is_transposed = wants_transposed_(common.spec)};
    QuantSlots kept = plan_quantized(arena_, MemoryCategory::activations, common.spec, common.rows, common.cols, copies);
    if (!kept.is_shared()) kept.row_codes = common.row_codes, kept.row_scale = common.row_scale, kept.row_amax = common.row_amax;
    return kept;
  }

  ArenaPlan& arena_;
  const ModelConfig& model_;
  const PrecisionPolicy& policy_;
  const ModelShapes& s_;
  LayerSlots shared_[2];
  bool with_backward_;
  const TransposedQuery& wants_transposed_;
  bool shares_columnwise_ = false;  // some layer's wgrad reads the column-wise codes of inputs from the shared set
};

SharedSlots plan_shared(ArenaPlan& arena, const ModelConfig& m, const PrecisionPolicy& policy, const ModelShapes& s, int64_t logits_rows,
                        const BatchInputs& inputs, bool with_backward) {
  auto add = [&](DType t, const Shape& shape) { return arena.add(MemoryCategory::workspace, t, shape); };
  auto act = [&](int64_t cols) { return add(policy.act, {s.tokens, cols}); };
  SharedSlots w;
  w.tokens = add(DType::i32, {s.tokens});
  w.targets = add(DType::i32, {s.tokens});
  w.loss_mask = add(DType::f32, {s.tokens});
  if (inputs.document_start) w.document_start = add(DType::i32, {s.tokens});
  if (inputs.positions) w.positions = add(DType::i32, {s.tokens});
  w.scalars = add(DType::i32, {sizeof(BatchScalars) / sizeof(int32_t)});
  w.loss = add(DType::f32, {s.tokens});
  w.loss_sum = add(DType::f64, {1});
  w.delta = act(s.width);
  w.final_input = act(s.width);
  w.final_rstd = add(DType::f32, {s.tokens});
  if (m.normalization == "LayerNorm") w.final_mean = add(DType::f32, {s.tokens});
  w.final_norm = act(s.width);
  w.logits = add(policy.act, {logits_rows, s.padded_vocab});
  if (!with_backward) return w;
  w.d_stream = act(s.width);
  w.d_norm = act(s.width);
  w.d_qkv = act(s.qkv);
  w.d_attention = act(s.attention);
  w.d_fc1 = act(s.fc1);
  w.d_activation = act(s.ffn);
  return w;
}

template <class F>
void for_each_tensor(LayerSlots& from, LayerViews& to, F&& f) {
  f(from.input, to.input), f(from.input_rstd, to.input_rstd), f(from.input_mean, to.input_mean), f(from.input_norm, to.input_norm);
  f(from.qkv_raw, to.qkv_raw), f(from.qk_rstd, to.qk_rstd), f(from.qkv, to.qkv), f(from.attention, to.attention), f(from.lse, to.lse);
  f(from.middle, to.middle), f(from.mlp_rstd, to.mlp_rstd), f(from.mlp_mean, to.mlp_mean), f(from.mlp_norm, to.mlp_norm);
  f(from.fc1, to.fc1), f(from.activation, to.activation);
  f(from.x_qkv, to.x_qkv), f(from.x_proj, to.x_proj), f(from.x_fc1, to.x_fc1), f(from.x_fc2, to.x_fc2);
  f(from.dy_qkv, to.dy_qkv), f(from.dy_proj, to.dy_proj), f(from.dy_fc1, to.dy_fc1), f(from.dy_fc2, to.dy_fc2);
}

template <class F>
void for_each_tensor(SharedSlots& from, SharedViews& to, F&& f) {
  f(from.tokens, to.tokens), f(from.targets, to.targets), f(from.loss_mask, to.loss_mask), f(from.document_start, to.document_start);
  f(from.positions, to.positions), f(from.scalars, to.scalars), f(from.loss, to.loss), f(from.loss_sum, to.loss_sum);
  f(from.delta, to.delta), f(from.final_input, to.final_input), f(from.final_rstd, to.final_rstd), f(from.final_mean, to.final_mean);
  f(from.final_norm, to.final_norm), f(from.logits, to.logits), f(from.d_stream, to.d_stream), f(from.d_norm, to.d_norm);
  f(from.d_qkv, to.d_qkv), f(from.d_attention, to.d_attention), f(from.d_fc1, to.d_fc1), f(from.d_activation, to.d_activation);
}

}  // namespace

BatchInputs batch_inputs(const DatasetConfig& dataset, const ModelConfig& model) {
  return {.document_start = dataset.uses_document_mask(), .positions = dataset.uses_positions() && model.position_embedding_type != "none"};
}

Recompute recompute_of(const ModelConfig& m, int64_t layer) {
  if (!m.recompute_granularity) return Recompute::none;
  if (*m.recompute_granularity == "selective") return Recompute::selective;
  if (m.recompute_method == "block" && layer >= m.recompute_num_layers.value_or(m.num_layers)) return Recompute::none;
  return Recompute::full;
}

ActivationsPlan plan_activations(const ModelConfig& m, const PrecisionPolicy& policy, int64_t micro_batch, bool with_backward,
                                 const TransposedQuery& wants_transposed, const BatchInputs& inputs) {
  ActivationsPlan plan;
  const ModelShapes s = shapes_of(m, micro_batch, m.seq_length);
  LayerPlanner planner(plan.arena, m, policy, s, with_backward, wants_transposed);
  if (with_backward) {
    for (int64_t i = 0; i < m.num_layers; ++i) plan.layers.push_back(planner.plan(i, recompute_of(m, i)));
  } else {
    const TensorSlot input = planner.stream();
    for (int64_t i = 0; i < m.num_layers; ++i) {
      plan.layers.push_back(planner.shared(i));
      plan.layers.back().input = input;
    }
  }
  plan.logits_rows = logits_chunk_rows(s, policy.act);
  plan.shared = plan_shared(plan.arena, m, policy, s, plan.logits_rows, inputs, with_backward);
  return plan;
}

Activations bind_activations(const ActivationsPlan& plan, void* base) {
  struct Binder {
    const ArenaPlan& arena;
    void* base;
    void operator()(const TensorSlot& from, TensorView& to) const { to = arena.bind(base, from); }
    void operator()(const QuantSlots& from, QuantTensorView& to) const { to = bind_quantized(arena, base, from); }
  };
  const Binder binder{plan.arena, base};
  Activations a;
  for (LayerSlots slots : plan.layers) {
    a.layers.emplace_back();
    for_each_tensor(slots, a.layers.back(), binder);
  }
  SharedSlots shared = plan.shared;
  for_each_tensor(shared, a.shared, binder);
  return a;
}

}  // namespace mbt
