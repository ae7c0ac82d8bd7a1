// The model under every recipe: recomputation, repetition, accumulation, code-only weights, delayed scaling's state, generation.
#include <algorithm>
#include <cmath>

#include "core/model/generate.h"
#include "core/model/linear.h"
#include "core/optim/optimizer.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::transformer_test {

namespace {

/// A small grouped-query model with QK-norm, and what `recipe` makes of it.
struct Setup {
  explicit Setup(const std::string& recipe) {
    const RunConfig c = resolved({"--mixed-precision", recipe, "--model.hidden_size", "32", "--model.num_attention_heads", "4",
                                  "--model.num_query_groups", "2", "--model.ffn_hidden_size", "48", "--model.qk_layernorm", "true",
                                  "--seq-length", "16", "--vocab-size", "50", "--model.init_method_std", "0.1"});
    model = c.model;
    policy = make_policy(c.model, c.ddp);
  }
  ModelConfig model;
  PrecisionPolicy policy;
};

/// Gradients of a second micro-batch: by then delayed scales are no longer their initial 1.
std::vector<float> second_gradients(const ModelConfig& model, const PrecisionPolicy& policy, bool with_documents = false) {
  TinyModel m(model, policy, 2, 1, {.document_start = with_documents, .positions = with_documents});
  RandomBatch first(model, 2, 5), second(model, 2, 6);
  if (with_documents) first.add_documents(7), second.add_documents(5);
  m.gradients(first);
  return m.gradients(second);
}

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

template <class T>
std::vector<T> download(Backend& backend, const ConstTensorView& t) {
  std::vector<T> values(static_cast<size_t>(t.size()));
  backend.download(t, values.data());
  return values;
}

std::vector<uint8_t> row_codes(Backend& backend, const QuantTensorView& q) {
  return download<uint8_t>(backend, {q.rowwise.codes, DType::u8, {q.rows, q.cols}});
}

/// Logits [T,V] of one sequence by the ordinary forward.
std::vector<float> full_logits(TinyModel& m, const RandomBatch& batch) {
  const int64_t vocab = m.config.vocab_size, padded = m.config.padded_vocab_size();
  std::vector<float> logits(static_cast<size_t>(m.config.seq_length * vocab));
  m.transformer.set_logits_hook([&](ConstTensorView chunk, int64_t first) {
    Buffer memory(*m.backend, static_cast<size_t>(chunk.size()) * sizeof(float));
    const TensorView f32(memory.data(), DType::f32, chunk.shape);
    m.backend->cast({.src = chunk, .dst = f32});
    const std::vector<float> values = download<float>(*m.backend, f32);
    for (int64_t r = 0; r < chunk.rows(); ++r) std::copy_n(values.data() + r * padded, vocab, logits.data() + (first + r) * vocab);
  });
  m.loss(batch);
  m.transformer.set_logits_hook({});
  return logits;
}

/// Largest difference of the generator's logits from row `row`, relative to the row's largest.
double row_error(const std::vector<float>& got, const std::vector<float>& all, int64_t row) {
  const auto* want = all.data() + static_cast<size_t>(row) * got.size();
  double worst = 0, largest = 0;
  for (size_t v = 0; v < got.size(); ++v) {
    worst = std::max(worst, std::fabs(static_cast<double>(got[v]) - want[v]));
    largest = std::max(largest, std::fabs(static_cast<double>(want[v])));
  }
  return worst / largest;
}

void check_generator(const ModelConfig& model, const PrecisionPolicy& policy, double tolerance) {
  const int64_t length = model.seq_length, prompt = 70;  // longer than one piece of 64
  TinyModel m(model, policy, 1);
  const RandomBatch batch(model, 1, 3);
  const std::vector<float> all = full_logits(m, batch);
  Generator generator(*m.backend, model, policy, m.weights, length);
  for (int round = 0; round < 2; ++round) {
    CHECK(row_error(generator.feed({batch.tokens.begin(), batch.tokens.begin() + prompt}), all, prompt - 1) < tolerance);
    for (int64_t t = prompt; t < length; ++t) CHECK(row_error(generator.feed({batch.tokens[static_cast<size_t>(t)]}), all, t) < tolerance);
    CHECK(generator.position() == length);
    CHECK_THROWS_AS(generator.feed({1}), InputError);
    generator.reset();
  }
}

/// One column of delayed scaling: [scale, history...].
std::vector<float> column(TinyModel& m, int64_t index) {
  DelayedState& d = m.weights.delayed();
  const std::vector<float> scale = download<float>(*m.backend, d.scale()), history = download<float>(*m.backend, d.history());
  std::vector<float> c{scale[static_cast<size_t>(index)]};
  for (int64_t r = 0; r < d.history().rows(); ++r) c.push_back(history[static_cast<size_t>(r * d.history().cols() + index)]);
  return c;
}

}  // namespace

