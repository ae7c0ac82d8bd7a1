// Overrides of Megatron Bridge's users: renamed, without effect, or refused by name. Every field of Bridge's table is tried.
#include "core/recipe/bridge_overrides.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/assign.h"
#include "core/config/command_line.h"
#include "core/config/config_file.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/megatron/bridge_fields.h"
#include "core/recipe/resolve.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::bridge_overrides_test {

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

/// As it is typed in Python: null is None.
std::string in_python(const std::string& json_text) {
  const nlohmann::json value = nlohmann::json::parse(json_text);
  return value.is_null()      ? "None"
         : value.is_boolean() ? (value.get<bool>() ? "True" : "False")
         : value.is_string()  ? value.get<std::string>()
                              : json_text;
}

Assignment typed(const std::string& path, const std::string& value) {
  const size_t dot = path.find('.');
  return {path.substr(0, dot), path.substr(dot + 1), nlohmann::json(value), {Origin::Kind::command_line, path}};
}

/// What one override does to the default config, without the rules between fields.
struct Outcome {
  std::vector<std::string> notes;
  std::vector<Problem> problems;
  RunConfig config;
  bool has_changed() const { return to_json(config) != to_json(RunConfig{}); }
};
Outcome outcome_of(const std::string& path, const std::string& value) {
  Outcome o;
  Origins origins;
  apply_assignments(o.config, in_own_terms({typed(path, value)}, o.notes, o.problems), origins, o.problems);
  return o;
}

/// Values that the field takes and that are not its default; none where only one is possible.
std::vector<std::string> other_values(const Field& field) {
  const std::string now = field.get().dump();
  std::vector<std::string> values;
  switch (field.type()) {
    case FieldType::boolean: return {now == "true" ? "False" : "True"};
    case FieldType::choice: values = field.choices(); break;
    case FieldType::string: return {"'a text'"};
    case FieldType::integer_list: return {"(3, 4)"};
    case FieldType::string_list: return {"['a', 'b']"};
    case FieldType::integer:
    case FieldType::number:
      if (field.info.min == field.info.max) return {};
      for (const double v : {2.0, 3.0, 1.0, 0.25, 1.5})
        if (v >= field.info.min && v <= field.info.max && (field.type() == FieldType::number || v == static_cast<int64_t>(v)))
          values.push_back(to_text(v));
  }
  std::erase_if(values, [&](const std::string& v) { return v == now || '"' + v + '"' == now || v + ".0" == now; });
  return values;
}

/// Fields whose default upstream asks for what is not there, or for another recipe.
const std::map<std::string, std::string> kRealDefaults = {
    {"model.hidden_dropout", "dropout of 0.1"},
    {"model.attention_dropout", "dropout of 0.1"},
    {"mixed_precision.bf16", "of the class, which is fp32; here the recipe is bf16_mixed unless another is named"},
};

}  // namespace

TEST_CASE("each field of Bridge has one class, and what it becomes exists") {
  RunConfig config;
  const FieldTable table(config);
  std::set<std::string> seen;
  for (const BridgeField& f : bridge_fields()) {
    INFO(f.path);
    CHECK(seen.insert(f.path).second);
    CHECK(f.kind != BridgeKind::unknown);
    const size_t dot = f.path.find('.');
    const bool is_ours = table.find(f.path.substr(0, dot), f.path.substr(dot + 1)) != nullptr;
    CHECK((f.kind != BridgeKind::same || is_ours));
    CHECK((!is_ours || f.kind == BridgeKind::same || f.kind == BridgeKind::mapped || f.kind == BridgeKind::special));
    CHECK((f.kind == BridgeKind::same || f.kind == BridgeKind::mapped) == (!f.fields.empty() || !f.sets.empty()));
    CHECK((f.kind == BridgeKind::same || f.kind == BridgeKind::mapped || !f.reason.empty()));
    CHECK(f.reason.find("--") == std::string::npos);
    for (const std::string& ours : f.fields) CHECK(table.find(ours.substr(0, ours.find('.')), ours.substr(ours.find('.') + 1)) != nullptr);
  }
  CHECK(seen.size() >= 893);
}

TEST_CASE("at upstream's own default no field is unknown or refused") {
  for (const BridgeField& f : bridge_fields()) {
    if (!f.upstream) continue;  // it depends on other settings there
    INFO(f.path << "=" << in_python(*f.upstream));
    const std::string error = error_of({f.path + "=" + in_python(*f.upstream)});
    const bool asks = kRealDefaults.count(f.path) != 0 || (f.path.starts_with("peft.") && *f.upstream != "null");  // one asks for adapters
    CHECK(error.empty() == !asks);
    CHECK_THAT(error, !ContainsSubstring("unknown"));
  }
}

