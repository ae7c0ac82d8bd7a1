#include "core/eval/multiple_choice.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/eval/text_tokens.h"

namespace mbt {
namespace {

using nlohmann::json;

JsonDocument parse_question(std::string_view line, const std::string& where) {
  const auto refuse = [&](const char* why) {
    throw InputError(fmt::format("{}: expected a JSON object with ctx, endings and label{}", where, why));
  };
  JsonDocument document;
  try {
    document = parse_json(line, where, {.max_bytes = INT64_MAX, .record_lines = false, .is_of_others = true});
  } catch (const InputError&) {
    refuse(", got no JSON");
  }
  if (!document.root.is_object()) refuse("");
  return document;
}

/// The first of these keys that is there; nullptr: none.
const json* find_any(const JsonDocument& document, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto it = document.root.find(key);
    if (it == document.root.end()) continue;
    document.refuse_flaws(std::string("/") + key);
    return &*it;
  }
  return nullptr;
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int64_t code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

int64_t parse_label(const json& value, const std::string& where) {
  int64_t label = -1;
  if (value.is_number_integer()) label = value.get<int64_t>();
  if (value.is_string()) {
    const auto& digits = value.get_ref<const std::string&>();
    if (std::from_chars(digits.data(), digits.data() + digits.size(), label).ptr != digits.data() + digits.size()) label = -1;
  }
  if (label < 0)
    throw InputError(fmt::format("{}: label: got {}, expected the number of an ending, from 0 on", where, shown(json_text(value))));
  return label;
}

/// The choice with the smallest value; the first of equals.
template <class F>
int64_t best(const std::vector<EndingScore>& scores, F value) {
  const auto less = [&](const EndingScore& a, const EndingScore& b) { return value(a) < value(b); };
  return std::min_element(scores.begin(), scores.end(), less) - scores.begin();
}

/// Where the ending's tokens begin in those of the whole text.
size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

ChoiceQuestion parse_choice_question(std::string_view line, const std::string& where) {
  const JsonDocument document = parse_question(line, where);
  const json* const context = find_any(document, {"ctx", "context", "query"});
  const json* const endings = find_any(document, {"endings", "choices"});
  const json* const label = find_any(document, {"label", "gold", "answer"});
  if (context == nullptr || !context->is_string()) throw InputError(fmt::format("{}: no text under ctx, context or query", where));
  if (endings == nullptr || !endings->is_array() || endings->size() < 2)
    throw InputError(fmt::format("{}: endings (or choices) must be an array of two texts or more", where));
  if (label == nullptr) throw InputError(fmt::format("{}: no label (or gold, answer): which ending is right", where));
  ChoiceQuestion question{context->get<std::string>(), {}, parse_label(*label, where)};
  for (const json& ending : *endings) {
    if (!ending.is_string() || ending.get_ref<const std::string&>().empty())
      throw InputError(fmt::format("{}: ending {} is {}, expected a text", where, question.endings.size(), shown(json_text(ending))));
    question.endings.push_back(ending.get<std::string>());
  }
  if (question.label >= static_cast<int64_t>(question.endings.size()))
    throw InputError(fmt::format("{}: label {} of {} endings", where, question.label, question.endings.size()));
  return question;
}

double ChoiceTotals::standard_error(int64_t right) const {
  const double p = accuracy(right);
  return questions > 1 ? std::sqrt(p * (1 - p) / static_cast<double>(questions - 1)) : 0;
}

ChoiceRows choice_rows(const ChoiceQuestion& question, const Tokenizer& tokenizer, const std::vector<int32_t>& leading,
                       int64_t max_tokens) {
  // White space at the end of the context belongs to the ending: tokenizers join a blank with the word behind it.
  std::string context = question.context;
  while (!context.empty() && is_blank(context.back())) context.pop_back();
  const std::string gap = question.context.substr(context.size());
  std::vector<int32_t> before = leading;
  tokenizer.encode(context, before);
  ChoiceRows result;
  for (const std::string& ending : question.endings) {
    const std::string between = gap.empty() && !context.empty() && !is_blank(ending.front()) ? " " : gap;
    ScoredRow row{leading};
    tokenizer.encode(context + between + ending, row.tokens);
    size_t first = std::max<size_t>(1, common_prefix(before, row.tokens));  // nothing comes before the first token
    if (first >= row.tokens.size()) throw InputError(fmt::format("ending {} has no tokens to score", shown(ending)));
    if (const auto size = static_cast<int64_t>(row.tokens.size()); size > max_tokens) {
      const auto drop = static_cast<size_t>(size - max_tokens);
      row.tokens.erase(row.tokens.begin(), row.tokens.begin() + static_cast<std::ptrdiff_t>(drop));
      (drop < first ? result.is_shortened : result.is_cut) = true;
      first = drop < first ? first - drop : 1;
    }
    row.first_scored = static_cast<int64_t>(first);
    result.rows.push_back(std::move(row));
  }
  return result;
}

MultipleChoice::MultipleChoice(Scorer& scorer, const Tokenizer& tokenizer)
    : scorer_(scorer), tokenizer_(tokenizer), leading_(leading_tokens(tokenizer)) {}

std::vector<EndingScore> MultipleChoice::ask(const ChoiceQuestion& question) {
  const ChoiceRows asked = choice_rows(question, tokenizer_, leading_, scorer_.max_tokens());
  const std::vector<std::vector<float>> nats = scorer_.score(asked.rows);
  std::vector<EndingScore> scores;
  for (size_t i = 0; i < nats.size(); ++i) {
    EndingScore score{0, static_cast<int64_t>(nats[i].size()), code_points(question.endings[i])};
    for (const float value : nats[i]) score.nats += value;
    scores.push_back(score);
  }
  ++totals_.questions;
  totals_.shortened += asked.is_shortened ? 1 : 0;
  totals_.cut += asked.is_cut ? 1 : 0;
  totals_.correct += best(scores, [](const EndingScore& s) { return s.nats; }) == question.label;
  totals_.correct_by_character +=
      best(scores, [](const EndingScore& s) { return s.nats / static_cast<double>(s.characters); }) == question.label;
  totals_.correct_by_token += best(scores, [](const EndingScore& s) { return s.nats / static_cast<double>(s.tokens); }) == question.label;
  return scores;
}

}  // namespace mbt