TEST_CASE("recomputation gives the very gradients, in every recipe") {
  for (const std::string& recipe : all_recipes()) {
    INFO(recipe);
    Setup s(recipe);
    const std::vector<float> expected = second_gradients(s.model, s.policy), of_documents = second_gradients(s.model, s.policy, true);
    CHECK((all_finite(expected) && all_finite(of_documents)));
    CHECK((second_gradients(s.model, s.policy) == expected));  // the same again
    CHECK((of_documents != expected));
    struct Variant {
      RecomputeGranularity granularity;
      RecomputeMethod method;
      std::optional<int64_t> layers;
    };
    for (const Variant& v :
         {Variant{RecomputeGranularity::selective, RecomputeMethod::uniform, {}},
          Variant{RecomputeGranularity::full, RecomputeMethod::uniform, {}}, Variant{RecomputeGranularity::full, RecomputeMethod::block, 2},
          Variant{RecomputeGranularity::full, RecomputeMethod::block, 0}}) {
      INFO(name_of(v.granularity) << " " << name_of(v.method) << " " << v.layers.value_or(-1));
      ModelConfig model = s.model;
      model.recompute_granularity = v.granularity, model.recompute_method = v.method, model.recompute_num_layers = v.layers;
      CHECK((second_gradients(model, s.policy) == expected));  // in parentheses: a failure prints no thousand numbers
      if (v.method == RecomputeMethod::uniform) CHECK((second_gradients(model, s.policy, true) == of_documents));
    }
  }
}

TEST_CASE("gradients accumulate over micro-batches") {
  const Setup s("fp32");
  const RandomBatch both(s.model, 2, 9);
  TinyModel whole(s.model, s.policy, 2), halves(s.model, s.policy, 1);
  const std::vector<float> expected = whole.gradients(both);
  halves.backend->fill_zero(halves.weights.grad());
  for (int64_t i = 0; i < 2; ++i) {
    const int64_t at = i * s.model.seq_length;
    halves.transformer.forward_backward({.seed = 7, .stream = static_cast<uint64_t>(i)},
                                        {both.tokens.data() + at, both.targets.data() + at, both.mask.data() + at},
                                        static_cast<float>(1.0 / both.tokens_in_loss));
  }
  const std::vector<float> got = download<float>(*halves.backend, halves.weights.grad());
  double worst = 0, largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - expected[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
  }
  CHECK(worst < 1e-6 * largest);
}

TEST_CASE("weights that exist only as codes give the codes and gradients of rounded working weights") {
  for (const std::string& recipe : all_recipes()) {
    INFO(recipe);
    Setup s(recipe);
    if (std::none_of(s.policy.layers.begin(), s.policy.layers.end(), [](const LinearPrecision& l) { return l.is_quantized(); })) continue;
    PrecisionPolicy codes_only = s.policy;
    s.policy.quantized_params = false, codes_only.quantized_params = true;
    TinyModel plain(s.model, s.policy, 2), coded(s.model, codes_only, 2);
    OptimizerConfig adam;
    Optimizer plain_optimizer(*plain.backend, adam, plain.weights), coded_optimizer(*coded.backend, adam, coded.weights);
    for (uint64_t step = 0; step < 3; ++step) {
      for (uint64_t micro_batch = 0; micro_batch < 2; ++micro_batch) {
        const RandomBatch batch(s.model, 2, 10 * step + micro_batch);
        plain.gradients(batch), coded.gradients(batch);  // flat buffers have another order where weights exist only as codes
        for (int64_t i = 0; i < plain.weights.num_params(); ++i)
          CHECK((plain.weights.get(plain.weights.grad(), i) == coded.weights.get(coded.weights.grad(), i)));
      }
      for (int64_t i = 0; i < plain.weights.num_params(); ++i) {
        const QuantTensorView &p = plain.weights.quantized(i), &q = coded.weights.quantized(i);
        REQUIRE(p.empty() == q.empty());
        if (!p.empty()) {
          CHECK(coded.weights.working(i).empty());
          CHECK((row_codes(*plain.backend, p) == row_codes(*coded.backend, q)));
        }
      }
      // The second step finds an "infinite" gradient norm: weights stay, delayed scales have moved all the same.
      adam.grad_norm_skip_threshold = 0.0;
      Optimizer skips_plain(*plain.backend, adam, plain.weights), skips_coded(*coded.backend, adam, coded.weights);
      LossScaler none;
      (step == 1 ? skips_plain : plain_optimizer).step(none, 1e-2, 0.1, false);
      (step == 1 ? skips_coded : coded_optimizer).step(none, 1e-2, 0.1, false);
    }
  }
}

