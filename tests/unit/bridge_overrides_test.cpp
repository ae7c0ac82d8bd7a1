// Overrides of Megatron Bridge's users: renamed, without effect, or refused by name.
#include "core/recipe/bridge_overrides.h"

#include "core/base/error.h"
#include "core/config/command_line.h"
#include "core/recipe/resolve.h"
#include "tests/support/catch.h"

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

}  // namespace

TEST_CASE("a gated activation is two fields there and one here") {
  CHECK(resolve({"model.gated_linear_unit=True", "model.activation_func=silu"}).config.model.activation_func == ActivationFunc::swiglu);
  CHECK(resolve({"model.activation_func=torch.nn.functional.gelu", "model.gated_linear_unit=true"}).config.model.activation_func ==
        ActivationFunc::geglu);
  CHECK(resolve({"model.gated_linear_unit=False", "model.activation_func=F.silu"}).config.model.activation_func == ActivationFunc::silu);
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
  CHECK_THAT(error_of({"model.num_moe_experts=8"}), ContainsSubstring("experts") && !ContainsSubstring("unknown field"));
  CHECK_THAT(error_of({"peft.dim=8"}), ContainsSubstring("adapters"));
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
