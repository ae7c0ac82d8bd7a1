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
#include "core/base/strings.h"
#include "core/eval/model_chat.h"
#include "core/eval/stop_texts.h"
#include "core/eval/text_tokens.h"
#include "core/io/files.h"
#include "core/model/generate.h"
#include "core/model/sampling.h"
#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

constexpr int64_t kMaxPromptBytes = 1 << 24;

struct GenerateOptions {
  ModelOptions model;
  std::string prompt = "\n", prompt_file, system, chat_template;
  std::vector<std::string> stops;
  int64_t max_new_tokens = 256, seed = 1234, num_samples = 1, max_length = 0;
  bool is_chat = false, goes_on = false, as_json = false;
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

void add_chat(VerbOptions& options, GenerateOptions& o) {
  options.add_flag("--chat", o.is_chat,
                   "The prompt is what a user says, and only the model's answer is printed, up to the end of its turn; with the chat "
                   "template that the model was trained with");
  options.add_option("--system", o.system, "With --chat: a system message in front");
  options.add_option("--chat-template", o.chat_template, "With --chat: chatml, llama3 or plain; by default the model's own")
      .one_of(chat_template_names());
}

void check_chat(const GenerateOptions& o, bool has_prompt) {
  if (o.is_chat && !has_prompt) throw InputError("--chat: needs --prompt or --prompt-file, what the user says");
  for (const auto& [option, value] : {std::pair("--system", o.system), std::pair("--chat-template", o.chat_template)})
    if (!o.is_chat && !value.empty()) throw InputError(fmt::format("{}: only --chat uses it; add --chat", option));
  for (const std::string& stop : o.stops) {
    if (stop.empty()) throw InputError("--stop: got an empty value, expected a text");
    if (find_invalid_utf8(stop) < stop.size())
      throw InputError(fmt::format("--stop {}: is not UTF-8, as what a model writes is", shown(stop)));
  }
}

GenerateOptions parse_generate(const std::vector<std::string>& args) {
  VerbOptions options(
      "Continue a text with a model that `mbtrain train --checkpoint.save DIR` saved, or with a Hugging Face folder. The text goes to "
      "stdout,\n"
      "prompt first; it ends where the model's end-of-text token or a --stop comes, or after --max-new-tokens. With --chat it answers",
      "mbtrain generate");
  GenerateOptions o;
  o.model.add_to(options);
  const VerbOption prompt = options.add_option("--prompt", o.prompt, "Text to continue; default: a newline");
  const VerbOption prompt_file =
      options.add_option("--prompt-file", o.prompt_file, "File with the text to continue; - reads it from standard input")
          .excludes(prompt)
          .called("FILE");
  add_chat(options, o);
  options.add_option("--stop", o.stops, "A text that ends the continuation and is not printed; repeatable").repeatable().called("TEXT");
  options.show_defaults();
  options.add_option("--max-new-tokens", o.max_new_tokens, "Tokens to add to the prompt").range(int64_t{1}, int64_t{1} << 30);
  options
      .add_option("--max-length", o.max_length,
                  "Most tokens that the model looks back on, which take memory; 0: as many as it can, at most 8192")
      .range(int64_t{0}, int64_t{1} << 30);
  options.add_flag("--ignore-eos", o.goes_on, "Continue after the token that ends a text or a turn");
  options.add_option("--num-samples", o.num_samples, "Independent continuations, between lines `--- sample 2 of 3 ---`")
      .range(int64_t{1}, int64_t{1} << 20);
  options.add_flag("--json", o.as_json,
                   "Print one JSON object per continuation and line: sample, system, prompt, text, tokens, finished (not by the number of "
                   "tokens), ended_by (end_token, stop, length), and which end_token or stop it was");
  options.add_option("--temperature", o.sampling.temperature, "Divides the logits; 0: always the most probable token");
  options.add_option("--top-k", o.sampling.top_k, "Only the k most probable tokens; 0: all");
  options.add_option("--top-p", o.sampling.top_p, "Only the most probable tokens that make up this probability; 1: all");
  options.add_option("--seed", o.seed, "Seed of the samples");
  options.parse(args);
  o.sampling.check();
  check_chat(o, prompt.is_given() || prompt_file.is_given());
  if (!o.prompt_file.empty()) o.prompt = o.prompt_file == "-" ? read_standard_input() : read_text_file(o.prompt_file, kMaxPromptBytes);
  return o;
}

/// What the model continues, and what ends it.
struct Task {
  ChatPrompt prompt;
  std::vector<int32_t> end_tokens;
  std::vector<int32_t> stop_tokens;  ///< --stop with the name of a token that no text shows
  std::vector<std::string> stop_texts;
};

ChatPrompt text_prompt(const GenerateOptions& o, const Tokenizer& tokenizer) {
  ChatPrompt prompt{.tokens = leading_tokens(tokenizer)};
  tokenizer.encode(o.prompt, prompt.tokens);
  return prompt;
}

ChatPrompt chat_prompt(const GenerateOptions& o, const ModelFolder& model, Task& task) {
  const ModelChat talk = find_chat(model, value_named<ChatFormat>(o.chat_template), "--chat");
  if (!talk.note.empty()) log_warning(talk.note);
  task.end_tokens.push_back(talk.chat.end_of_turn());
  nlohmann::json messages = nlohmann::json::array();
  if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
  messages.push_back({{"role", "user"}, {"content", o.prompt}});
  return talk.chat.prompt(messages);
}

void check_prompt(const GenerateOptions& o, const ModelFolder& model, const std::vector<int32_t>& tokens) {
  if (tokens.empty()) throw InputError("--prompt: the model needs at least one token to continue");
  for (const int32_t token : tokens)
    if (token >= model.config.model.vocab_size)
      throw InputError(fmt::format("{}: token {} is outside the model's {} tokens", o.prompt_file.empty() ? "--prompt" : o.prompt_file,
                                   token, model.config.model.vocab_size));
}

/// Special tokens are no text: a stop is one of them by its name, or has none of their names in it.
void add_stops(const GenerateOptions& o, const Tokenizer& tokenizer, Task& task) {
  for (const std::string& stop : o.stops) {
    std::vector<int32_t> tokens;
    tokenizer.encode(stop, tokens);
    if (tokenizer.decode_bytes(tokens, true) == tokenizer.decode_bytes(tokens, false)) {
      task.stop_texts.push_back(stop);
    } else if (tokens.size() == 1) {
      task.stop_tokens.push_back(tokens[0]);
    } else {
      throw InputError(fmt::format(
          "--stop {}: has the name of a special token in it, which is no part of the text that a model writes; give that name alone",
          shown(stop)));
    }
  }
}

Task make_task(const GenerateOptions& o, const ModelFolder& model) {
  Task task{.prompt = {}, .end_tokens = model.end_tokens, .stop_tokens = {}, .stop_texts = {}};
  try {
    task.prompt = o.is_chat ? chat_prompt(o, model, task) : text_prompt(o, *model.tokenizer);
  } catch (const InputError& e) {
    if (std::string(e.what()).starts_with("--chat")) throw;
    throw InputError(fmt::format("{}: {}", o.prompt_file.empty() ? "--prompt" : o.prompt_file, e.what()));
  }
  check_prompt(o, model, task.prompt.tokens);
  add_stops(o, *model.tokenizer, task);
  return task;
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

bool has(const std::vector<int32_t>& tokens, int32_t token) { return std::find(tokens.begin(), tokens.end(), token) != tokens.end(); }

/// What the model writes.
struct Continuation {
  std::string text;                 ///< without the stop that ended it
  std::vector<int32_t> tokens;      ///< all, with those of a stop text; without a token that ended it
  std::optional<int32_t> end;       ///< the end-of-text token that came
  std::optional<std::string> stop;  ///< the --stop that came

  bool is_finished() const { return end || stop; }
};

/// Makes text of tokens, piece by piece.
class AnswerText {
 public:
  AnswerText(const Tokenizer& tokenizer, const Task& task) : stream_(tokenizer), stops_(task.stop_texts), skips_(task.prompt.skips_blank) {
    for (const int32_t token : task.prompt.tokens) stream_.add(token);  // their text is shown as it was given
  }

  std::string add(int32_t token) { return stops_.add(without_blank(stream_.add(token))); }
  std::string rest() {
    std::string last = stops_.add(without_blank(stream_.rest()));
    return last + stops_.rest();
  }
  const std::optional<std::string>& stop() const { return stops_.came(); }

 private:
  /// Only the first text can have the blank.
  std::string without_blank(std::string piece) {
    if (skips_ && !piece.empty()) {
      skips_ = false;
      if (piece[0] == ' ') piece.erase(0, 1);
    }
    return piece;
  }

  TextStream stream_;
  StopTexts stops_;
  bool skips_;
};

/// Logits of tokens that the tokenizer does not have are padding of the vocabulary: they are no choice.
int32_t next_token(Generator& generator, const GenerateOptions& o, const Tokenizer& tokenizer, const std::vector<int32_t>& tokens,
                   uint64_t sample, int64_t i) {
  std::vector<float> logits = generator.feed(next_input(generator, tokens, i == 0));
  logits.resize(std::min(logits.size(), static_cast<size_t>(tokenizer.vocab_size())));
  return sample_token(logits, o.sampling, static_cast<uint64_t>(o.seed), sample, static_cast<uint64_t>(i));
}

/// `show` gets the text piece by piece.
template <class Show>
Continuation continue_prompt(Generator& generator, const GenerateOptions& o, const Tokenizer& tokenizer, const Task& task, uint64_t sample,
                             Show show) {
  std::vector<int32_t> tokens = task.prompt.tokens;
  AnswerText text(tokenizer, task);
  Continuation made;
  const auto add = [&](const std::string& piece) {
    made.text += piece;
    show(piece);
  };
  for (int64_t i = 0; i < o.max_new_tokens && !text.stop(); ++i) {
    const int32_t token = next_token(generator, o, tokenizer, tokens, sample, i);
    if (has(task.stop_tokens, token)) {
      made.stop = tokenizer.decode(std::span(&token, 1), false);
      break;
    }
    if (!o.goes_on && has(task.end_tokens, token)) {
      made.end = token;
      break;
    }
    tokens.push_back(token);
    made.tokens.push_back(token);
    add(text.add(token));
  }
  if (!text.stop()) add(text.rest());
  if (text.stop()) made.stop = text.stop();
  return made;
}

nlohmann::ordered_json json_of(const GenerateOptions& o, const Task& task, const Continuation& made, int64_t sample) {
  nlohmann::ordered_json line = {{"sample", sample}};
  if (!o.system.empty()) line["system"] = o.system;
  line["prompt"] = o.prompt;
  if (o.is_chat) line["prompt_tokens"] = task.prompt.tokens;
  line["text"] = made.text;
  line["tokens"] = made.tokens;
  line["finished"] = made.is_finished();
  line["ended_by"] = made.stop ? "stop" : made.end ? "end_token" : "length";
  if (made.stop) line["stop"] = *made.stop;
  else if (made.end) line["end_token"] = *made.end;
  return line;
}

void print_sample(Generator& generator, const GenerateOptions& o, const Tokenizer& tokenizer, const Task& task, int64_t i) {
  const auto sample = static_cast<uint64_t>(i);
  if (o.as_json) {
    const Continuation made = continue_prompt(generator, o, tokenizer, task, sample, [](const std::string&) {});
    return print(json_text(json_of(o, task, made, i), {.replaces_invalid = true}) + "\n");
  }
  if (o.num_samples > 1) print(fmt::format("--- sample {} of {} ---\n", i + 1, o.num_samples));
  if (!o.is_chat) print(o.prompt);
  continue_prompt(generator, o, tokenizer, task, sample, print);
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
  const Task task = make_task(o, m.folder);
  Generator generator(*m.backend, m.folder.config.model, m.policy, *m.weights, capacity(o, m.folder.config.model));
  if (const auto given = static_cast<int64_t>(task.prompt.tokens.size()); given >= generator.capacity())
    log_warning(fmt::format("the prompt has {} tokens and the model looks back on {}: it sees the last {} alone", given,
                            generator.capacity(), seen_of_long_prompt(generator.capacity())));
  for (int64_t i = 0; i < o.num_samples; ++i) print_sample(generator, o, *m.folder.tokenizer, task, i);
  return 0;
}

}  // namespace mbt
