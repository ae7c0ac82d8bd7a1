// mbtrain generate: text from a saved model.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "core/model/sampling.h"
#include "core/model/generate.h"
#include "core/train/checkpoint.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/plan_precision.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

struct GenerateOptions {
  std::string load, prompt = "\n", device = "auto";
  int64_t max_new_tokens = 256, step = -1, seed = 1234, num_samples = 1;
  SamplingConfig sampling;
};

GenerateOptions parse(const std::vector<std::string>& args) {
  CLI::App app("Sample from a model that `mbtrain train --checkpoint.save DIR` saved. The text goes to stdout, prompt first", "mbtrain generate");
  GenerateOptions o;
  app.add_option("--checkpoint.load,--load", o.load, "Folder of a run, or of one checkpoint")->required();
  app.add_option("--ckpt-step", o.step, "Iteration to load; by default the newest");
  app.add_option("--prompt", o.prompt, "Text to continue; at least one byte");
  app.add_option("--max-new-tokens", o.max_new_tokens, "Tokens to add to the prompt")->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  app.add_option("--num-samples", o.num_samples, "Independent continuations")->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--temperature", o.sampling.temperature, "Divides the logits; 0: always the most probable token");
  app.add_option("--top-k", o.sampling.top_k, "Only the k most probable tokens; 0: all");
  app.add_option("--top-p", o.sampling.top_p, "Only the most probable tokens that make up this probability; 1: all");
  app.add_option("--seed", o.seed, "Seed of the samples");
  app.add_option("--device", o.device, "auto, cpu or cuda");
  parse_args(app, args);
  o.sampling.check();
  if (o.prompt.empty()) throw InputError("--prompt: the model needs at least one byte to continue");
  return o;
}

/// Bytes to stdout as they come; a prompt longer than the model's context keeps its end.
void continue_prompt(Generator& generator, const GenerateOptions& o, uint64_t sample) {
  std::vector<int32_t> tokens;
  for (const unsigned char byte : o.prompt) tokens.push_back(byte);
  std::fwrite(o.prompt.data(), 1, o.prompt.size(), stdout);
  generator.reset();
  std::vector<int32_t> context = tokens;
  std::vector<float> logits;
  for (int64_t i = 0; i < o.max_new_tokens; ++i) {
    if (i == 0 || generator.position() + 1 > generator.capacity()) {
      // The context is full: start again from its second half, so that every token has at least half a context behind it.
      const auto keep = static_cast<size_t>(std::max<int64_t>(1, generator.capacity() / 2));
      const bool is_full = tokens.size() >= static_cast<size_t>(generator.capacity());
      context.assign(is_full ? tokens.end() - static_cast<std::ptrdiff_t>(keep) : tokens.begin(), tokens.end());
      generator.reset();
    } else {
      context.assign(1, tokens.back());
    }
    logits = generator.feed(context);
    const int32_t token = sample_token(logits, o.sampling, static_cast<uint64_t>(o.seed), sample, static_cast<uint64_t>(i));
    tokens.push_back(token);
    std::fputc(token, stdout);
    if (std::fflush(stdout) != 0) return;  // nobody reads on
  }
  std::fputc('\n', stdout);
}

}  // namespace

int cmd_generate(const std::vector<std::string>& args) {
  const GenerateOptions o = parse(args);
  const std::optional<FoundCheckpoint> found = find_checkpoint(o.load, o.step < 0 ? std::nullopt : std::optional<int64_t>(o.step));
  if (!found) throw InputError(text("--checkpoint.load: ", o.load, " holds no checkpoint"));
  if (!found->note.empty()) spdlog::warn("{}", found->note);
  const CheckpointReader checkpoint(found->path);
  const RunConfig config = load_run_config(checkpoint);
  if (config.model.vocab_size > 256) throw InputError(text(checkpoint.path(), ": the model has ", config.model.vocab_size, " tokens; generate knows bytes alone"));
  for (const unsigned char byte : o.prompt) {
    if (byte >= config.model.vocab_size) throw InputError(text("--prompt: byte ", int{byte}, " is outside the model's ", config.model.vocab_size, " tokens"));
  }
  const std::unique_ptr<Backend> backend = make_backend(o.device, static_cast<int>(config.train.num_threads));
  const PrecisionPolicy policy = supported_policy(config, *backend);
  Weights weights(*backend, config.model, policy, false);
  load_weights(checkpoint, weights);
  load_precision_state(checkpoint, *backend, weights);
  weights.refresh_working();
  Generator generator(*backend, config.model, policy, weights, config.model.max_positions());
  for (int64_t i = 0; i < o.num_samples; ++i) continue_prompt(generator, o, static_cast<uint64_t>(i));
  return 0;
}

}  // namespace mbt