TEST_CASE("at another value each field does what its class says") {
  RunConfig config;
  const FieldTable table(config);
  for (const BridgeField& f : bridge_fields()) {
    INFO(f.path);
    if (f.kind == BridgeKind::without_effect) {
      const Outcome o = outcome_of(f.path, "77");
      CHECK((o.problems.empty() && o.notes.size() == 1 && !o.has_changed()));
    }
    if (f.kind == BridgeKind::refused) {
      const Outcome o = outcome_of(f.path, "77");
      CHECK((o.problems.size() == 1 && o.problems[0].where.starts_with(f.path) && o.problems[0].what == f.reason));
    }
    if (f.kind != BridgeKind::same && f.kind != BridgeKind::mapped) continue;
    if (!f.sets.empty()) CHECK(outcome_of(f.path, "True").problems.empty());
    for (const auto& [theirs, ours] : f.values) CHECK(outcome_of(f.path, theirs).problems.empty());
    if (f.fields.empty()) continue;
    const Field& ours = *table.find(f.fields[0].substr(0, f.fields[0].find('.')), f.fields[0].substr(f.fields[0].find('.') + 1));
    if (other_values(ours).empty()) CHECK_FALSE(outcome_of(f.path, "2").problems.empty());
    else {
      const Outcome o = outcome_of(f.path, other_values(ours).front());
      INFO(other_values(ours).front() << (o.problems.empty() ? "" : ": " + o.problems[0].what));
      CHECK((o.problems.empty() && o.has_changed()));
    }
  }
  CHECK(outcome_of("model.enable_cuda_graph", "True").config.train.cuda_graph);
  CHECK(outcome_of("dataset.mock", "True").config.dataset.kind == DatasetKind::synthetic);
  CHECK(outcome_of("dataset.mock", "False").config.dataset.kind == RunConfig{}.dataset.kind);
  CHECK(outcome_of("dataset.inter_document_masking", "True").config.dataset.reset_attention_mask);
  CHECK(outcome_of("logger.logging_level", "30").config.logger.logging_level == LoggingLevel::warning);
  CHECK(outcome_of("model.attention_backend", "AttnBackend.unfused").config.model.attention_backend == AttentionChoice::math);
  const RunConfig overlap =
      resolve({"comm_overlap.overlap_grad_reduce=True", "comm_overlap.bucket_size=1000", "comm_overlap.overlap_param_gather=True",
               "ddp.use_distributed_optimizer=True", "optimizer.use_distributed_optimizer=True"})
          .config;
  CHECK((overlap.ddp.overlap_grad_reduce && overlap.ddp.overlap_param_gather && overlap.ddp.bucket_size == 1000));
}

TEST_CASE("fields that depend on others") {
  const TemporaryFolder folder;
  const std::map<std::string, std::vector<std::string>> changed = {
      {"model.gated_linear_unit", {"model.gated_linear_unit=False"}},
      {"model.activation_func", {"model.activation_func=F.relu"}},
      {"model.bias_activation_fusion", {"model.bias_activation_fusion=False", "model.activation_func=gelu"}},
      {"model.window_size", {"model.window_size=(127, 0)"}},
      {"model.should_pad_vocab", {"model.should_pad_vocab=False"}},
      {"dataset.blend_per_split", {"dataset.blend_per_split=[[['A'],None],None,None]"}},
      {"dataset.dataset_root", {"dataset.dataset_root=/data"}},
      {"tokenizer.padded_vocab_size", {"tokenizer.padded_vocab_size=512"}},
      {"checkpoint.pretrained_checkpoint", {"checkpoint.pretrained_checkpoint=somewhere"}},
  };
  const nlohmann::ordered_json plain = to_json(resolve({}).config);
  for (const BridgeField& f : bridge_fields()) {
    if (f.kind != BridgeKind::special || f.path == "model.hf_model_id" || f.path == "validation.eval_global_batch_size") continue;
    INFO(f.path);
    REQUIRE(changed.count(f.path) == 1);
    CHECK(to_json(resolve(changed.at(f.path)).config) != plain);
  }
  CHECK(resolve({"model.window_size=[255,0]"}).config.model.sliding_window == 256);
  CHECK(resolve({"model.window_size=(-1, 0)"}).config.model.sliding_window == std::nullopt);
  CHECK_THAT(error_of({"model.window_size=(8, 8)"}), ContainsSubstring("expected [left, 0]"));
  CHECK_THAT(error_of({"model.window_size=(8, 0)"}), ContainsSubstring("sliding_window"));
  CHECK_THAT(error_of({"model.hf_model_id=meta/llama"}), ContainsSubstring("nothing is downloaded"));
  CHECK(outcome_of("model.hf_model_id", folder.path()).config.model.hf_path == folder.path());
  CHECK(resolve({"validation.eval_global_batch_size=8", "train.global_batch_size=8"}).notes.size() == 1);
  CHECK_THAT(error_of({"validation.eval_global_batch_size=4", "train.global_batch_size=8"}), ContainsSubstring("eval_iters"));
  const RunConfig null = resolve({"tokenizer.tokenizer_type=NullTokenizer", "tokenizer.vocab_size=512"}).config;
  CHECK((null.tokenizer.tokenizer_type == TokenizerType::none && null.model.vocab_size == 512 && null.dataset.eod_token_id == 511));
  std::filesystem::create_directories(folder.path("run"));
  folder.file("run/latest_checkpointed_iteration.txt", "4");
  const RunConfig goes_on = resolve({"checkpoint.load=" + folder.path("run"), "checkpoint.pretrained_checkpoint=base"}).config;
  CHECK((goes_on.checkpoint.load == folder.path("run") && !goes_on.checkpoint.finetune));
}

