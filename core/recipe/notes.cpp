#include "core/recipe/notes.h"

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/recipe/policy.h"

namespace mbt {
namespace {

class Notes {
 public:
  Notes(const RunConfig& config, int ranks, const Origins& origins)
      : config_(config), model_(config.model), ranks_(ranks), origins_(origins) {}

  std::vector<std::string> collect() {
    note_idle_switches();
    note_idle_scaling_fields();
    note_gradient_format();
    note_layers();
    note_loss_scale();
    note_moments();
    note_alignment();
    note_idle_settings();
    return std::move(notes_);
  }

 private:
  /// The user wrote it; a recipe's own value is the recipe's business.
  bool is_given(const std::string& field) const { return is_said(origin_of(origins_, "mixed_precision." + field)); }
  void idle(const std::string& field, const std::string& why) { notes_.push_back("mixed_precision." + field + " has no effect: " + why); }

  void note_idle_switches() {
    const MixedPrecisionConfig& p = config_.mixed_precision;
    if (!p.fp8_wgrad) idle("fp8_wgrad=false", "weight gradients are computed from quantized operands, as upstream's current version does");
    if (p.autocast_enabled) idle("autocast_enabled", "nothing reads it, as upstream");
    if (is_given("autocast_dtype")) idle("autocast_dtype", "there is no autocast region");
    if (is_given("pipeline_dtype")) idle("pipeline_dtype", "there is one pipeline stage");
  }

  void note_idle_scaling_fields() {
    if (is_given("fp8_recipe") && !model_.fp8) idle("fp8_recipe", "fp8 is null");
    const bool is_delayed = model_.fp8 && model_.fp8_recipe == Fp8Recipe::delayed;
    for (const char* field : {"fp8_margin", "fp8_amax_history_len", "fp8_amax_compute_algo"})
      if (is_given(field) && !is_delayed) idle(field, "it belongs to delayed scaling");
    if (config_.ddp.reuse_grad_buf_for_mxfp8_param_ag && model_.fp8_recipe != Fp8Recipe::mxfp8)
      idle("reuse_grad_buf_for_mxfp8_param_ag", std::string("fp8_recipe is ") + name_of(model_.fp8_recipe));
  }

  void note_gradient_format() {
    if (model_.fp8 == Fp8Format::hybrid && model_.fp8_recipe == Fp8Recipe::mxfp8)
      notes_.push_back(
          "mixed_precision.fp8 is hybrid under mxfp8: gradients are E5M2, with one bit of mantissa less than E4M3, and each block of 32 "
          "has "
          "its own scale, so E5M2 gains no range; NVIDIA's recipes use e4m3");
  }

  void note_layers() {
    if (!model_.first_last_layers_bf16) {
      for (const char* field : {"num_layers_at_start_in_bf16", "num_layers_at_end_in_bf16"})
        if (is_given(field)) idle(field, "first_last_layers_bf16 is false");
      return;
    }
    if (!model_.fp8 && !model_.fp4) {
      if (is_given("first_last_layers_bf16")) idle("first_last_layers_bf16", "fp8 and fp4 are null");
      return;
    }
    const int64_t start = model_.num_layers_at_start_in_bf16, end = model_.num_layers_at_end_in_bf16;
    if (start + end == 0) idle("first_last_layers_bf16", "num_layers_at_start_in_bf16 and num_layers_at_end_in_bf16 are 0");
    if (start + end >= model_.num_layers)
      notes_.push_back(
          fmt::format("no layer is quantized: the recipe keeps the first {} and the last {} layers in 16 bits, the model has {}", start,
                      end, model_.num_layers));
  }

  void note_loss_scale() {
    const OptimizerConfig& o = config_.optimizer;
    const bool is_constant = o.loss_scale.value_or(0) != 0;
    if (is_constant && !o.fp16)
      notes_.push_back(
          "mixed_precision.loss_scale without fp16: the loss is scaled by a constant, and steps with a non-finite gradient are skipped");
    for (const char* field : {"initial_loss_scale", "min_loss_scale", "loss_scale_window", "hysteresis"})
      if (is_given(field) && (!o.fp16 || is_constant))
        idle(field, o.fp16 ? "loss_scale is constant" : "only fp16 has a dynamic loss scale");
  }

