// The whole way from arguments to the config that runs, and what is refused on it.
#include "core/recipe/resolve.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/config/command_line.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::resolve_test {

namespace {

ResolvedRun resolve(const std::vector<std::string>& args) { return resolve_run(parse_config_arguments(args)); }

std::string error_of(const std::vector<std::string>& args) {
  try {
    resolve(args);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

bool has_note(const ResolvedRun& run, const std::string& part) {
  for (const std::string& note : run.notes)
    if (note.find(part) != std::string::npos) return true;
  return false;
}

const std::string kCurrent = "bf16_with_fp8_current_scaling_mixed";

}  // namespace

TEST_CASE("no arguments: the default recipe, synchronized") {
  const ResolvedRun run = resolve({});
  CHECK(run.config.mixed_precision.name == "bf16_mixed");
  CHECK(run.config.model.bf16);
  CHECK(run.config.model.params_dtype == WeightDtype::bf16);
  CHECK(run.config.model.num_layers_at_start_in_bf16 == 0);
  CHECK(run.config.ddp.grad_reduce_in_fp32);
  CHECK(origin_of(run.origins, "mixed_precision.bf16").kind == Origin::Kind::recipe);
  CHECK(origin_of(run.origins, "model.bf16").kind == Origin::Kind::synchronized);
  CHECK(run.notes.empty());
}

TEST_CASE("every built-in recipe resolves on the default model") {
  for (const std::string& name : test::all_recipes()) {
    CAPTURE(name);
    CHECK(error_of({"--mixed-precision", name}).empty());
  }
  CHECK(has_note(resolve({"--mixed-precision", "nemotron-h-bf16-with-fp8-current-scaling-mixed"}), "made for Nemotron-H"));
  CHECK(has_note(resolve({"--mixed-precision", "nemotron_3_super_bf16_with_nvfp4_mixed"}), "no layer is quantized"));
}

TEST_CASE("a second moment that bf16 cannot let decay is noted, and a switch without effect") {
  const std::vector<std::string> narrow = {"--use-precision-aware-optimizer", "--exp-avg-sq-dtype", "bf16"};
  CHECK(has_note(resolve(narrow), "cannot decay by the 0.001 a step of optimizer.adam_beta2 0.999"));
  std::vector<std::string> fast = narrow;
  fast.insert(fast.end(), {"--adam-beta2", "0.95"});
  CHECK(resolve(fast).notes.empty());
  CHECK(has_note(resolve({"--use-precision-aware-optimizer"}), "use_precision_aware_optimizer has no effect"));
}

TEST_CASE("single fields override the recipe, whatever the order of arguments") {
  for (const auto& args : {std::vector<std::string>{"--mixed-precision", kCurrent, "--mixed-precision.fp8", "e4m3"},
                           std::vector<std::string>{"mixed_precision.fp8=e4m3", "--mixed-precision", kCurrent}}) {
    const ResolvedRun run = resolve(args);
    CHECK(run.config.model.fp8 == Fp8Format::e4m3);
    CHECK(origin_of(run.origins, "mixed_precision.fp8").kind == Origin::Kind::command_line);
    CHECK(origin_of(run.origins, "mixed_precision.fp8_recipe").kind == Origin::Kind::recipe);
  }
}

TEST_CASE("mixed_precision.name chooses a recipe, as --mixed-precision does") {
  CHECK(resolve({"mixed_precision.name=fp16_mixed"}).config.model.fp16);
}

TEST_CASE("an override of fp8_param takes fp8_param_gather along") {
  for (const char* field : {"--mixed-precision.fp8_param", "--mixed-precision.fp8_param_gather"}) {
    const ResolvedRun run = resolve({"--mixed-precision", kCurrent, field, "false"});
    CHECK_FALSE(run.config.model.fp8_param);
    CHECK_FALSE(run.config.ddp.fp8_param_gather);
    CHECK(origin_of(run.origins, "mixed_precision.fp8_param").kind == Origin::Kind::command_line);
    CHECK(origin_of(run.origins, "mixed_precision.fp8_param_gather").kind == Origin::Kind::command_line);
  }
  CHECK_THAT(error_of({"--mixed-precision", kCurrent, "mixed_precision.fp8_param=true", "mixed_precision.fp8_param_gather=false"}),
             ContainsSubstring("they are one setting"));
}

TEST_CASE("a model field that the recipe owns gives way on record") {
  const ResolvedRun run = resolve({"--model.num_layers_at_start_in_bf16", "3"});
  CHECK(run.config.model.num_layers_at_start_in_bf16 == 0);
  bool is_on_record = false;
  for (const Overwrite& o : run.overwrites) is_on_record |= o.field == "num_layers_at_start_in_bf16" && o.was_given() && *o.old_value == 3;
  CHECK(is_on_record);
}

TEST_CASE("contradictions are refused by name") {
  const auto with = [](const std::string& recipe, std::vector<std::string> args) {
    args.insert(args.begin(), {"--mixed-precision", recipe});
    return error_of(args);
  };
  CHECK_THAT(with("bf16_mixed", {"mixed_precision.fp16=true"}), ContainsSubstring("exclude each other"));
  CHECK_THAT(with("bf16_mixed", {"mixed_precision.fp32=true"}), ContainsSubstring("exclude each other"));
  CHECK_THAT(with("bf16_mixed", {"mixed_precision.params_dtype=fp32"}), ContainsSubstring("params_dtype"));
  CHECK_THAT(with(kCurrent, {"mixed_precision.fp4=e2m1"}), ContainsSubstring("fp8 and fp4 are both set"));
  CHECK_THAT(with("fp32", {"mixed_precision.fp8=hybrid"}), ContainsSubstring("bf16 or fp16"));
  CHECK_THAT(with("fp16_mixed", {"mixed_precision.fp4=e2m1"}), ContainsSubstring("Hadamard"));
  CHECK_THAT(with("bf16_mixed", {"mixed_precision.fp8_param=true"}), ContainsSubstring("need fp8"));
  CHECK_THAT(with("bf16_mixed", {"mixed_precision.fp4_param=true"}), ContainsSubstring("need fp4"));
  CHECK_THAT(with("bf16_with_mxfp8_mixed", {"mixed_precision.reuse_grad_buf_for_mxfp8_param_ag=false"}), ContainsSubstring("must be true"));
  CHECK_THAT(with("bf16_with_mxfp8_mixed", {"mixed_precision.fp8_param=false"}), ContainsSubstring("needs fp8_param_gather"));
  CHECK_THAT(with("bf16_with_fp8_delayed_scaling_mixed", {"mixed_precision.first_last_layers_bf16=true"}), ContainsSubstring("delayed"));
  CHECK_THAT(with(kCurrent, {"mixed_precision.num_layers_at_end_in_bf16=5"}), ContainsSubstring("the model has 4 layers"));
  CHECK_THAT(with(kCurrent, {"mixed_precision.fp8_dot_product_attention=true"}), ContainsSubstring("FP8 attention"));
  CHECK_THAT(with(kCurrent, {"mixed_precision.fp8_multi_head_attention=true"}), ContainsSubstring("FP8 attention"));
  CHECK_THAT(with(kCurrent, {"model.fp8_output_proj=true"}), ContainsSubstring("FP8 head"));
  CHECK_THAT(with(kCurrent, {"mixed_precision.fp8=e5m2"}), ContainsSubstring("hybrid"));
  CHECK_THAT(with("fp16_mixed", {"mixed_precision.min_loss_scale=1e20"}), ContainsSubstring("initial_loss_scale"));
}

TEST_CASE("all problems come at once, with the nearest recipe") {
  const std::string error = error_of({"--mixed-precision", "bf16_mixd", "model.hidden_sise=3", "train.micro_batch_size=x"});
  CHECK_THAT(error, ContainsSubstring("did you mean \"bf16_mixed\"?"));
  CHECK_THAT(error, ContainsSubstring("hidden_size"));
  CHECK_THAT(error, ContainsSubstring("micro_batch_size"));
}

TEST_CASE("rules across fields are reported beside wrong fields, but not on their account") {
  const std::string both = error_of({"train.global_batch_size=7", "train.micro_batch_size=4", "optimizer.lrr=1"});
  CHECK_THAT(both, ContainsSubstring("2 problems"));
  CHECK_THAT(both, ContainsSubstring("take 4 or 8"));
  const std::string doubtful = error_of({"model.num_attention_heads=many", "model.hidden_size=100"});
  CHECK_THAT(doubtful, !ContainsSubstring("not a multiple"));
}

TEST_CASE("an inline recipe is named by its file and by what it extends") {
  const TemporaryFolder folder;
  folder.file("run.json", R"({"mixed_precision": {"extends": "bf16_with_mxfp8_mixed", "fp8": "hybrid"}})");
  const ResolvedRun run = resolve({"--config", folder.path("run.json")});
  CHECK(run.config.mixed_precision.name == "inline in " + folder.path("run.json") + ", on bf16_with_mxfp8_mixed");
  CHECK(run.config.mixed_precision.fp8 == Fp8Format::hybrid);
  CHECK(has_note(run, "mixed_precision.fp8 is hybrid under mxfp8"));
  folder.file("run.json", R"({"mixed_precision": {"extends": "bf16_with_mxfp9_mixed"}})");
  const std::string error = error_of({"--config", folder.path("run.json")});
  CHECK_THAT(error, ContainsSubstring("bf16_with_mxfp8_mixed") && ContainsSubstring("nemotron_3_super_bf16_with_nvfp4_mixed"));
}

TEST_CASE("--fp16 and --bf16 choose the recipe, or confirm the one that is named") {
  CHECK(resolve({"--fp16"}).config.mixed_precision.name == "fp16_mixed");
  CHECK(resolve({"--bf16"}).config.mixed_precision.name == "bf16_mixed");
  CHECK(resolve({"--fp16", "--fp16", "false"}).config.mixed_precision.name == "bf16_mixed");
  CHECK(resolve({"--mixed-precision", kCurrent, "--bf16"}).config.mixed_precision.name == kCurrent);
  CHECK_THAT(error_of({"--fp16", "--bf16"}), ContainsSubstring("give one of them"));
  CHECK_THAT(error_of({"--fp16", "--mixed-precision", kCurrent}), ContainsSubstring("--fp16") && ContainsSubstring(kCurrent));
  CHECK_THAT(error_of({"--fp16", "maybe"}), ContainsSubstring("maybe"));
}

TEST_CASE("Megatron's precision flags are fields of the recipe") {
  const MixedPrecisionConfig p =
      resolve({"--bf16", "--fp8-format", "hybrid", "--fp8-recipe", "delayed", "--fp8-margin", "1", "--fp8-amax-history-len", "16",
               "--fp8-amax-compute-algo", "max", "--fp8-param-gather", "--no-fp8-wgrad", "--grad-reduce-in-bf16"})
          .config.mixed_precision;
  CHECK((p.bf16 && p.fp8 == Fp8Format::hybrid && p.fp8_recipe == Fp8Recipe::delayed && p.fp8_margin == 1));
  CHECK((p.fp8_amax_history_len == 16 && p.fp8_amax_compute_algo == AmaxChoice::max && p.fp8_param_gather && p.fp8_param == true));
  CHECK((!p.fp8_wgrad && !p.grad_reduce_in_fp32));
  const MixedPrecisionConfig layers = resolve({"--bf16", "--fp8-format", "e4m3", "--first-last-layers-bf16",
                                               "--num-layers-at-start-in-bf16", "1", "--num-layers-at-end-in-bf16", "0"})
                                          .config.mixed_precision;
  CHECK((layers.first_last_layers_bf16 && layers.num_layers_at_start_in_bf16 == 1 && layers.num_layers_at_end_in_bf16 == 0));
  CHECK(resolve({"--fp16", "--accumulate-allreduce-grads-in-fp32"}).config.ddp.grad_reduce_in_fp32);
  const OptimizerConfig o =
      resolve({"--fp16", "--initial-loss-scale", "65536", "--min-loss-scale", "2", "--loss-scale-window", "10", "--hysteresis", "3"})
          .config.optimizer;
  CHECK((o.initial_loss_scale == 65536 && o.min_loss_scale == 2 && o.loss_scale_window == 10 && o.hysteresis == 3));
  CHECK(resolve({"--fp16", "--loss-scale", "1024"}).config.optimizer.loss_scale == 1024);
  CHECK(resolve({"--bf16", "--fp4-format", "e2m1", "--fp4-recipe", "nvfp4"}).config.model.fp4 == Fp4Format::e2m1);
}

TEST_CASE("what the user wrote and the recipe says otherwise is named, with both values and where they come from") {
  const ResolvedRun run = resolve({"model.bf16=false", "--model.fp8", "e4m3", "ddp.grad_reduce_in_fp32=false"});
  CHECK(has_note(run, "model.bf16 is true, not the false of the command line model.bf16: the recipe decides it"));
  CHECK(has_note(run, "model.fp8 is null, not the \"e4m3\" of the command line --model.fp8"));
  CHECK(has_note(run, "set mixed_precision.grad_reduce_in_fp32 instead"));
  CHECK(resolve({"model.bf16=true"}).notes.empty());
}

TEST_CASE("dtypes by PyTorch's names, and no recipe at all") {
  for (const char* name : {"torch.bfloat16", "bfloat16", "bf16"})
    CHECK(resolve({fmt::format("mixed_precision.params_dtype={}", name)}).config.mixed_precision.params_dtype == WeightDtype::bf16);
  CHECK(resolve({"--mixed-precision", "fp16_mixed", "mixed_precision.pipeline_dtype=torch.half"}).config.mixed_precision.pipeline_dtype ==
        WeightDtype::fp16);
  for (const char* null : {"mixed_precision=null", "mixed_precision=None"}) CHECK(resolve({null}).config.mixed_precision.name == "fp32");
  const TemporaryFolder folder;
  folder.file("run.json", R"({"mixed_precision": null})");
  CHECK(resolve({"--config", folder.path("run.json")}).config.mixed_precision.name == "fp32");
}

TEST_CASE("settings that need several processes or another choice are noted") {
  CHECK(has_note(resolve({"ddp.bucket_size=1000"}), "ddp.bucket_size has no effect"));
  CHECK(has_note(resolve({"model.recompute_method=block"}), "model.recompute_method has no effect"));
  CHECK_FALSE(has_note(resolve({"model.recompute_method=block", "model.recompute_granularity=full"}), "recompute_method"));
}

TEST_CASE("dynamic loss scaling switches the fatal gradient check off, and says so") {
  const ResolvedRun dynamic = resolve({"--mixed-precision", "fp16_mixed", "ddp.check_for_nan_in_grad=true"});
  CHECK_FALSE(dynamic.config.ddp.check_for_nan_in_grad);
  CHECK(origin_of(dynamic.origins, "ddp.check_for_nan_in_grad").kind == Origin::Kind::derived);
  CHECK(has_note(dynamic, "check_for_nan_in_grad is switched off"));
  const ResolvedRun constant =
      resolve({"--mixed-precision", "fp16_mixed", "ddp.check_for_nan_in_grad=true", "mixed_precision.loss_scale=128"});
  CHECK(constant.config.ddp.check_for_nan_in_grad);
}

TEST_CASE("settings without effect are noted") {
  CHECK(has_note(resolve({"mixed_precision.fp8_wgrad=false"}), "fp8_wgrad=false has no effect"));
  CHECK(has_note(resolve({"mixed_precision.autocast_enabled=true"}), "autocast_enabled has no effect"));
  CHECK(has_note(resolve({"mixed_precision.fp8_margin=2"}), "fp8_margin has no effect"));
  CHECK(has_note(resolve({"mixed_precision.hysteresis=3"}), "hysteresis has no effect"));
  CHECK(has_note(resolve({"--mixed-precision", kCurrent, "mixed_precision.num_layers_at_start_in_bf16=0",
                          "mixed_precision.num_layers_at_end_in_bf16=0"}),
                 "first_last_layers_bf16 has no effect"));
  CHECK(has_note(resolve({"--mixed-precision", "bf16_with_mxfp8_mixed", "model.ffn_hidden_size=100"}), "multiples of 32"));
}

TEST_CASE("a missing Hugging Face folder is a problem beside the others") {
  CHECK_THAT(error_of({"--model.hf_path", "/nonexistent_folder"}), ContainsSubstring("nonexistent_folder"));
}

TEST_CASE("settings beside model.hf_path: other shapes are refused, other arithmetic is said") {
  const auto imported = [](const std::string& model, std::vector<std::string> args) {
    args.insert(args.begin(), {"--model.hf_path", std::string(MBT_SOURCE_DIR) + "/tests/golden/models/" + model});
    return args;
  };
  CHECK_THAT(
      error_of(imported("llama2", {"--vocab-size", "5000"})),
      ContainsSubstring("model.vocab_size (command line --vocab-size): got 5000, expected") && ContainsSubstring("which the weights in"));
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{{"--num-layers", "7"},
                                                                                    {"--num-attention-heads", "1"},
                                                                                    {"--model.share_embeddings_and_output_weights", "true"},
                                                                                    {"--normalization", "LayerNorm"}})
    CHECK_THAT(error_of(imported("llama2", args)), ContainsSubstring("leave the setting out"));
  CHECK_THAT(error_of(imported("gpt2", {"--seq-length", "100000"})),
             ContainsSubstring("the weights of model.hf_path have no more: shorten the sequence"));

  const ResolvedRun as_it_is = resolve(imported("llama2", {}));
  CHECK(!has_note(as_it_is, "trained to compute something else"));
  const std::string heads = std::to_string(as_it_is.config.model.kv_heads()), width = std::to_string(as_it_is.config.model.head_dim());
  CHECK_NOTHROW(resolve(imported("llama2", {"--num-query-groups", heads, "--kv-channels", width})));
  CHECK(has_note(resolve(imported("llama2", {"--rotary-base", "500", "--model.softmax_scale", "0.3"})),
                 "model.rotary_base 10000.0 -> 500.0"));
  CHECK(has_note(resolve(imported("llama2", {"--model.softmax_scale", "0.3"})),
                 "model.softmax_scale " + nlohmann::json(as_it_is.config.model.attention_scale()).dump() + " -> 0.3"));
  CHECK(!has_note(resolve(imported("llama2", {"--seq-length", "16"})), "trained to compute something else"));
}

TEST_CASE("a tokenizer that is named without its type has its file's") {
  const std::string named = std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/llama3";
  const auto type_of = [&](const std::vector<std::string>& args) {
    return std::string(name_of(resolve(args).config.tokenizer.tokenizer_type));
  };
  CHECK(type_of({"--tokenizer-model", named}) == "HuggingFaceTokenizer");
  CHECK(type_of({"--tokenizer-model", named + "/tokenizer.json"}) == "HuggingFaceTokenizer");
  CHECK(resolve({"--tokenizer-model", named}).config.model.vocab_size > 256);
  CHECK(type_of({"--model.hf_path", std::string(MBT_SOURCE_DIR) + "/tests/golden/models/llama2", "--tokenizer-model", named}) ==
        "HuggingFaceTokenizer");
  CHECK(has_note(resolve({"--tokenizer-model", named, "--tokenizer-type", "bytes"}), "tokenizer_type bytes has no file"));
  const TemporaryFolder folder;  // the type of a config file belongs to the tokenizer that it names
  const std::string config =
      folder.file("run.json", R"({"tokenizer": {"tokenizer_type": "SentencePieceTokenizer", "tokenizer_model": "x.model"}})");
  CHECK(type_of({"--config", config, "--tokenizer-model", named}) == "HuggingFaceTokenizer");
  const std::string none = folder.file("none.json", R"({"tokenizer": {"tokenizer_type": "none"}})");
  CHECK(type_of({"--config", none, "--tokenizer-model", named}) == "HuggingFaceTokenizer");
  CHECK_THAT(error_of({"--tokenizer-model", folder.path("nowhere")}), ContainsSubstring("nowhere"));
}

TEST_CASE("a command without batch sizes runs on any number of ranks; what was given stays") {
  const auto on = [](int ranks, const std::vector<std::string>& args) { return resolve_run(parse_config_arguments(args), ranks); };
  CHECK(on(1, {}).config.train.global_batch_size == 16);
  CHECK(on(2, {}).config.train.global_batch_size == 16);
  CHECK(on(2, {}).notes.empty());
  const ResolvedRun three = on(3, {});
  CHECK(three.config.train.global_batch_size == 24);
  CHECK(three.config.train.micro_batch_size == 4);
  REQUIRE(three.notes.size() == 1);
  CHECK_THAT(three.notes[0], ContainsSubstring("its default of 16 rounded up to a multiple of micro_batch_size 4 x 3 ranks"));
  CHECK(on(1000, {}).config.train.global_batch_size == 4000);
  CHECK(on(3, {"--micro-batch-size", "1"}).config.train.global_batch_size == 18);
  CHECK(on(2, {"--global-batch-size", "12"}).config.train.micro_batch_size == 3);
  CHECK(on(3, {"--global-batch-size", "12"}).config.train.micro_batch_size == 4);
  CHECK_THROWS_AS(on(3, {"--global-batch-size", "16"}), InputError);
  CHECK_THROWS_AS(on(3, {"--global-batch-size", "16", "--micro-batch-size", "4"}), InputError);
  CHECK_THROWS_AS(on(1, {"--global-batch-size", "6"}), InputError);  // one rank: as it was
}

}  // namespace mbt::test::resolve_test