TEST_CASE("delayed scaling: activations advance with every micro-batch, weights with every step, evaluation stages nothing") {
  Setup s("bf16_with_fp8_delayed_scaling_mixed");
  s.policy.amax_history_len = 4;
  TinyModel m(s.model, s.policy, 2);
  constexpr int64_t kInput = 0, kWeight = 1;
  const RandomBatch first(s.model, 2, 1), second(s.model, 2, 2);

  m.gradients(first);
  float amax = 0;
  for (const float w : m.weights.get(m.weights.master(), m.weights.params().index_of("layers.0.qkv.weight")))
    amax = std::max(amax, std::fabs(w));
  const std::vector<float> weight1 = column(m, kWeight), input1 = column(m, kInput);
  CHECK(weight1[4] == Approx(amax).epsilon(0.005));  // of the weight rounded to bf16
  CHECK(weight1 == std::vector<float>{448.0f / weight1[4], 0, 0, 0, weight1[4]});
  CHECK(input1 == std::vector<float>{448.0f / input1[4], 0, 0, 0, input1[4]});

  m.gradients(second);  // the same step: cached codes, nothing staged for the weight
  const std::vector<float> input2 = column(m, kInput);
  CHECK(column(m, kWeight) == weight1);
  CHECK(input2[3] == input1[4]);
  CHECK(input2[0] == 448.0f / std::max(input1[4], input2[4]));

  m.loss(first);  // evaluation
  CHECK(column(m, kInput) == input2);
  CHECK(column(m, kWeight) == weight1);

  m.weights.renew_codes();
  m.gradients(first);
  CHECK(column(m, kWeight) == std::vector<float>{weight1[0], 0, 0, weight1[4], weight1[4]});
}

