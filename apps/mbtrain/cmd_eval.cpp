// mbtrain eval: how well a model predicts texts, and how often it picks the right ending.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/model_options.h"
#include "apps/mbtrain/progress_line.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/data/sft/example_forms.h"
#include "core/data/text/document_source.h"
#include "core/eval/model_chat.h"
#include "core/eval/multiple_choice.h"
#include "core/eval/perplexity.h"
#include "core/eval/text_tokens.h"

namespace mbt {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kLimitHint = "cut it into smaller documents";

struct EvalOptions {
  ModelOptions model;
  std::vector<std::string> inputs;
  std::string json_key = "text", kind = "auto", chat_template;
  int64_t seq_length = 0, micro_batch_size = 4, stride = 0, limit = 0;
  bool as_json = false, shows_each = false;
};

void add_common(VerbOptions& options, EvalOptions& o, const char* what) {
  o.model.add_to(options);
  options.add_option("inputs", o.inputs, what).required().called("PATH");
  options.show_defaults();
  constexpr int64_t kMost = int64_t{1} << 30;
  options
      .add_option("--seq-length", o.seq_length,
                  "Longest sequence; default: the training sequence length, for a Hugging Face model at most 2048")
      .range(int64_t{1}, kMost);
  options.add_option("--micro-batch-size", o.micro_batch_size, "Sequences at once").range(int64_t{1}, kMost);
  options.add_option("--limit", o.limit, "Number of documents or questions to use; 0: all").at_least_zero();
  options.add_flag("--json", o.as_json, "Print JSON");
}

int64_t sequence(const EvalOptions& o, const ModelFolder& folder) {
  const ModelConfig& model = folder.config.model;
  if (o.seq_length > model.longest_sequence())
    throw InputError(fmt::format("--seq-length {}: the model takes up to {} tokens", o.seq_length, model.longest_sequence()));
  if (o.seq_length > 0) return o.seq_length;
  return model.seq_length;
}

/// f for each document, up to --limit; an error says which document it is about.
void for_each_document(const EvalOptions& o, DocumentSource& source, const char* unit, const std::function<void(RawDocument&)>& f) {
  ProgressLine progress;
  int64_t count = 0;
  while (o.limit == 0 || count < o.limit) {
    std::optional<RawDocument> document = source.next();
    if (!document) return;
    try {
      f(*document);
    } catch (const InputError& e) {
      const std::string what = e.what();
      if (what.rfind(document->where(), 0) == 0) throw;
      throw InputError(fmt::format("{}: {}", document->where(), what));
    }
    ++count;
    const double share =
        100.0 * static_cast<double>(source.bytes_read()) / static_cast<double>(std::max<int64_t>(source.total_bytes().value_or(0), 1));
    if (progress.is_due()) progress.show(fmt::format("{} {}{}", count, unit, formatted(", %.0f %% of the input read", share)));
  }
}

// -- perplexity --------------------------------------------------------------------------------------------------------------------------
/// Documents for a meter: texts, or conversations and completions, of which the answers count.
class PerplexityInput {
 public:
  /// is_chat: what the user says that the input is; nothing: the first document says it.
  PerplexityInput(const EvalOptions& o, const ModelFolder& model, PerplexityMeter& meter, std::optional<bool> is_chat)
      : options_(o), model_(model), meter_(meter), leading_(leading_tokens(*model.tokenizer)), said_(is_chat), is_chat_(is_chat) {}

  void add(const RawDocument& document) {
    if (document.kind != DocumentKind::jsonl) {
      take(false);
      return add_text(document.bytes);
    }
    const JsonDocument line = object_of(document);
    take(said_ ? *said_ : looks_like_chat(line));
    if (is_chat()) add_example(chat_example(line));
    else add_text(text_under(line, options_.json_key, document, "--json-key"));
  }

  bool is_chat() const { return is_chat_.value_or(false); }
  /// The first token of a document is scored too.
  bool has_leading() const { return !leading_.empty(); }
  /// Nothing: all were completions, which need none.
  std::optional<ChatFormat> format() const { return talk_ ? std::optional(talk_->format()) : std::nullopt; }

 private:
  bool looks_like_chat(const JsonDocument& line) const {
    const bool has_text = line.root.contains(options_.json_key), has_form = has_example_form(line.root);
    if (has_text && has_form)
      throw InputError(
          fmt::format("has {}, and a conversation or a completion too: --kind text scores the one, --kind chat the answers of the other",
                      shown(options_.json_key)));
    return has_form || (!has_text && is_chat());
  }

  /// A mean of texts and answers would say nothing of either.
  void take(bool is_chat) {
    if (is_chat_ && is_chat_ != is_chat)
      throw InputError(fmt::format("is {}, but the documents before it are {}: score them apart", is_chat ? "a conversation" : "a text",
                                   is_chat ? "texts" : "conversations"));
    is_chat_ = is_chat;
  }

