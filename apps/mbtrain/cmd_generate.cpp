// mbtrain generate: text from a saved model.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/model_options.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/eval/text_tokens.h"
#include "core/io/files.h"
#include "core/model/generate.h"
#include "core/model/sampling.h"

namespace mbt {
namespace {

constexpr int64_t kMaxPromptBytes = 1 << 24;

struct GenerateOptions {
  ModelOptions model;
  std::string prompt = "\n", prompt_file;
  int64_t max_new_tokens = 256, seed = 1234, num_samples = 1, max_length = 0;
  bool goes_on = false, as_json = false;
  SamplingConfig sampling;
};

std::string read_standard_input() {
  std::string content;
  char piece[1 << 16];
  while (const size_t count = std::fread(piece, 1, sizeof piece, stdin)) {
    content.append(piece, count);
    if (content.size() > kMaxPromptBytes) throw InputError(fmt::format("standard input: more than {} bytes", kMaxPromptBytes));
  }
  return content;
}

GenerateOptions parse_generate(const std::vector<std::string>& args) {
  VerbOptions options(
      "Continue a text with a model that `mbtrain train --checkpoint.save DIR` saved, or with a Hugging Face folder. The text goes to "
      "stdout,\n"
      "prompt first; it ends where the model's end-of-text token comes, or after --max-new-tokens",
      "mbtrain generate");
  GenerateOptions o;
  o.model.add_to(options);
  const VerbOption prompt = options.add_option("--prompt", o.prompt, "Text to continue; default: a newline");
  options.add_option("--prompt-file", o.prompt_file, "File with the text to continue; - reads it from standard input")
      .excludes(prompt)
      .called("FILE");
  options.show_defaults();
  options.add_option("--max-new-tokens", o.max_new_tokens, "Tokens to add to the prompt").range(int64_t{1}, int64_t{1} << 30);
  options
      .add_option("--max-length", o.max_length,
                  "Most tokens that the model looks back on, which take memory; 0: as many as it can, at most 8192")
      .range(int64_t{0}, int64_t{1} << 30);
  options.add_flag("--ignore-eos", o.goes_on, "Continue after the end-of-text token");
  options.add_option("--num-samples", o.num_samples, "Independent continuations, between lines `--- sample 2 of 3 ---`")
      .range(int64_t{1}, int64_t{1} << 20);
  options.add_flag("--json", o.as_json,
                   "Print one JSON object per continuation and line: sample, prompt, text, tokens, finished (by an end-of-text token)");
  options.add_option("--temperature", o.sampling.temperature, "Divides the logits; 0: always the most probable token");
  options.add_option("--top-k", o.sampling.top_k, "Only the k most probable tokens; 0: all");
  options.add_option("--top-p", o.sampling.top_p, "Only the most probable tokens that make up this probability; 1: all");
  options.add_option("--seed", o.seed, "Seed of the samples");
  options.parse(args);
  o.sampling.check();
  if (!o.prompt_file.empty()) o.prompt = o.prompt_file == "-" ? read_standard_input() : read_text_file(o.prompt_file, kMaxPromptBytes);
  return o;
}

std::vector<int32_t> prompt_tokens(const GenerateOptions& o, const ModelFolder& model) {
  std::vector<int32_t> tokens = leading_tokens(*model.tokenizer);
  try {
    model.tokenizer->encode(o.prompt, tokens);
  } catch (const InputError& e) {
    throw InputError(fmt::format("{}: {}", o.prompt_file.empty() ? "--prompt" : o.prompt_file, e.what()));
  }
  if (tokens.empty()) throw InputError("--prompt: the model needs at least one token to continue");
  for (const int32_t token : tokens)
    if (token >= model.config.model.vocab_size)
      throw InputError(fmt::format("--prompt: token {} is outside the model's {} tokens", token, model.config.model.vocab_size));
  return tokens;
}

int64_t seen_of_long_prompt(int64_t capacity) { return std::max<int64_t>(1, capacity / 2); }

/// What to feed next: the newest token; when the context is full its second half again, so that every token has at least half a context
/// behind it. A prompt longer than the context keeps its end.
std::vector<int32_t> next_input(Generator& generator, const std::vector<int32_t>& tokens, bool is_first) {
  if (!is_first && generator.position() + 1 <= generator.capacity()) return {tokens.back()};
  const auto keep = static_cast<std::ptrdiff_t>(seen_of_long_prompt(generator.capacity()));
  const bool is_full = tokens.size() >= static_cast<size_t>(generator.capacity());
  generator.reset();
  return {is_full ? tokens.end() - keep : tokens.begin(), tokens.end()};
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Error("cannot write to standard output");
}

/// What the model writes; logits of tokens that the tokenizer does not have are padding of the vocabulary: they are no choice.
struct Continuation {
  std::string text;
  std::vector<int32_t> tokens;
  bool is_finished = false;  ///< by an end-of-text token, which is none of `tokens`
};

/// `show` gets the text piece by piece.
template <class Show>
Continuation continue_prompt(Generator& generator, const GenerateOptions& o, const ModelFolder& model, std::vector<int32_t> tokens,
                             uint64_t sample, Show show) {
  const Tokenizer& tokenizer = *model.tokenizer;
  TextStream stream(tokenizer);
  for (const int32_t token : tokens) stream.add(token);  // their text is shown as it was given
  Continuation made;
  const auto add = [&](const std::string& piece) {
    made.text += piece;
    show(piece);
  };
  for (int64_t i = 0; i < o.max_new_tokens; ++i) {
    std::vector<float> logits = generator.feed(next_input(generator, tokens, i == 0));
    logits.resize(std::min(logits.size(), static_cast<size_t>(tokenizer.vocab_size())));
    const int32_t token = sample_token(logits, o.sampling, static_cast<uint64_t>(o.seed), sample, static_cast<uint64_t>(i));
    tokens.push_back(token);
    made.is_finished = !o.goes_on && std::count(model.end_tokens.begin(), model.end_tokens.end(), token) > 0;
    if (made.is_finished) break;
    made.tokens.push_back(token);
    add(stream.add(token));
  }
  add(stream.rest());
  return made;
}

void print_sample(Generator& generator, const GenerateOptions& o, const ModelFolder& model, const std::vector<int32_t>& tokens, int64_t i) {
  const auto sample = static_cast<uint64_t>(i);
  if (o.as_json) {
    const Continuation made = continue_prompt(generator, o, model, tokens, sample, [](const std::string&) {});
    const nlohmann::ordered_json line = {
        {"sample", i}, {"prompt", o.prompt}, {"text", made.text}, {"tokens", made.tokens}, {"finished", made.is_finished}};
    return print(json_text(line, {.replaces_invalid = true}) + "\n");
  }
  if (o.num_samples > 1) print(fmt::format("--- sample {} of {} ---\n", i + 1, o.num_samples));
  print(o.prompt);
  continue_prompt(generator, o, model, tokens, sample, print);
  print("\n");
}

int64_t capacity(const GenerateOptions& o, const ModelConfig& model) {
  constexpr int64_t kDefaultMost = 8192;
  if (o.max_length > model.longest_sequence())
    throw InputError(fmt::format("--max-length {}: the model takes up to {} tokens", o.max_length, model.longest_sequence()));
  return o.max_length > 0 ? o.max_length : std::min(model.longest_sequence(), std::max(kDefaultMost, model.seq_length));
}

}  // namespace

int cmd_generate(const std::vector<std::string>& args) {
  const GenerateOptions o = parse_generate(args);
  OpenModel m = open_model(o.model);
  const std::vector<int32_t> tokens = prompt_tokens(o, m.folder);
  Generator generator(*m.backend, m.folder.config.model, m.policy, *m.weights, capacity(o, m.folder.config.model));
  if (const auto given = static_cast<int64_t>(tokens.size()); given >= generator.capacity())
    log_warning(fmt::format("the prompt has {} tokens and the model looks back on {}: it sees the last {} alone", given,
                            generator.capacity(), seen_of_long_prompt(generator.capacity())));
  for (int64_t i = 0; i < o.num_samples; ++i) print_sample(generator, o, m.folder, tokens, i);
  return 0;
}

}  // namespace mbt
