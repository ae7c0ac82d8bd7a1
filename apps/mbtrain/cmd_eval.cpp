// mbtrain eval: how well a model predicts texts, and how often it picks the right ending.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/model_options.h"
#include "apps/mbtrain/progress_line.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/data/text/document_source.h"
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
  std::string json_key = "text";
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

/// The text of a document; of JSONL the string under `key`.
std::string text_of(RawDocument& document, const std::string& key) {
  if (document.kind != DocumentKind::jsonl) return std::move(document.bytes);
  return text_under(object_of(document), key, document, "--json-key");
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
void print_perplexity(const EvalOptions& o, const PerplexityTotals& t, int64_t seq_length, int64_t stride, bool has_leading) {
  if (o.as_json) {
    const Json j = {{"nats_per_token", t.nats_per_token()},
                    {"perplexity", t.perplexity()},
                    {"bits_per_byte", t.bits_per_byte()},
                    {"tokens", t.tokens},
                    {"bytes", t.bytes},
                    {"documents", t.documents},
                    {"unscored_tokens", t.unscored},
                    {"seq_length", seq_length},
                    {"stride", stride}};
    std::printf("%s\n", json_text(j, {.indent = 2}).c_str());
    return;
  }
  std::printf("%lld document%s, %lld tokens scored, in windows of %lld every %lld\n", static_cast<long long>(t.documents),
              t.documents == 1 ? "" : "s", static_cast<long long>(t.tokens), static_cast<long long>(seq_length),
              static_cast<long long>(stride));
  if (t.unscored > 0 && !has_leading)
    std::printf("the first token of each document is not scored, nor are its bytes: this tokenizer puts nothing before a text\n");
  std::printf("nats per token %.6f   perplexity %.4f   bits per byte %.6f\n", t.nats_per_token(), t.perplexity(), t.bits_per_byte());
}

/// Bytes of the text's first token, where nothing comes before it: it is not scored.
size_t unscored_bytes(const std::string& text, const std::vector<int32_t>& tokens, const std::vector<int32_t>& leading,
                      const Tokenizer& tokenizer) {
  if (!leading.empty() || tokens.empty()) return 0;
  return std::min(text.size(), tokenizer.decode_bytes(std::span(tokens).first(1), false).size());
}

int eval_perplexity(const std::vector<std::string>& args) {
  VerbOptions options(
      "Perplexity of texts: each token is scored once, given what comes before it in its document. bits per byte compares between "
      "tokenizers",
      "mbtrain eval perplexity");
  EvalOptions o;
  add_common(options, o, "Text files (a document each), JSONL files (a line each), folders");
  const VerbOption key = options.add_option("--json-key", o.json_key, "Key of the text in JSONL; with it, every file is JSONL");
  options.add_option("--stride", o.stride, "Tokens from one window to the next; by default windows do not overlap")
      .range(int64_t{1}, int64_t{1} << 30);
  options.parse(args);
  const std::optional<DocumentKind> kind = key.is_given() ? std::optional(DocumentKind::jsonl) : std::nullopt;
  DocumentSource source({.inputs = o.inputs, .kind = kind, .limit_hint = kLimitHint});
  OpenModel m = open_model(o.model);
  const int64_t seq_length = sequence(o, m.folder), stride = o.stride == 0 ? seq_length : o.stride;
  if (stride > seq_length) throw InputError(fmt::format("--stride {}: expected at most the sequence length, {}", stride, seq_length));
  Scorer scorer(*m.backend, m.folder.config, m.policy, *m.weights, o.micro_batch_size, seq_length);
  PerplexityMeter meter(scorer, stride);
  const Tokenizer& tokenizer = *m.folder.tokenizer;
  const std::vector<int32_t> leading = leading_tokens(tokenizer);
  for_each_document(o, source, "documents", [&](RawDocument& document) {
    const std::string text = text_of(document, o.json_key);
    std::vector<int32_t> tokens = leading;
    tokenizer.encode(text, tokens);
    meter.add(tokens, static_cast<int64_t>(text.size() - unscored_bytes(text, tokens, leading, tokenizer)));
  });
  const PerplexityTotals& totals = meter.finish();
  if (totals.tokens == 0)
    throw InputError("eval perplexity: the input has no token to score: a document needs two, or a tokenizer with a bos");
  print_perplexity(o, totals, seq_length, stride, !leading.empty());
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
