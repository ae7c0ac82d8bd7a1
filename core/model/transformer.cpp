#include "core/model/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/backend/range.h"

namespace mbt {

namespace {

/// Documents are what core/ops/attention.h says. Kernels would note the first that is none, but only when the host next waits for them.
void expect_documents(const int32_t* start, const ModelShapes& s) {
  for (int64_t n = 0; n < s.tokens; ++n) {
    const int64_t t = n % s.sequence;
    if (start[n] == t || (t > 0 && start[n] == start[n - 1])) continue;
    throw Error(
        fmt::format("micro-batch: document_start of sample {}, token {} is {}, expected {}{}", n / s.sequence, t, start[n], t,
                    t == 0 ? std::string(": a sample begins a document") : fmt::format(", or {} as of the token before it", start[n - 1])));
  }
}

void expect_positions(const int32_t* positions, const ModelShapes& s) {
  for (int64_t n = 0; n < s.tokens; ++n)
    if (positions[n] < 0 || positions[n] >= s.sequence)
      throw Error(fmt::format("micro-batch: the position of sample {}, token {} is {}, expected 0 to {} (model.seq_length - 1)",
                              n / s.sequence, n % s.sequence, positions[n], s.sequence - 1));
}

}  // namespace

Transformer::Transformer(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, Weights& weights, int64_t micro_batch,
                         bool with_backward, const BatchInputs& inputs)
    : backend_(backend),
      model_(model),
      policy_(policy),
      weights_(weights),
      plan_(plan_activations(model, policy, micro_batch, with_backward, transposed_query(backend), inputs)),
      memory_(backend, static_cast<size_t>(plan_.arena.total_bytes())),
      rope_(upload_rope_table(backend, model, model.seq_length)),
      acts_(bind_activations(plan_, memory_.data(), weights.delayed())),
      context_{.backend = backend,
               .model = model_,
               .policy = policy_,
               .shapes = shapes_of(model, micro_batch, model.seq_length),
               .rope_table = rope_.table,
               .softmax_scale = static_cast<float>(model.attention_scale()),
               .document_start = acts_.shared.document_start,
               .positions = acts_.shared.positions},
      ends_(bind_embedding_head(weights, model)) {
  for (int64_t i = 0; i < model.num_layers; ++i) {
    layers_.push_back(bind_layer(weights, model, i));
    layer_names_.push_back(fmt::format("layer {}", i));
  }
}

/// The inputs that not every run has, as the ops see them. Where a micro-batch leaves them out: documents and positions of whole rows.
void Transformer::put_sequence_inputs(const MicroBatch& batch, int32_t* document_start, int32_t* positions) const {
  const ModelShapes& s = context_.shapes;
  MBT_CHECK((!batch.document_start || document_start) && (!batch.positions || positions),
            "a micro-batch with documents or positions, for a transformer that was made without BatchInputs of them");
  if (batch.document_start) expect_documents(batch.document_start, s);
  if (batch.positions) expect_positions(batch.positions, s);
  for (int64_t n = 0; n < s.tokens; ++n) {
    if (document_start) document_start[n] = batch.document_start ? batch.document_start[n] : 0;
    if (positions) positions[n] = batch.positions ? batch.positions[n] : static_cast<int32_t>(n % s.sequence);
  }
}

/// One copy to the device. Returns what the ops are told: nothing that differs between micro-batches.
PassContext Transformer::upload(const PassContext& pass, const MicroBatch& batch, float loss_gradient_scale) {
  const SharedViews& t = acts_.shared;
  const BatchScalars scalars{.stream = pass.stream, .loss_gradient_scale = loss_gradient_scale};
  const auto offset = [&](const TensorView& v) { return static_cast<char*>(v.data) - static_cast<char*>(t.tokens.data); };
  const TensorView block(t.tokens.data, DType::u8, {offset(t.scalars) + t.scalars.size_bytes()});
  char* const staged = static_cast<char*>(backend_.stage(block));
  const auto put = [&](const TensorView& v, const void* from) {
    std::memcpy(staged + offset(v), from, static_cast<size_t>(v.size_bytes()));
  };
  put(t.tokens, batch.tokens), put(t.targets, batch.targets), put(t.loss_mask, batch.loss_mask), put(t.scalars, &scalars);
  const auto at = [&](const TensorView& v) { return v.empty() ? nullptr : reinterpret_cast<int32_t*>(staged + offset(v)); };
  put_sequence_inputs(batch, at(t.document_start), at(t.positions));
  backend_.submit_staged();
  return {.is_training = pass.is_training, .seed = pass.seed, .stream = 0, .device_stream = t.scalars.as<uint64_t>()};
}

void Transformer::forward_layers(const PassContext& pass, UnitHooks* hooks) {
  const Range range(backend_, "forward");
  const auto enter = [&](int64_t unit) {
    if (hooks) hooks->before_forward(unit);
  };
  enter(0);
  const SharedViews& t = acts_.shared;
  embedding_fwd(context_, ends_, t.tokens, acts_.layers.front().input);
  const auto attention = [this](const LayerViews& a, const QuantOutput& quantized) { sequence_attention_fwd(context_, a, quantized); };
  ConstTensorView stream = acts_.layers.front().input, delta;
  for (int64_t i = 0; i < model_.num_layers; ++i) {
    const LayerViews& a = acts_.layers[static_cast<size_t>(i)];
    const Range layer(backend_, layer_names_[static_cast<size_t>(i)].c_str());
    enter(i + 1);
    layer_fwd(context_, pass, i, layers_[static_cast<size_t>(i)], a, t, stream, delta, attention);
    stream = a.middle;
    delta = t.delta;
  }
  enter(model_.num_layers + 1);
  final_norm_fwd(context_, ends_, stream, delta, t.final_input, t.final_norm, t.final_rstd, t.final_mean);
}

/// Logits, loss and their gradient chunk by chunk: no [N,V] tensor exists.
void Transformer::head(bool with_backward) {
  const Range range(backend_, "head and loss");
  const SharedViews& t = acts_.shared;
  const TensorView loss_gradient_scale(t.scalars.as<char>() + offsetof(BatchScalars, loss_gradient_scale), DType::f32, {1});
  const int64_t n = context_.shapes.tokens;
  for (int64_t first = 0; first < n; first += plan_.logits_rows) {
    const int64_t rows = std::min(plan_.logits_rows, n - first);
    const TensorView logits = t.logits.row_range(0, rows), x = t.final_norm.row_range(first, rows);
    auto tokens = [&](const TensorView& v) { return v.reshaped({n, 1}).row_range(first, rows).reshaped({rows}); };
    head_fwd(context_, ends_, x, logits);
    if (logits_hook_) logits_hook_(logits, first);
    backend_.cross_entropy({.logits = logits,
                            .targets = tokens(t.targets),
                            .loss_mask = tokens(t.loss_mask),
                            .loss = tokens(t.loss),
                            .vocab_size = context_.shapes.vocab,
                            .compute_gradient = with_backward,
                            .device_scale = loss_gradient_scale});
    if (!with_backward) continue;
    backend_.gemm({.role = GemmRole::dgrad, .a = logits, .b = ends_.head, .d = t.d_norm.row_range(first, rows)});
    backend_.gemm({.role = GemmRole::wgrad, .a = logits, .b = x, .d = ends_.d_head, .accumulate = true});
  }
  backend_.sum({.x = t.loss, .out = t.loss_sum});
}

void Transformer::backward_layers(const PassContext& pass, UnitHooks* hooks) {
  const Range range(backend_, "backward");
  const auto leave = [&](int64_t unit) {
    if (hooks) hooks->after_backward(unit);
  };
  const SharedViews& t = acts_.shared;
  // A norm's backward makes d_stream, and with it the codes that fc2 of layer i, reached next, reads as its output's gradient.
  const auto quantized_for_layer = [&](int64_t i) {
    if (i < 0) return QuantOutput{};
    const auto at = static_cast<size_t>(i);
    return quantized_for(pass, layers_[at].fc2, acts_.layers[at].dy_fc2);
  };
  backend_.norm_bwd({.kind = norm_kind(model_),
                     .d_y = t.d_norm,
                     .h = t.final_input,
                     .weight = ends_.final_norm.weight,
                     .rstd = t.final_rstd,
                     .d_h = t.d_stream,
                     .d_weight = ends_.final_norm.d_weight,
                     .mean = t.final_mean,
                     .d_bias = ends_.final_norm.d_bias,
                     .accumulate = false,
                     .quantized = quantized_for_layer(model_.num_layers - 1)});
  leave(model_.num_layers + 1);
  for (int64_t i = model_.num_layers - 1; i >= 0; --i) {
    const auto at = static_cast<size_t>(i);
    const Range layer(backend_, layer_names_[at].c_str());
    layer_bwd(context_, pass, i, layers_[at], acts_.layers[at], t, quantized_for_layer(i - 1));
    leave(i + 1);
  }
  backend_.embedding_bwd({.d_out = t.d_stream,
                          .tokens = t.tokens,
                          .d_table = ends_.d_word,
                          .sequence_length = model_.seq_length,
                          .d_position_table = ends_.d_position,
                          .positions = t.positions});
  leave(0);
}

/// Outside of what repeats: between ranks the amaxes meet first.
void Transformer::update_scales() {
  const DelayedState& delayed = weights_.delayed();
  if (delayed.empty()) return;
  if (amax_exchange_) amax_exchange_(delayed.staged());
  delayed.update(backend_);
}

std::string Transformer::first_non_finite_activation() {
  auto has_non_finite = [&](const TensorView& t) {
    std::vector<float> values(static_cast<size_t>(t.size()));
    Buffer as_f32(backend_, values.size() * sizeof(float));
    const TensorView f32(as_f32.data(), DType::f32, t.shape);
    backend_.cast({.src = t, .dst = f32});
    backend_.download(f32, values.data());
    return std::any_of(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  };
  for (int64_t i = 0; i < model_.num_layers; ++i) {
    if (has_non_finite(acts_.layers[static_cast<size_t>(i)].input))
      return i == 0 ? "the embedding's output" : fmt::format("the output of layer {}", i - 1);
  }
  if (has_non_finite(acts_.shared.final_input)) return fmt::format("the output of layer {}", model_.num_layers - 1);
  return "";
}

void Transformer::forward_backward(const PassContext& pass, const MicroBatch& batch, float loss_gradient_scale, UnitHooks* hooks) {
  const Range range(backend_, "micro-batch");
  const PassContext same = upload(pass, batch, loss_gradient_scale);
  if (weights_.codes_are_stale()) weights_.quantize_working();  // once a step: no part of what repeats
  const auto ops = [&] {
    forward_layers(same, hooks);
    head(true);
    backward_layers(same, hooks);
  };
  if (!replays_ || logits_hook_ || hooks) {
    ops();  // a hook looks at what a replay would not stop for
  } else {
    if (recorded_pass_ != same) micro_batch_.reset();
    recorded_pass_ = same;
    backend_.replay(micro_batch_, ops);
  }
  update_scales();
}

void Transformer::forward(const PassContext& pass, const MicroBatch& batch) {
  const PassContext same = upload(pass, batch, 1.0f);
  if (weights_.codes_are_stale()) weights_.quantize_working();
  forward_layers(same, nullptr);
  head(false);
}

}  // namespace mbt
