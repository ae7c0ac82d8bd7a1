// What the device saves where ops quantize their own outputs: launches, and the writing of plain outputs. That the codes are right is the
// business of tests/unit/quant_output_test.cpp, which runs here too.
#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/launch_log.h"
#include "tests/emulation/engine/settings.h"
#include "tests/support/producers.h"
#include "tests/support/resolved.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::fused_test {
namespace {

using enum QuantScaling;
using enum QuantFormat;

void check_transposed(const Producer& producer, const QuantSpec& spec) {
  INFO(producer.name << " " << describe(spec));
  Written plain = producer.run(backend(), DType::bf16, 0, {}, true);
  const int64_t rows = plain[0].view().rows(), cols = plain[0].view().cols();
  for (Copies copies : {Copies::both, Copies::columns}) {
    Quantized want(spec, rows, cols, copies, true), got(spec, rows, cols, copies, true);
    backend().quantize({.x = plain[0], .to = {.q = want.view}});
    producer.run(backend(), DType::bf16, 0, {.q = got.view}, true);
    REQUIRE(got == want);
  }
}

TEST_CASE("quantized outputs: transposed copies hold the same codes") {
  for (const QuantSpec& spec : {QuantSpec{.format = e4m3, .scaling = delayed}, QuantSpec{.format = e5m2, .scaling = tensorwise}}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{5, 15}, {32, 64}, {130, 136}})
      for (const Producer& p : row_producers(rows, cols)) check_transposed(p, spec);
    for (const Producer& p : head_producers(6, 3, 2, 1, 64, 64)) check_transposed(p, spec);
  }
}

TEST_CASE("more than 1024 partial maxima become one before every block of the cast reads them") {
  const emulation::RunOnce once;
  for (const auto& [tokens, reductions] : {std::pair<int64_t, int>{300, 0}, {1030, 1}}) {
    for (const Producer& p : head_producers(tokens, 1, 1, 1, 64, 64)) {
      if (!p.name.starts_with("attention_fwd")) continue;
      INFO(p.name);
      Written plain = p.run(backend(), DType::bf16, 0, {}, true);
      for (const QuantSpec& spec : {QuantSpec{.format = e4m3, .scaling = tensorwise}, QuantSpec{.format = e2m1, .scaling = nvfp4}}) {
        Quantized want(spec, tokens, plain[0].view().cols(), Copies::both), got(spec, tokens, plain[0].view().cols(), Copies::both);
        backend().quantize({.x = plain[0], .to = {.q = want.view}});
        const emulation::LaunchLog log;
        p.run(backend(), DType::bf16, 0, {.q = got.view}, true);
        CHECK(got == want);
        CHECK(log.count("reduce_maxima") == reductions);
      }
    }
  }
}

TEST_CASE("delayed scaling: an output that is not kept is not written") {
  for (const Producer& p : row_producers(5, 64)) {
    if (!p.may_drop_plain) continue;
    INFO(p.name);
    const Written kept = p.run(backend(), DType::bf16, 0, {}, true);
    Quantized q({.format = e4m3, .scaling = delayed}, 5, kept[0].size() / 5, Copies::both);
    const Written dropped = p.run(backend(), DType::bf16, 0, {.q = q.view}, false);
    CHECK(dropped[0].same_bits(GuardedTensor(DType::bf16, {5, kept[0].size() / 5})));  // as it was made: zeros
  }
}

/// Launches of one micro-batch, weights already quantized, of a model whose attention runs on the tensor cores.
void launches_of_micro_batch(const std::string& recipe, const std::vector<std::string>& more, emulation::LaunchLog& log) {
  std::vector<std::string> args = {
      "--mixed-precision",       recipe, "--model.num_layers", "3",  "--model.hidden_size", "64", "--model.num_attention_heads", "1",
      "--model.ffn_hidden_size", "64",   "--seq-length",       "16", "--vocab-size",        "50"};
  args.insert(args.end(), more.begin(), more.end());
  const RunConfig c = resolved(args);
  const PrecisionPolicy policy = make_policy(c.model, c.ddp);
  cuda::CudaBackend device;
  Weights weights(device, c.model, policy, true);
  TinyModel initial(c.model, policy, 1);
  for (int64_t i = 0; i < weights.num_params(); ++i) weights.set(i, initial.weights.get(initial.weights.master(), i));
  weights.refresh_working();
  Transformer transformer(device, c.model, policy, weights, 1, true);
  const RandomBatch batch(c.model, 1, 5);
  transformer.forward_backward({}, batch.view(), 0.01F);
  log.clear();
  transformer.forward_backward({}, batch.view(), 0.01F);
}

TEST_CASE("a micro-batch under delayed scaling has no pass that quantizes") {
  const emulation::RunOnce once;
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{},
        {"--model.qk_layernorm", "true"},
        {"--model.add_bias_linear", "true", "--model.normalization", "LayerNorm", "--model.activation_func", "gelu",
         "--model.position_embedding_type", "learned_absolute"}}) {
    emulation::LaunchLog log;
    launches_of_micro_batch("bf16_with_fp8_delayed_scaling_mixed", more, log);
    CHECK(log.count("norm_fwd") > 0);
    CHECK(log.count("flash_fwd") > 0);
    CHECK(log.count("quantize_cast") + log.count("quantize_transpose") == 0);
    CHECK(log.count("amax") == 0);
  }
}

TEST_CASE("a micro-batch under current scaling casts each operand in one pass, and none looks for an amax") {
  const emulation::RunOnce once;
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, {"--model.qk_layernorm", "true"}, {"--model.position_embedding_type", "learned_absolute"}}) {
    emulation::LaunchLog log;
    launches_of_micro_batch("bf16_with_fp8_current_scaling_mixed", more, log);
    CHECK(log.count("quantize_cast") + log.count("quantize_transpose") == 8);  // one layer of three: inputs and gradients of four linears
    CHECK(log.count("amax") == 0);
  }
}

}  // namespace
}  // namespace mbt::test::fused_test
