// Multiple choice as HellaSwag asks it: which of several endings does the model find the most probable?
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/eval/scorer.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {

struct ChoiceQuestion {
  std::string context;
  std::vector<std::string> endings;  ///< two or more
  int64_t label = 0;                 ///< the right one
};

/// One line of a JSONL file: {"ctx": text, "endings": [text, ...], "label": number}; also "context" or "query", "choices", "gold" or
/// "answer"; a label may be a string of digits. Other keys are left alone. InputError begins with `where`.
ChoiceQuestion parse_choice_question(std::string_view line, const std::string& where);

/// The model's score of one ending.
struct EndingScore {
  double nats = 0;  ///< -log p(ending | context)
  int64_t tokens = 0;
  int64_t characters = 0;  ///< code points of the ending
};

struct ChoiceTotals {
  int64_t questions = 0;
  int64_t correct = 0;               ///< by the sum of log p
  int64_t correct_by_character = 0;  ///< by log p per character ("acc_norm")
  int64_t correct_by_token = 0;      ///< by log p per token
  int64_t shortened = 0;             ///< questions whose context lost its beginning: longer than a sequence
  int64_t cut = 0;                   ///< questions with an ending that is longer than a sequence by itself: scored by its last tokens

  double accuracy(int64_t right) const { return static_cast<double>(right) / static_cast<double>(questions); }
  /// Standard error of an accuracy.
  double standard_error(int64_t right) const;
};

/// A question as the model gets it, a row an ending.
struct ChoiceRows {
  std::vector<ScoredRow> rows;
  bool is_shortened = false, is_cut = false;  ///< see ChoiceTotals
};

/// Returns `leading` and the tokens of context and ending for each choice. The text is "context ending", with one blank between unless
/// there is white space already. The ending's tokens are those of the whole text beyond the tokens of the context alone. A row longer than
/// `max_tokens` (>= 2) loses the beginning of its context and, if that is not enough, of its ending. Throws InputError when an ending has
/// no tokens.
ChoiceRows choice_rows(const ChoiceQuestion& question, const Tokenizer& tokenizer, const std::vector<int32_t>& leading, int64_t max_tokens);

class MultipleChoice {
 public:
  MultipleChoice(Scorer& scorer, const Tokenizer& tokenizer);

  /// Scores a question's endings and adds them to the totals. Of equal scores the first ending counts.
  std::vector<EndingScore> ask(const ChoiceQuestion& question);
  const ChoiceTotals& totals() const { return totals_; }

 private:
  Scorer& scorer_;
  const Tokenizer& tokenizer_;
  const std::vector<int32_t> leading_;
  ChoiceTotals totals_;
};

}  // namespace mbt
