// Who quantizes the operands of linear layers, and how often: weights once a step, everything else the op that makes it, whose plain output
// then nobody reads.
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/spoiling_backend.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::quantized_operands_test {

namespace {

constexpr int kLinears = 4, kLayers = 3;

struct Setup {
  Setup(const std::string& recipe, std::vector<std::string> more) {
    std::vector<std::string> args = {"--mixed-precision",
                                     recipe,
                                     "--model.num_layers",
                                     fmt::format("{}", kLayers),
                                     "--model.hidden_size",
                                     "32",
                                     "--model.num_attention_heads",
                                     "4",
                                     "--model.ffn_hidden_size",
                                     "48",
                                     "--seq-length",
                                     "16",
                                     "--vocab-size",
                                     "50"};
    args.insert(args.end(), more.begin(), more.end());
    const RunConfig c = resolved(args);
    model = c.model;
    policy = make_policy(c.model, c.ddp);
  }
  int quantized_layers() const {
    int n = 0;
    for (const LinearPrecision& p : policy.layers) n += p.is_quantized();
    return n;
  }
  ModelConfig model;
  PrecisionPolicy policy;
};

struct Model {
  Model(Backend& b, const Setup& s) : backend(b), weights(b, s.model, s.policy, true), transformer(b, s.model, s.policy, weights, 2, true) {
    TinyModel initial(s.model, s.policy, 2);
    for (int64_t i = 0; i < weights.num_params(); ++i) weights.set(i, initial.weights.get(initial.weights.master(), i));
    weights.refresh_working();
  }
  void micro_batch(const RandomBatch& b) { transformer.forward_backward({.seed = 1, .stream = 2}, b.view(), 0.01F); }
  std::vector<float> gradients() {
    std::vector<float> g(static_cast<size_t>(weights.grad().size()));
    backend.download(weights.grad(), g.data());
    return g;
  }

  Backend& backend;
  Weights weights;
  Transformer transformer;
};

const std::vector<std::string> kQuantized = {"bf16_with_fp8_delayed_scaling_mixed", "bf16_with_fp8_current_scaling_mixed",
                                             "bf16_with_fp8_subchannel_scaling_mixed", "bf16_with_mxfp8_mixed", "bf16_with_nvfp4_mixed"};
const std::vector<std::vector<std::string>> kVariants = {
    {},
    {"--model.recompute_granularity", "selective"},
    {"--model.recompute_granularity", "full"},
    {"--model.qk_layernorm", "true"},
    {"--model.add_bias_linear", "true", "--model.normalization", "LayerNorm", "--model.activation_func", "gelu",
     "--model.position_embedding_type", "learned_absolute"}};

}  // namespace

TEST_CASE("weights are quantized once a step, all other operands by the ops that make them") {
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  for (const std::string& recipe : kQuantized)
    for (const auto& variant : kVariants) {
      const Setup s(recipe, variant);
      INFO(recipe << " " << (variant.empty() ? "" : variant[1]));
      REQUIRE(s.quantized_layers() > 0);
      SpoilingBackend counting(*cpu);
      Model m(counting, s);
      const RandomBatch batch(s.model, 2, 5);
      // Recomputed codes of the attention's output have no op in front of them.
      const int recomputed = s.model.recompute_granularity == RecomputeGranularity::selective ? s.quantized_layers() : 0;
      for (int step = 0; step < 2; ++step) {
        counting.clear();
        m.weights.renew_codes();
        m.micro_batch(batch);
        CHECK(counting.count("quantize") == kLinears * s.quantized_layers() + recomputed);
        counting.clear();
        m.micro_batch(batch);
        CHECK(counting.count("quantize") == recomputed);
        CHECK(counting.spoiled() > 0);
      }
    }
}

TEST_CASE("plain outputs that an op need not keep are read by nobody") {
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  for (const std::string& recipe : kQuantized)
    for (const auto& variant : kVariants) {
      const Setup s(recipe, variant);
      INFO(recipe << " " << (variant.empty() ? "" : variant[1]));
      SpoilingBackend spoiling(*cpu);
      Model honest(*cpu, s), spoiled(spoiling, s);
      for (uint64_t seed : {5, 6}) {
        const RandomBatch batch(s.model, 2, seed);
        honest.micro_batch(batch), spoiled.micro_batch(batch);
      }
      CHECK((honest.gradients() == spoiled.gradients()));
    }
}

}  // namespace mbt::test::quantized_operands_test