TEST_CASE("GELU is the exact one unless a fused kernel takes its place") {
  const auto function = [](const std::vector<std::string>& args) { return resolve(args).config.model.activation_func; };
  CHECK(function({"model.activation_func=torch.nn.functional.gelu"}) == ActivationFunc::gelu_erf);
  CHECK(function({"model.activation_func=F.gelu", "model.bias_activation_fusion=True"}) == ActivationFunc::gelu);
  CHECK(function({"model.activation_func=megatron.core.activations.fast_gelu"}) == ActivationFunc::gelu);
  CHECK(function({"model.activation_func=gelu"}) == ActivationFunc::gelu);  // our own name
  CHECK(function({"model.activation_func=gelu", "model.bias_activation_fusion=False"}) == ActivationFunc::gelu_erf);
  CHECK(has_note(resolve({"model.activation_func=F.gelu", "model.gated_linear_unit=True"}), "geglu has the tanh form"));
  CHECK(has_note(resolve({"model.bias_activation_fusion=True"}), "it picks a kernel"));
  CHECK_THAT(error_of({"model.activation_func=quick_gelu"}), ContainsSubstring("quick_gelu"));
}

TEST_CASE("values and names in Python's and Hydra's spelling") {
  CHECK(resolve({"+model.num_layers=2"}).config.model.num_layers == 2);
  CHECK(resolve({"++model.num_layers=3"}).config.model.num_layers == 3);
  CHECK_THAT(error_of({"~model.rope_scaling", "model.num_moe_experts=4", "peft.dim=8"}),
             ContainsSubstring("~ removes") && ContainsSubstring("num_moe_experts") && ContainsSubstring("peft.dim") &&
                 ContainsSubstring("3 problems"));
  CHECK(resolve({"optimizer.lr='1e-4'"}).config.optimizer.lr == 1e-4);
  CHECK(resolve({"model.normalization=\"LayerNorm\""}).config.model.normalization == Normalization::layer_norm);
  CHECK(resolve({"dataset.blend=[[A,'B'],None]"}).config.dataset.blend == std::vector<std::string>{"A", "B"});
  CHECK(resolve({"dataset.blend=(['A', 'B'], (0.25, 0.75))"}).config.dataset.blend == std::vector<std::string>{"0.25", "A", "0.75", "B"});
  CHECK(resolve({"train.iterations_to_skip=(3, 4)"}).config.train.iterations_to_skip == std::vector<int64_t>{3, 4});
  CHECK(resolve({"train.iterations_to_skip=(3,)"}).config.train.iterations_to_skip == std::vector<int64_t>{3});
  for (const char* broken : {"[[A,B],null", "[A,B))", "['A]", "[[A],[B"})
    CHECK_THAT(error_of({std::string("train.iterations_to_skip=") + broken}), ContainsSubstring("expected a list"));
  CHECK(resolve({"dataset.blend_per_split=[[['A'],None],[['B'],None],None]"}).config.dataset.valid_data_path ==
        std::vector<std::string>{"B"});
  CHECK(resolve({"train.micro_batch_size=None", "optimizer.lr=null"}).config.optimizer.lr == OptimizerConfig{}.lr);
  CHECK(resolve({"model.vocab_size=512", "model.vocab_size=None"}).config.model.vocab_size == ModelConfig{}.vocab_size);
  CHECK(resolve({"peft=null", "ft=None", "comm_overlap=null"}).notes.empty());
  CHECK_THAT(error_of({"peft=lora"}), ContainsSubstring("Adapters") && ContainsSubstring("expected null"));
  CHECK(resolve({"mixed_precision='fp16_mixed'"}).config.mixed_precision.fp16);
  for (const char* field : {"model.gated_linear_unit", "model.should_pad_vocab", "model.enable_cuda_graph", "dataset.mock"})
    CHECK_THAT(error_of({std::string(field) + "=yes"}), ContainsSubstring(field) && ContainsSubstring("expected True or False"));
  CHECK_THAT(error_of({"model.activation_func=gelu", "model.bias_activation_fusion=yes"}), ContainsSubstring("expected True or False"));
  CHECK_THAT(error_of({"optimizer=adam"}), ContainsSubstring("is a section"));
  ConfigInput file;
  read_config_text(R"({"dist": {"lazy_init": true}, "ft": null, "model": {"enable_cuda_graph": true}})", "run.json", file);
  CHECK(has_note(resolve_run(file), "dist.lazy_init"));
}