TEST_CASE("stochastic rounding draws anew for each seed, layer and micro-batch, and the same for the same") {
  const Setup s("bf16_with_nvfp4_mixed");
  const std::unique_ptr<Backend> backend = make_backend("cpu");
  const QuantSpec spec = *quantized_linear(s.model).grad_output;
  ArenaPlan arena;
  const QuantSlots slots = plan_quantized(arena, MemoryCategory::workspace, spec, 32, 64, {});
  const TensorSlot x_slot = arena.add(MemoryCategory::workspace, DType::bf16, {32, 64});
  Buffer memory(*backend, static_cast<size_t>(arena.total_bytes()));
  const QuantTensorView q = bind_quantized(arena, memory.data(), slots);
  const TensorView x = arena.bind(memory.data(), x_slot);
  std::vector<uint16_t> values(32 * 64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint16_t>(0x3f80 + i % 97);  // 1 ... 1.75
  backend->upload(values.data(), x);
  const auto codes = [&](uint64_t seed, uint64_t stream, int64_t id) {
    LinearParams w;
    w.id = id;
    quantize_for(*backend, {.seed = seed, .stream = stream}, w, x, q);
    return row_codes(*backend, q);
  };
  const std::vector<uint8_t> once = codes(1, 2, 3);
  CHECK((codes(1, 2, 3) == once));
  CHECK((codes(9, 2, 3) != once));
  CHECK((codes(1, 9, 3) != once));
  CHECK((codes(1, 2, 9) != once));

  const RandomBatch batch(s.model, 2, 1);
  TinyModel m(s.model, s.policy, 2);
  const std::vector<float> gradients = m.gradients(batch);
  m.backend->fill_zero(m.weights.grad());
  m.transformer.forward_backward({.seed = 7, .stream = 4}, batch.view(), static_cast<float>(1.0 / batch.tokens_in_loss));
  CHECK((download<float>(*m.backend, m.weights.grad()) != gradients));  // another micro-batch of the run
}

TEST_CASE("layers that a recipe leaves in 16 bits have no codes") {
  Setup s("bf16_with_fp8_current_scaling_mixed");
  for (const int64_t kept : {0, 1}) {
    s.model.first_last_layers_bf16 = true;
    s.model.num_layers_at_start_in_bf16 = kept, s.model.num_layers_at_end_in_bf16 = 1;
    const PrecisionPolicy policy = make_policy(s.model, {});
    const TinyModel m(s.model, policy, 1);
    for (int64_t i = 0; i < m.weights.num_params(); ++i) {
      const ParamSpec& spec = m.weights.spec(i);
      const bool is_quantized = spec.kind == ParamKind::linear && spec.layer >= kept && spec.layer < s.model.num_layers - 1;
      INFO(spec.name);
      CHECK(m.weights.quantized(i).empty() == !is_quantized);
    }
  }
}

TEST_CASE("generation with a cache gives the logits of the whole forward") {
  for (Family family : tiny_families()) {
    family.model.seq_length = 80;
    if (family.model.max_position_embeddings) family.model.max_position_embeddings = 80;
    INFO(family.name);
    check_generator(family.model, plain_policy(family.model), 1e-5);
    check_generator(family.model, plain_policy(family.model, DType::bf16), 0.03);
  }
  Setup s("bf16_with_mxfp8_mixed");  // blocks lie within a token: its codes do not depend on its neighbors
  s.model.seq_length = 80;
  check_generator(s.model, s.policy, 0.03);
  s.model.first_last_layers_bf16 = true;  // plain and quantized layers take turns in the same buffers
  s.model.num_layers_at_start_in_bf16 = s.model.num_layers_at_end_in_bf16 = 1;
  check_generator(s.model, make_policy(s.model, {}), 0.03);
}

TEST_CASE("the buffers of generation do not grow with the layers, and are smaller than those of evaluation") {
  for (const std::string& recipe : all_recipes()) {
    INFO(recipe);
    Setup s(recipe);
    const auto bytes = [&](int64_t layers) {
      s.model.num_layers = layers;
      return plan_generation(s.model, make_policy(s.model, {}), s.model.seq_length).arena.total_bytes();
    };
    CHECK(bytes(40) == bytes(80));  // enough layers that every recipe has quantized ones between those it keeps in 16 bits
    const ActivationsPlan evaluation =
        plan_activations(s.model, make_policy(s.model, {}), 1, false, [](const QuantSpec&) { return false; }, {});
    CHECK(bytes(80) < evaluation.arena.total_bytes());
  }
}

TEST_CASE("the first tokens of a layer's tensors are their first rows") {
  const Setup s("bf16_with_fp8_current_scaling_mixed");
  const std::unique_ptr<Backend> backend = make_backend("cpu");
  const ActivationsPlan plan = plan_generation(s.model, s.policy, 8);
  Buffer memory(*backend, static_cast<size_t>(plan.arena.total_bytes()));
  const LayerViews all = bind_activations(plan, memory.data(), {}).layers[1], some = first_tokens(all, 3);
  CHECK(some.qkv.data == all.qkv.data);
  CHECK(some.qkv.shape == Shape{3, all.qkv.cols()});
  CHECK(some.input_rstd.shape == Shape{3});
  CHECK(some.x_fc2.rows == 3);
  CHECK(some.x_fc2.rowwise.codes == all.x_fc2.rowwise.codes);
  CHECK(some.dy_fc2.empty());
  CHECK(some.lse.empty());
  CHECK(some.middle.data == some.input.data);  // in place
}

}  // namespace mbt::test::transformer_test
