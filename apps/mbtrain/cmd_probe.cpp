// mbtrain probe: every number of a few steps, for comparison with other programs.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/verb_options.h"
#include "core/recipe/resolve.h"
#include "core/train/plan/plan_precision.h"
#include "core/train/probe.h"
#include "kernels/kernels.h"

namespace mbt {

int cmd_probe(const std::vector<std::string>& args) {
  VerbOptions options(
      "Load a Hugging Face folder (--model.hf_path DIR), run forward and backward of batch 0, then --steps optimizer steps, and write\n"
      "loss, logits, grad.<name> (of batch 0, unclipped), losses, grad_norms and after.<name>",
      "mbtrain probe");
  std::string batch, out;
  int64_t steps = 0;
  options.add_option("--batch", batch, "safetensors with input_ids, labels (already shifted) and loss_mask, each [steps, batch, sequence]")
      .required()
      .called("FILE");
  options.add_option("--out", out, "safetensors to write").required().called("FILE");
  options.add_option("--steps", steps, "Optimizer steps; each takes one batch").range(int64_t{0}, int64_t{1000000});
  ConfigInput input = options.parse_with_config(args);
  // The sequences that the model must be able to take.
  input.assignments.push_back({"model", "seq_length", nlohmann::json(probe_sequence(batch)), {Origin::Kind::derived, batch}});
  const ResolvedRun run = resolve_run(input);
  const std::unique_ptr<Backend> backend = make_backend(name_of(run.config.train.device), static_cast<int>(run.config.train.num_threads));
  run_probe(*backend, run.config, supported_policy(run.config, *backend), batch, out, steps);
  std::printf("wrote %s\n", out.c_str());
  return 0;
}

}  // namespace mbt