  /// Between a power of two and the next, half of bf16's unit is 2^-9 to 2^-8 of the value: what decays by less comes back to where it was.
  void note_moments() {
    const OptimizerConfig& o = config_.optimizer;
    if (o.exp_avg_sq_dtype == MomentDtype::bf16 && 1 - o.adam_beta2 < 0x1p-8)
      notes_.push_back(fmt::format(
          "optimizer.exp_avg_sq_dtype is bf16, in which the second moment cannot decay by the {:g} a step of optimizer.adam_beta2 {}: it "
          "grows with large gradients and does not shrink, which makes steps smaller; use adam_beta2 0.99 or below, or fp32",
          1 - o.adam_beta2, o.adam_beta2));
    if (o.use_precision_aware_optimizer && o.exp_avg_dtype == MomentDtype::fp32 && o.exp_avg_sq_dtype == MomentDtype::fp32)
      notes_.push_back("optimizer.use_precision_aware_optimizer has no effect: exp_avg_dtype and exp_avg_sq_dtype are fp32");
  }

  /// Accepted because upstream's configs hold them; without them this run is the same.
  void note_idle_settings() {
    const auto note = [&](const std::string& path, const char* why) {
      if (is_said(origin_of(origins_, path))) notes_.push_back(path + " has no effect: " + why);
    };
    note_idle_exchange(note);
    const TokenizerConfig& t = config_.tokenizer;
    if (!t.has_files()) note("tokenizer.tokenizer_model", fmt::format("tokenizer_type {} has no file", name_of(t.tokenizer_type)).c_str());
    if (!model_.recompute_granularity) note("model.recompute_method", "recompute_granularity is null");
    if (model_.recompute_num_layers.value_or(1) > 1 && model_.recompute_method == RecomputeMethod::uniform)
      note("model.recompute_num_layers", "recompute_method uniform recomputes layer by layer");
  }

  template <class Note>
  void note_idle_exchange(const Note& note_one) {
    const DdpConfig& d = config_.ddp;
    const auto note = [&](const std::string& path, const char* why) {
      note_one(path, why);
      for (const char* field : {"overlap_param_gather", "use_distributed_optimizer"})  // one setting under two names
        if (path == std::string("ddp.") + field) note_one(std::string("optimizer.") + field, why);
    };
    if (ranks_ == 1) {
      for (const char* field : {"overlap_grad_reduce", "overlap_param_gather", "use_distributed_optimizer", "bucket_size",
                                "pad_buckets_for_high_nccl_busbw", "average_in_collective", "reduce_scatter_with_fp32_accumulation"})
        note(std::string("ddp.") + field, "there is one rank");
      return note("train.check_weight_hash_across_dp_replicas_interval", "there is one rank");
    }
    if (!d.use_distributed_optimizer)
      note("ddp.overlap_param_gather", "without use_distributed_optimizer every rank updates all parameters");
    if (!d.overlap_grad_reduce && !(d.overlap_param_gather && d.use_distributed_optimizer))
      note("ddp.bucket_size", "without overlap there is one bucket");
    if (d.grad_reduce_in_fp32 || config_.model.params_dtype == WeightDtype::fp32)
      note("ddp.reduce_scatter_with_fp32_accumulation", "gradients travel in fp32");
  }

  /// The CPU emulates partial blocks exactly; NVIDIA's libraries refuse them.
  void note_alignment() {
    if (!model_.fp8 && !model_.fp4) return;
    const int64_t multiple = model_.fp4 || model_.fp8_recipe == Fp8Recipe::mxfp8 ? 32 : 16;
    const int64_t heads = model_.num_attention_heads * model_.head_dim();
    const int64_t tokens = config_.train.micro_batch_size * model_.seq_length;
    std::vector<std::string> odd;
    for (const auto& [name, size] :
         {std::pair{"hidden_size", model_.hidden_size}, std::pair{"ffn_hidden_size", model_.ffn()},
          std::pair{"QKV width", model_.qkv_width()}, std::pair{"attention width", heads}, std::pair{"tokens of a micro-batch", tokens}})
      if (size % multiple != 0) odd.push_back(fmt::format("{} {}", name, size));
    if (!odd.empty())
      notes_.push_back(fmt::format("on a GPU this recipe needs sizes that are multiples of {}, but: {}; the CPU supports them", multiple,
                                   join(odd, ", ")));
  }

  const RunConfig& config_;
  const ModelConfig& model_;
  int ranks_;
  const Origins& origins_;
  std::vector<std::string> notes_;
};

}  // namespace

std::vector<std::string> precision_notes(const RunConfig& config, int ranks, const Origins& origins) {
  return Notes(config, ranks, origins).collect();
}

}  // namespace mbt