TEST_CASE("a gated activation is two fields there and one here") {
  CHECK(resolve({"model.gated_linear_unit=True", "model.activation_func=silu"}).config.model.activation_func == ActivationFunc::swiglu);
  CHECK(resolve({"model.activation_func=torch.nn.functional.gelu", "model.gated_linear_unit=true"}).config.model.activation_func ==
        ActivationFunc::geglu);
  CHECK(resolve({"model.gated_linear_unit=False", "model.activation_func=F.silu"}).config.model.activation_func == ActivationFunc::silu);
  CHECK(resolve({"model.gated_linear_unit=False"}).config.model.activation_func == ActivationFunc::silu);
  CHECK(resolve({"model.gated_linear_unit=true"}).config.model.activation_func == ActivationFunc::swiglu);
  CHECK_THAT(error_of({"model.gated_linear_unit=true", "model.activation_func=relu"}), ContainsSubstring("gated_linear_unit"));
}

TEST_CASE("what changes nothing here is taken, with the reason") {
  const ResolvedRun run = resolve({"model.sequence_parallel=False", "dataset.num_workers=0", "dist.distributed_timeout_minutes=90",
                                   "logger.wandb_project=x", "model.gradient_accumulation_fusion=true", "ft.enable_ft_package=true"});
  CHECK(run.notes.size() == 6);
  CHECK(has_note(run, "dist.distributed_timeout_minutes (command line dist.distributed_timeout_minutes) has no effect"));
}

TEST_CASE("what is not there is refused by name, and switched off it is nothing") {
  CHECK_THAT(error_of({"model.num_moe_experts=8"}), ContainsSubstring("Experts") && !ContainsSubstring("unknown field"));
  CHECK_THAT(error_of({"peft.dim=8"}), ContainsSubstring("Adapters"));
  CHECK_THAT(error_of({"model.pipeline_model_parallel_size=2"}), ContainsSubstring("pipeline") && ContainsSubstring("the only value"));
  for (const char* asked : {"dist.use_megatron_fsdp=True", "dist.use_torch_fsdp2=True", "dist.eval_context_parallel_size=2",
                            "rerun_state_machine.error_injection_rate=1", "ft.simulate_fault=True", "tensor_inspect.enabled=True",
                            "dataset.dataloader_type=cyclic"}) {
    const std::string field = std::string(asked).substr(0, std::string(asked).find('='));
    CHECK_THAT(error_of({asked}), ContainsSubstring(field) && !ContainsSubstring("unknown field"));
  }
  for (const char* nothing :
       {"dist.use_megatron_fsdp=False", "dist.eval_context_parallel_size=1", "ft.simulate_fault=false", "dataset.dataloader_type=single"})
    CHECK(error_of({nothing}).empty());
  CHECK(error_of({"model.num_moe_experts=null"}).empty());
  CHECK(error_of({"model.moe_router_topk=None"}).empty());
  CHECK_THAT(error_of({"model.no_such_thing=1"}), ContainsSubstring("unknown field"));
}

TEST_CASE("renamed fields and None") {
  CHECK(resolve({"dataset.sequence_length=64", "model.seq_length=64"}).config.dataset.seq_length == 64);
  CHECK(resolve({"checkpoint.load=None", "checkpoint.save=null"}).config.checkpoint.load.empty());
  const RunConfig c = resolve({"checkpoint.pretrained_checkpoint=somewhere"}).config;
  CHECK((c.checkpoint.load == "somewhere" && c.checkpoint.finetune));
  CHECK(resolve({"model.recompute_granularity=full", "model.recompute_method=uniform", "model.recompute_num_layers=1"}).notes.empty());
}

}  // namespace mbt::test::bridge_overrides_test
