#include "core/model/generate.h"

#include <algorithm>
#include <cmath>

#include "core/model/rope_table.h"

namespace mbt {
namespace {

constexpr int64_t kPiece = 64;  // tokens of a prompt fed at once

}  // namespace

Generator::Generator(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, Weights& weights, int64_t capacity)
    : backend_(backend), model_(model), policy_(policy), weights_(weights), capacity_(capacity), s_(shapes_of(model, 1, kPiece)) {
  std::vector<std::pair<TensorSlot, TensorView*>> wanted;
  auto want = [&](TensorView& view, DType t, const Shape& shape) {
    wanted.emplace_back(arena_.add(MemoryCategory::workspace, t, shape), &view);
  };
  auto want_act = [&](TensorView& view, int64_t cols) { want(view, policy.act, {kPiece, cols}); };
  TensorView rope;
  want(tokens_, DType::i32, {kPiece});
  want_act(stream_, s_.width), want_act(delta_, s_.width), want_act(norm_, s_.width), want_act(qkv_, s_.qkv);
  want_act(attention_, s_.attention), want_act(fc1_, s_.fc1), want_act(activation_, s_.ffn);
  want(rstd_, DType::f32, {kPiece}), want(mean_, DType::f32, {kPiece});
  if (model.qk_layernorm) want_act(qkv_raw_, s_.qkv), want(qk_rstd_, DType::f32, {kPiece, s_.heads + s_.kv_heads});
  want(logits_, policy.act, {1, s_.padded_vocab}), want(logits_f32_, DType::f32, {1, s_.padded_vocab});
  if (model.position_embedding_type == "rope") want(rope, DType::f32, {capacity, rotary_width(model)});
  layers_.resize(static_cast<size_t>(model.num_layers));
  struct InputSlots {
    QuantSlots slots;
    QuantTensorView* view;
    int64_t layer;
    LinearKind linear;
  };
  std::vector<InputSlots> inputs;
  for (int64_t i = 0; i < model.num_layers; ++i) {
    LayerState& l = layers_[static_cast<size_t>(i)];
    want(l.k_cache, policy.act, {capacity, s_.kv_heads * s_.head}), want(l.v_cache, policy.act, {capacity, s_.kv_heads * s_.head});
    const LinearPrecision& p = policy.linear(i);
    if (!p.is_quantized()) continue;
    const std::pair<QuantTensorView*, int64_t> views[] = {
        {&l.x_qkv, s_.width}, {&l.x_proj, s_.attention}, {&l.x_fc1, s_.width}, {&l.x_fc2, s_.ffn}};
    for (int k = 0; k < 4; ++k) {
      const QuantSlots slots = plan_quantized(arena_, MemoryCategory::workspace, *p.input, kPiece, views[k].second, {.columnwise = false});
      inputs.push_back({slots, views[k].first, i, static_cast<LinearKind>(k)});
    }
  }
  memory_ = Buffer(backend, static_cast<size_t>(arena_.total_bytes()));
  for (auto& [slot, view] : wanted) *view = arena_.bind(memory_.data(), slot);
  for (const InputSlots& in : inputs) {
    *in.view = bind_quantized(arena_, memory_.data(), in.slots);
    weights.delayed().attach(*in.view, in.layer, in.linear, TensorRole::input);
  }
  for (int64_t i = 0; i < model.num_layers; ++i) layers_[static_cast<size_t>(i)].params = bind_layer(weights, model, i);
  if (!rope.empty()) backend.upload(rope_table(model, capacity).data(), rope);
  rope_table_ = rope;
  final_norm_ = bind_norm(weights, "final_norm");
  const ParamList& params = weights.params();
  word_ = weights.working(params.index_of("embedding.word.weight"));
  head_ = weights.working(params.index_of(model.share_embeddings_and_output_weights ? "embedding.word.weight" : "head.weight"));
  if (const int64_t position = params.index_of("embedding.position.weight"); position >= 0) position_table_ = weights.working(position);
}

void Generator::layer(int64_t i, int64_t count) {
  const LayerState& l = layers_[static_cast<size_t>(i)];
  const LinearPrecision& precision = policy_.linear(i);
  const PassContext pass{.is_training = false};
  auto rows = [count](const TensorView& t) { return t.row_range(0, count); };
  auto flat = [count](const TensorView& t) { return TensorView(t.data, t.dtype, {count}); };
  auto part = [count](QuantTensorView q) {
    if (!q.empty()) q.rows = count;
    return q;
  };
  auto linear = [&](const LinearParams& w, const TensorView& x, const QuantTensorView& x_q, const TensorView& y) {
    linear_fwd(backend_, precision, w, x, x_q, y);
  };
  const QuantTensorView x_qkv = part(l.x_qkv), x_proj = part(l.x_proj), x_fc1 = part(l.x_fc1), x_fc2 = part(l.x_fc2);
  auto norm = [&](const NormParams& w, const TensorView& delta, const QuantOutput& quantized) {
    backend_.norm_fwd({.kind = norm_kind(model_),
                       .x = rows(stream_),
                       .weight = w.weight,
                       .y = rows(norm_),
                       .rstd = flat(rstd_),
                       .bias = w.bias,
                       .mean = flat(mean_),
                       .delta = delta,
                       .h = rows(stream_),
                       .eps = static_cast<float>(model_.layernorm_epsilon),
                       .quantized = quantized,
                       .keeps_y = quantized.empty()});
  };
  norm(l.params.input_norm, i == 0 ? TensorView() : rows(delta_), quantized_for(pass, l.params.qkv, x_qkv));
  linear(l.params.qkv, rows(norm_), x_qkv, rows(model_.qk_layernorm ? qkv_raw_ : qkv_));
  if (model_.qk_layernorm) {
    backend_.qk_norm_fwd({.qkv = rows(qkv_raw_),
                          .q_weight = l.params.q_norm,
                          .k_weight = l.params.k_norm,
                          .qkv_out = rows(qkv_),
                          .rstd = rows(qk_rstd_),
                          .num_heads = s_.heads,
                          .num_kv_heads = s_.kv_heads,
                          .eps = static_cast<float>(model_.layernorm_epsilon)});
  }
  if (!rope_table_.empty()) {
    backend_.rope({.qkv = rows(qkv_),
                   .cos_sin = rope_table_,
                   .num_heads = s_.heads,
                   .num_kv_heads = s_.kv_heads,
                   .sequence_length = count,
                   .first_position = position_});
  }
  const double scale = model_.attention_scale();
  backend_.attention_cached({.qkv = rows(qkv_),
                             .k_cache = l.k_cache,
                             .v_cache = l.v_cache,
                             .out = rows(attention_),
                             .num_heads = s_.heads,
                             .num_kv_heads = s_.kv_heads,
                             .first_position = position_,
                             .scale = static_cast<float>(scale)});
  quantize_for(backend_, pass, l.params.proj, rows(attention_), x_proj);
  linear(l.params.proj, rows(attention_), x_proj, rows(delta_));
  norm(l.params.mlp_norm, rows(delta_), quantized_for(pass, l.params.fc1, x_fc1));
  linear(l.params.fc1, rows(norm_), x_fc1, rows(fc1_));
  backend_.activation_fwd({.kind = activation_kind(model_),
                           .x = rows(fc1_),
                           .y = rows(activation_),
                           .quantized = quantized_for(pass, l.params.fc2, x_fc2),
                           .keeps_y = x_fc2.empty()});
  linear(l.params.fc2, rows(activation_), x_fc2, rows(delta_));
}

void Generator::feed_piece(const int32_t* tokens, int64_t count) {
  const TensorView ids(tokens_.data, DType::i32, {count});
  backend_.upload(tokens, ids);
  backend_.embedding_fwd({.tokens = ids,
                          .table = word_,
                          .out = stream_.row_range(0, count),
                          .sequence_length = count,
                          .position_table = position_table_,
                          .first_position = position_});
  for (int64_t i = 0; i < model_.num_layers; ++i) layer(i, count);
  position_ += count;
}

std::vector<float> Generator::feed(const std::vector<int32_t>& tokens) {
  MBT_CHECK(!tokens.empty(), "nothing to feed");
  const auto n = static_cast<int64_t>(tokens.size());
  if (position_ + n > capacity_)
    throw InputError(text("a sequence of ", position_ + n, " tokens does not fit into ", capacity_, " positions"));
  if (weights_.codes_are_stale()) weights_.quantize_working();
  int64_t last = 0;
  for (int64_t first = 0; first < n; first += kPiece) {
    const int64_t count = std::min(kPiece, n - first);
    feed_piece(tokens.data() + first, count);
    last = count - 1;
  }
  const TensorView x = stream_.row_range(last, 1), y = norm_.row_range(0, 1);
  backend_.norm_fwd({.kind = norm_kind(model_),
                     .x = x,
                     .weight = final_norm_.weight,
                     .y = y,
                     .rstd = TensorView(rstd_.data, DType::f32, {1}),
                     .bias = final_norm_.bias,
                     .mean = TensorView(mean_.data, DType::f32, {1}),
                     .delta = delta_.row_range(last, 1),
                     .h = x,
                     .eps = static_cast<float>(model_.layernorm_epsilon)});
  backend_.gemm({.role = GemmRole::fprop, .a = y, .b = head_, .d = logits_});
  backend_.cast({.src = logits_, .dst = logits_f32_});
  std::vector<float> logits(static_cast<size_t>(s_.padded_vocab));
  backend_.download(logits_f32_, logits.data());
  logits.resize(static_cast<size_t>(s_.vocab));
  return logits;
}

}  // namespace mbt