  /// Bytes of the text's first token, where nothing comes before it: it is not scored.
  int64_t unscored_bytes(int64_t bytes, const std::vector<int32_t>& tokens) const {
    if (tokens.empty()) return 0;
    return std::min(bytes, static_cast<int64_t>(model_.tokenizer->decode_bytes(std::span(tokens).first(1), false).size()));
  }

  void add_text(const std::string& text) {
    std::vector<int32_t> tokens = leading_;
    model_.tokenizer->encode(text, tokens);
    const auto bytes = static_cast<int64_t>(text.size());
    meter_.add(tokens, bytes - (has_leading() ? 0 : unscored_bytes(bytes, tokens)));
  }

  void add_example(const nlohmann::json& example) {
    const ChatExample e = example_template(example).encode(example);
    const bool begins_in_loss = !e.in_loss.empty() && e.in_loss[0] == 1;
    meter_.add_part(e.tokens, e.in_loss, e.answer_bytes - (begins_in_loss ? unscored_bytes(e.answer_bytes, e.tokens) : 0));
  }

  const ChatTemplate& example_template(const nlohmann::json& example) {
    if (talk_) return *talk_;
    if (!example.contains("messages") && options_.chat_template.empty()) {
      if (!completions_) completions_.emplace(completion_template(model_));
      return *completions_;
    }
    const ModelChat found = find_chat(model_, value_named<ChatFormat>(options_.chat_template), "a conversation");
    if (!found.note.empty()) log_warning(found.note);
    return talk_.emplace(found.chat);
  }

