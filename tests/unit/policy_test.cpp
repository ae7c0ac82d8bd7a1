// From the model's precision fields to the quantization of every layer and operand.
#include "core/recipe/policy.h"

#include "tests/support/catch.h"

namespace mbt::test::policy_test {

namespace {

ModelConfig fp8_model(const char* format, const char* recipe) {
  ModelConfig m;
  m.num_layers = 8;
  m.bf16 = true;
  m.params_dtype = WeightDtype::bf16;
  m.fp8 = value_named<Fp8Format>(format);
  m.fp8_recipe = value_named<Fp8Recipe>(recipe).value();
  return m;
}

ModelConfig fp4_model(const char* format) {
  ModelConfig m;
  m.bf16 = true;
  m.fp4 = value_named<Fp4Format>(format);
  m.fp4_param = true;
  return m;
}

std::vector<int64_t> high_precision_layers(const ModelConfig& m) {
  std::vector<int64_t> r;
  const PrecisionPolicy p = make_policy(m, DdpConfig{});
  for (int64_t i = 0; i < m.num_layers; ++i)
    if (!p.linear(i).is_quantized()) r.push_back(i);
  return r;
}

}  // namespace

TEST_CASE("first and last layers stay in 16 bits by layer number") {
  ModelConfig m = fp8_model("hybrid", "tensorwise");
  m.first_last_layers_bf16 = true;
  m.num_layers_at_start_in_bf16 = 1;
  m.num_layers_at_end_in_bf16 = 2;
  CHECK(high_precision_layers(m) == std::vector<int64_t>{0, 6, 7});
  m.num_layers_at_start_in_bf16 = m.num_layers_at_end_in_bf16 = 0;
  CHECK(high_precision_layers(m).empty());
  m.num_layers_at_start_in_bf16 = 1;
  m.first_last_layers_bf16 = false;
  CHECK(high_precision_layers(m).empty());
  m.first_last_layers_bf16 = true;
  m.num_layers_at_end_in_bf16 = 14;  // more than there are: all, as nemotron_3_super on a small model
  CHECK(high_precision_layers(m).size() == 8);
}

TEST_CASE("hybrid takes e5m2 for gradients alone, e4m3 takes it nowhere") {
  for (const char* recipe : {"delayed", "tensorwise", "blockwise", "mxfp8"}) {
    const LinearPrecision hybrid = quantized_linear(fp8_model("hybrid", recipe));
    CHECK(hybrid.input->format == QuantFormat::e4m3);
    CHECK(hybrid.weight->format == QuantFormat::e4m3);
    CHECK(hybrid.grad_output->format == QuantFormat::e5m2);
    CHECK(quantized_linear(fp8_model("e4m3", recipe)).grad_output->format == QuantFormat::e4m3);
    CHECK(name_of(hybrid.input->scaling) == recipe);
  }
}

TEST_CASE("only blockwise and nvfp4 weights have square blocks, and only blockwise and nvfp4 accumulate exactly in fprop") {
  CHECK_FALSE(quantized_linear(fp8_model("hybrid", "mxfp8")).weight->is_2d);
  CHECK(quantized_linear(fp8_model("hybrid", "mxfp8")).fast_accumulation_fprop);
  CHECK(quantized_linear(fp8_model("hybrid", "delayed")).fast_accumulation_fprop);
  CHECK(quantized_linear(fp8_model("hybrid", "tensorwise")).fast_accumulation_fprop);
  const LinearPrecision block = quantized_linear(fp8_model("hybrid", "blockwise"));
  CHECK(block.weight->is_2d);
  CHECK_FALSE(block.input->is_2d);
  CHECK_FALSE(block.grad_output->is_2d);
  CHECK_FALSE(block.fast_accumulation_fprop);
}

TEST_CASE("nvfp4: square weights, Hadamard on what wgrad reads, stochastic rounding on gradients") {
  const ModelConfig m = fp4_model("e2m1");
  const LinearPrecision p = quantized_linear(m);
  CHECK(p.input == QuantSpec{.format = QuantFormat::e2m1, .scaling = QuantScaling::nvfp4, .hadamard_columnwise = true});
  CHECK(p.weight == QuantSpec{.format = QuantFormat::e2m1, .scaling = QuantScaling::nvfp4, .is_2d = true});
  CHECK(p.grad_output ==
        QuantSpec{.format = QuantFormat::e2m1, .scaling = QuantScaling::nvfp4, .stochastic_rounding = true, .hadamard_columnwise = true});
  CHECK_FALSE(p.fast_accumulation_fprop);
  CHECK(make_policy(m, DdpConfig{}).quantized_params);
}

TEST_CASE("dtypes: activations follow fp16 and bf16, the exchange follows grad_reduce_in_fp32, main gradients are fp32") {
  ModelConfig m;
  DdpConfig ddp;
  CHECK(make_policy(m, ddp).act == DType::f32);
  CHECK(make_policy(m, ddp).grad_reduce == DType::f32);
  m.fp16 = true;
  CHECK(make_policy(m, ddp).act == DType::f16);
  CHECK(make_policy(m, ddp).grad_reduce == DType::f16);
  CHECK(make_policy(m, ddp).main_grad == DType::f32);
  m.fp16 = false;
  m.bf16 = true;
  ddp.grad_reduce_in_fp32 = true;
  CHECK(make_policy(m, ddp).act == DType::bf16);
  CHECK(make_policy(m, ddp).grad_reduce == DType::f32);
}

TEST_CASE("delayed scaling takes its history from the model's fields") {
  ModelConfig m = fp8_model("hybrid", "delayed");
  m.fp8_amax_history_len = 1024;
  m.fp8_margin = 2;
  m.fp8_amax_compute_algo = AmaxChoice::max;
  const PrecisionPolicy p = make_policy(m, DdpConfig{});
  CHECK(p.is_delayed);
  CHECK(p.amax_history_len == 1024);
  CHECK(p.margin == 2);
  CHECK(p.amax_algorithm == AmaxAlgorithm::max);
  CHECK_FALSE(make_policy(fp8_model("hybrid", "mxfp8"), DdpConfig{}).is_delayed);
}

}  // namespace mbt::test::policy_test
