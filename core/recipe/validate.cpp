#include "core/recipe/validate.h"

#include "core/base/error.h"

namespace mbt {
namespace {

class Rules {
 public:
  Rules(const RunConfig& config, const Origins& origins, std::vector<Problem>& problems)
      : config_(config), model_(config.model), origins_(origins), problems_(problems) {}

  void check_all() {
    check_base_dtype();
    check_formats();
    check_parameters();
    check_layers();
    check_unsupported();
    check_loss_scale();
  }

 private:
  /// A problem with `field` of mixed_precision, telling who set it.
  void refuse(const std::string& field, const std::string& what) { refuse_at("mixed_precision." + field, what); }
  void refuse_at(const std::string& path, const std::string& what) {
    const Origin origin = origin_of(origins_, path);
    problems_.push_back({origin.kind == Origin::Kind::default_value ? path : path + " (" + to_string(origin) + ")", what});
  }

  void check_base_dtype() {
    const MixedPrecisionConfig& p = config_.mixed_precision;
    if (p.fp16 && p.bf16) refuse("fp16", "fp16 and bf16 are both true, they exclude each other; start from fp16_mixed or from bf16_mixed");
    if (p.fp32 && (p.fp16 || p.bf16))
      refuse("fp32",
             fmt::format("fp32 and {} are both true, they exclude each other; start from the recipe fp32", p.bf16 ? "bf16" : "fp16"));
    const WeightDtype expected = model_.bf16 ? WeightDtype::bf16 : model_.fp16 ? WeightDtype::fp16 : WeightDtype::fp32;
    if (model_.params_dtype != expected)
      refuse("params_dtype",
             fmt::format("is {}, but with {} weights are {}; leave it null, or choose fp16 or bf16 to match", name_of(model_.params_dtype),
                         expected == WeightDtype::fp32 ? "neither fp16 nor bf16" : fmt::format("{}=true", name_of(expected)),
                         name_of(expected)));
  }

  void check_formats() {
    if (model_.fp8 && model_.fp4) refuse("fp4", "fp8 and fp4 are both set, they exclude each other; set one to null");
    if (model_.fp8 && !model_.bf16 && !model_.fp16)
      refuse("fp8", "FP8 linear layers stand between 16-bit tensors: set bf16 or fp16 too, or start from a recipe that does");
    if (model_.fp4 && !model_.bf16)
      refuse("fp4", "NVFP4's Hadamard transform is defined on bf16 values: set bf16 too, or start from bf16_with_nvfp4_mixed");
  }

  void check_parameters() {
    const DdpConfig& ddp = config_.ddp;
    if (model_.fp8_param && !model_.fp8) refuse("fp8_param", "FP8 parameters need fp8: set fp8 to e4m3 or hybrid, or fp8_param to false");
    if (model_.fp4_param && !model_.fp4) refuse("fp4_param", "FP4 parameters need fp4: set fp4 to e2m1, or fp4_param to false");
    const bool is_mxfp8 = model_.fp8 && model_.fp8_recipe == Fp8Recipe::mxfp8;
    if (is_mxfp8 && ddp.fp8_param_gather && !ddp.reuse_grad_buf_for_mxfp8_param_ag)
      refuse("reuse_grad_buf_for_mxfp8_param_ag", "must be true with the mxfp8 recipe and fp8_param_gather");
    if (ddp.reuse_grad_buf_for_mxfp8_param_ag && !ddp.fp8_param_gather)
      refuse("reuse_grad_buf_for_mxfp8_param_ag", "needs fp8_param_gather: set that too, or this to false");
  }

  void check_layers() {
    if (!model_.first_last_layers_bf16 || !model_.fp8) return;  // upstream checks the counts for FP8 alone, not for FP4
    if (model_.fp8_recipe == Fp8Recipe::delayed)
      refuse("first_last_layers_bf16", "delayed scaling cannot leave layers out; set it to false, or fp8_recipe to tensorwise");
    check_count("num_layers_at_start_in_bf16", model_.num_layers_at_start_in_bf16);
    check_count("num_layers_at_end_in_bf16", model_.num_layers_at_end_in_bf16);
  }
  void check_count(const char* field, int64_t count) {
    if (count > model_.num_layers)
      refuse(field, fmt::format("is {}, but the model has {} layers (model.num_layers)", count, model_.num_layers));
  }

  void check_unsupported() {
    for (const auto& [field, is_set] : {std::pair{"fp8_dot_product_attention", model_.fp8_dot_product_attention},
                                        std::pair{"fp8_multi_head_attention", model_.fp8_multi_head_attention}})
      if (is_set) refuse(field, "FP8 attention is not supported; attention runs in the activation dtype: set it to false");
    if (model_.fp8_output_proj)
      refuse_at("model.fp8_output_proj", "an FP8 head is not supported; the head runs in the activation dtype: set it to false");
  }

  void check_loss_scale() {
    const OptimizerConfig& o = config_.optimizer;
    const bool is_dynamic = o.fp16 && o.loss_scale.value_or(0) == 0;
    if (is_dynamic && o.initial_loss_scale < o.min_loss_scale)
      refuse("initial_loss_scale", fmt::format("is {}, below min_loss_scale {}", o.initial_loss_scale, o.min_loss_scale));
  }

  const RunConfig& config_;
  const ModelConfig& model_;
  const Origins& origins_;
  std::vector<Problem>& problems_;
};

}  // namespace

void validate_precision(const RunConfig& config, const Origins& origins, std::vector<Problem>& problems) {
  Rules(config, origins, problems).check_all();
}

}  // namespace mbt