  const EvalOptions& options_;
  const ModelFolder& model_;
  PerplexityMeter& meter_;
  std::vector<int32_t> leading_;
  std::optional<bool> said_, is_chat_;
  std::optional<ChatTemplate> talk_, completions_;  ///< made when a line needs them
};

Json perplexity_json(const PerplexityTotals& t, const PerplexityInput& input, int64_t seq_length, int64_t stride) {
  Json j = {{"nats_per_token", t.nats_per_token()},
            {"perplexity", t.perplexity()},
            {"bits_per_byte", t.bits_per_byte()},
            {"tokens", t.tokens},
            {"bytes", t.bytes},
            {"documents", t.documents},
            {"unscored_tokens", t.unscored},
            {"seq_length", seq_length},
            {"stride", stride},
            {"kind", input.is_chat() ? "chat" : "text"}};
  if (input.is_chat()) j["chat_template"] = input.format() ? Json(name_of(*input.format())) : Json();
  return j;
}

void print_perplexity(const PerplexityTotals& t, const PerplexityInput& input, int64_t seq_length, int64_t stride) {
  const std::string what = !input.is_chat() ? "tokens scored"
                           : input.format()
                               ? fmt::format("tokens of their answers alone scored, with the chat template {}", name_of(*input.format()))
                               : "tokens of their completions alone scored";
  const std::string line = fmt::format("{} {}{}, {} {}, in windows of {} every {}\n", t.documents, input.is_chat() ? "example" : "document",
                                       t.documents == 1 ? "" : "s", t.tokens, what, seq_length, stride);
  std::fputs(line.c_str(), stdout);
  if (t.unscored > 0 && (input.is_chat() || !input.has_leading()))
    std::printf("the first token of each document is not scored, nor are its bytes: this tokenizer puts nothing before a text\n");
  std::printf("nats per token %.6f   perplexity %.4f   bits per byte %.6f\n", t.nats_per_token(), t.perplexity(), t.bits_per_byte());
}

/// Whether the input is conversations, where the user says it.
std::optional<bool> said_kind(const EvalOptions& o, bool has_key) {
  if (o.kind == "chat" && has_key)
    throw InputError("--json-key: names the key of a text, but --kind chat reads conversations; give one of them");
  if (o.kind != "auto") return o.kind == "chat";
  return has_key ? std::optional(false) : std::nullopt;
}

int eval_perplexity(const std::vector<std::string>& args) {
  VerbOptions options(
      "Perplexity of texts: each token is scored once, given what comes before it in its document. bits per byte compares between "
      "tokenizers.\n"
      "Of conversations (JSONL in a form of fine-tuning data) the answers alone are scored",
      "mbtrain eval perplexity");
  EvalOptions o;
  add_common(options, o, "Text files (a document each), JSONL files (a line each), folders");
  const VerbOption key = options.add_option("--json-key", o.json_key, "Key of the text in JSONL; with it, every file is JSONL");
  options
      .add_option("--kind", o.kind,
                  "text, chat (JSONL of messages, prompt and completion, ShareGPT, Alpaca: answers alone), or auto: by the keys of JSONL")
      .one_of({"auto", "text", "chat"});
  options.add_option("--chat-template", o.chat_template, "Of conversations: chatml, llama3 or plain; by default the model's own")
      .one_of(chat_template_names());
  options.add_option("--stride", o.stride, "Tokens from one window to the next; by default windows do not overlap")
      .range(int64_t{1}, int64_t{1} << 30);
  options.parse(args);
  const std::optional<bool> said = said_kind(o, key.is_given());
  const std::optional<DocumentKind> kind = key.is_given() || o.kind == "chat" ? std::optional(DocumentKind::jsonl) : std::nullopt;
  DocumentSource source({.inputs = o.inputs, .kind = kind, .limit_hint = kLimitHint});
  OpenModel m = open_model(o.model);
  const int64_t seq_length = sequence(o, m.folder), stride = o.stride == 0 ? seq_length : o.stride;
  if (stride > seq_length) throw InputError(fmt::format("--stride {}: expected at most the sequence length, {}", stride, seq_length));
  Scorer scorer(*m.backend, m.folder.config, m.policy, *m.weights, o.micro_batch_size, seq_length);
  PerplexityMeter meter(scorer, stride);
  PerplexityInput input(o, m.folder, meter, said);
  for_each_document(o, source, "documents", [&](RawDocument& document) { input.add(document); });
  if (!o.chat_template.empty() && !input.is_chat()) throw InputError("--chat-template: the input is text, which has no template");
  const PerplexityTotals& totals = meter.finish();
  if (totals.tokens == 0)
    throw InputError("eval perplexity: the input has no token to score: a document needs two, or a tokenizer with a bos");
  if (o.as_json) std::printf("%s\n", json_text(perplexity_json(totals, input, seq_length, stride), {.indent = 2}).c_str());
  else print_perplexity(totals, input, seq_length, stride);
  return 0;
}

// -- multiple choice ---------------------------------------------------------------------------------------------------------------------
void print_choice(const EvalOptions& o, const ChoiceTotals& t) {
  const struct {
    const char *name, *key;
    int64_t right;
  } rows[] = {{"accuracy", "acc", t.correct},
              {"accuracy, per character", "acc_norm", t.correct_by_character},
              {"accuracy, per token", "acc_token", t.correct_by_token}};
  if (o.as_json) {
    Json j = {{"questions", t.questions}, {"shortened", t.shortened}, {"cut", t.cut}};
    for (const auto& r : rows) j[r.key] = t.accuracy(r.right), j[fmt::format("{}_stderr", r.key)] = t.standard_error(r.right);
    std::printf("%s\n", json_text(j, {.indent = 2}).c_str());
    return;
  }
  std::printf("%lld question%s\n", static_cast<long long>(t.questions), t.questions == 1 ? "" : "s");
  if (t.shortened > 0)
    std::printf("%lld without the beginning of the context: longer than a sequence\n", static_cast<long long>(t.shortened));
  if (t.cut > 0)
    std::printf("%lld with an ending that is longer than a sequence: scored by its last tokens\n", static_cast<long long>(t.cut));
  TextTable table("lrrr");
  table.add({"", "right", "share", "+-"});
  for (const auto& r : rows)
    table.add({r.name, std::to_string(r.right), formatted("%.4f", t.accuracy(r.right)), formatted("%.4f", t.standard_error(r.right))});
  std::printf("%s", table.str().c_str());
}

void print_question(const std::string& where, const ChoiceQuestion& question, const std::vector<EndingScore>& scores) {
  Json j = {{"where", where}, {"label", question.label}, {"nats", Json::array()}, {"tokens", Json::array()}};
  for (const EndingScore& s : scores) j["nats"].push_back(s.nats), j["tokens"].push_back(s.tokens);
  std::printf("%s\n", json_text(j).c_str());
}

int eval_choice(const std::vector<std::string>& args) {
  VerbOptions options(
      "HellaSwag-style multiple choice: JSONL lines {\"ctx\": text, \"endings\": [text, ...], \"label\": number}. The ending with the "
      "highest\n"
      "probability counts: in all, per character (acc_norm) and per token",
      "mbtrain eval choice");
  EvalOptions o;
  add_common(options, o, "JSONL files");
  options.add_flag("--show-each", o.shows_each, "First a line of JSON a question: -log p of each ending, nats");
  options.parse(args);
  DocumentSource source({.inputs = o.inputs, .kind = DocumentKind::jsonl, .limit_hint = kLimitHint});
  OpenModel m = open_model(o.model);
  Scorer scorer(*m.backend, m.folder.config, m.policy, *m.weights, o.micro_batch_size, sequence(o, m.folder));
  MultipleChoice choice(scorer, *m.folder.tokenizer);
  for_each_document(o, source, "questions", [&](RawDocument& document) {
    const ChoiceQuestion question = parse_choice_question(document.bytes, document.where());
    const std::vector<EndingScore> scores = choice.ask(question);
    if (o.shows_each) print_question(document.where(), question, scores);
  });
  if (choice.totals().questions == 0) throw InputError("eval choice: the input has no question");
  print_choice(o, choice.totals());
  return 0;
}

}  // namespace

int cmd_eval(const std::vector<std::string>& args) {
  constexpr SubVerb kEvaluations[] = {
      {"perplexity", "of texts, or bits per byte", eval_perplexity},
      {"choice", "HellaSwag-style questions: how often the right ending is the most probable", eval_choice},
  };
  return run_sub_verb("eval", "Say how well a model predicts texts, or how often it picks the right ending", kEvaluations, args);
}

}  // namespace mbt
