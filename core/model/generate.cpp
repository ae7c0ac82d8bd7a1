#include "core/model/generate.h"

#include <algorithm>

namespace mbt {
namespace {

constexpr int64_t kPiece = 64;  // tokens of a prompt fed at once

}  // namespace

Generator::Generator(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, Weights& weights, int64_t capacity)
    : backend_(backend),
      model_(model),
      policy_(policy),
      weights_(weights),
      capacity_(capacity),
      rope_(upload_rope_table(backend, model, capacity)),
      context_{.backend = backend,
               .model = model_,
               .policy = policy_,
               .shapes = shapes_of(model, 1, kPiece),
               .rope_table = rope_.table,
               .softmax_scale = static_cast<float>(model.attention_scale()),
               .document_start = {},
               .positions = {}},
      ends_(bind_embedding_head(weights, model)) {
  for (int64_t i = 0; i < model.num_layers; ++i) layers_.push_back(bind_layer(weights, model, i));
  allocate();
}

/// One block of memory: what the layers share, and the caches.
void Generator::allocate() {
  ActivationsPlan plan = plan_generation(model_, policy_, kPiece);
  const ModelShapes& s = context_.shapes;
  const auto add = [&](DType t, const Shape& shape) { return plan.arena.add(MemoryCategory::workspace, t, shape); };
  const TensorSlot logits_f32 = add(DType::f32, {1, s.padded_vocab});
  std::vector<std::pair<TensorSlot, TensorSlot>> caches;
  for (int64_t i = 0; i < model_.num_layers; ++i) {
    const Shape shape{capacity_, s.kv_heads * s.head};
    const TensorSlot k = add(policy_.act, shape), v = add(policy_.act, shape);
    caches.emplace_back(k, v);
  }
  memory_ = Buffer(backend_, static_cast<size_t>(plan.arena.total_bytes()));
  acts_ = bind_activations(plan, memory_.data(), weights_.delayed());
  logits_f32_ = plan.arena.bind(memory_.data(), logits_f32);
  for (const auto& [k, v] : caches) caches_.push_back({plan.arena.bind(memory_.data(), k), plan.arena.bind(memory_.data(), v)});
}

void Generator::cached_attention(int64_t layer, const LayerViews& a, const QuantOutput& quantized) {
  const Cache& cache = caches_[static_cast<size_t>(layer)];
  backend_.attention_cached({.qkv = a.qkv,
                             .k_cache = cache.k,
                             .v_cache = cache.v,
                             .out = a.attention,
                             .num_heads = context_.shapes.heads,
                             .num_kv_heads = context_.shapes.kv_heads,
                             .first_position = position_,
                             .scale = context_.softmax_scale});
  if (!quantized.empty()) backend_.quantize({.x = a.attention, .to = quantized});
}

void Generator::feed_piece(const int32_t* tokens, int64_t count) {
  context_.shapes = shapes_of(model_, 1, count);
  context_.first_position = position_;
  SharedViews shared = acts_.shared;
  shared.delta = shared.delta.row_range(0, count);
  const TensorView ids = shared.tokens.element_range(0, count);
  backend_.upload(tokens, ids);
  ConstTensorView stream, delta;
  for (int64_t i = 0; i < model_.num_layers; ++i) {
    const LayerViews a = first_tokens(acts_.layers[static_cast<size_t>(i)], count);
    if (i == 0) {
      embedding_fwd(context_, ends_, ids, a.input);
      stream = a.input;
    }
    const auto attention = [&](const LayerViews& views, const QuantOutput& quantized) { cached_attention(i, views, quantized); };
    layer_fwd(context_, {.is_training = false}, i, layers_[static_cast<size_t>(i)], a, shared, stream, delta, attention);
    stream = a.middle;
    delta = shared.delta;
  }
  position_ += count;
}

/// row: of the piece that was fed last.
std::vector<float> Generator::logits_of_row(int64_t row) {
  const SharedViews& t = acts_.shared;
  const TensorView h = t.final_input.row_range(row, 1), y = t.final_norm.row_range(0, 1);
  const auto one = [](const TensorView& v) { return v.empty() ? v : v.element_range(0, 1); };
  final_norm_fwd(context_, ends_, h, t.delta.row_range(row, 1), h, y, one(t.final_rstd), one(t.final_mean));
  head_fwd(context_, ends_, y, t.logits);
  backend_.cast({.src = t.logits, .dst = logits_f32_});
  std::vector<float> logits(static_cast<size_t>(logits_f32_.size()));
  backend_.download(logits_f32_, logits.data());
  logits.resize(static_cast<size_t>(context_.shapes.vocab));
  return logits;
}

std::vector<float> Generator::feed(const std::vector<int32_t>& tokens) {
  MBT_CHECK(!tokens.empty(), "nothing to feed");
  const auto n = static_cast<int64_t>(tokens.size());
  if (position_ + n > capacity_)
    throw InputError(fmt::format("a sequence of {} tokens does not fit into {} positions", position_ + n, capacity_));
  if (weights_.codes_are_stale()) weights_.quantize_working();
  int64_t last = 0;
  for (int64_t first = 0; first < n; first += kPiece) {
    const int64_t count = std::min(kPiece, n - first);
    feed_piece(tokens.data() + first, count);
    last = count - 1;
  }
  return logits_of_row(last);
}

}  // namespace mbt
