#include "core/tokenizer/pattern/regex.h"

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

constexpr int64_t kStepsPerMatch = 100'000'000;

/// Tries one place of one text. Its stack is on the heap: no text makes it overflow.
class Matcher {
 public:
  Matcher(const std::vector<RegexStep>& steps, const std::vector<CharSet>& sets, std::string_view text, int64_t& budget)
      : steps_(steps), sets_(sets), text_(text), budget_(budget) {}

  /// From `step` on at `at`: the end of the match, or npos. Throws when the budget is used up.
  size_t run(size_t at, uint32_t step) {
    while (true) {
      if (--budget_ < 0) throw Exhausted{};
      const RegexStep& s = steps_[step];
      if (s.kind == RegexStep::match) return at;
      const bool ok = take(s, at, step);
      if (!ok && !go_back(at, step)) return std::string_view::npos;
    }
  }
  struct Exhausted {};

 private:
  /// A place to go back to when what follows does not match.
  struct Retry {
    enum Kind : uint8_t {
      other,  ///< go on at `step`
      less,   ///< the repetition before `step` may end one character earlier, down to `limit`
      more    ///< it may take one character more, `limit` times
    };
    uint32_t step;
    Kind kind;
    uint32_t set;
    size_t at, limit;
  };

  bool fits(uint32_t set, size_t at) const { return at < text_.size() && sets_[set].has(code_point_at(text_, at)); }

  /// Does one step; false when it does not match.
  bool take(const RegexStep& s, size_t& at, uint32_t& step) {
    ++step;
    switch (s.kind) {
      case RegexStep::match: return true;
      case RegexStep::one:
        if (!fits(s.set, at)) return false;
        next_code_point(text_, at);
        return true;
      case RegexStep::many:
      case RegexStep::many_only: return take_many(s, at, step);
      case RegexStep::few: return take_few(s, at, step);
      case RegexStep::split:
        retries_.push_back({s.b, Retry::other, 0, at, 0});
        step = s.a;
        return true;
      case RegexStep::jump: step = s.a; return true;
      case RegexStep::ahead:
      case RegexStep::not_ahead: {
        const bool found = Matcher(steps_, sets_, text_, budget_).run(at, step) != std::string_view::npos;
        step = s.a;
        return found == (s.kind == RegexStep::ahead);
      }
      case RegexStep::behind: return (at > 0 && fits(s.set, previous_start(text_, at))) != s.is_negative;
      case RegexStep::text_begin: return at == 0;
      case RegexStep::text_end: return at == text_.size();
      case RegexStep::line_begin: return at == 0 || (text_[at - 1] == '\n' && at < text_.size());
      case RegexStep::line_end: return at == text_.size() || text_[at] == '\n';
      case RegexStep::word_edge: return is_word_edge(at) != s.is_negative;
    }
    return false;
  }

  bool take_many(const RegexStep& s, size_t& at, uint32_t step) {
    uint32_t n = 0;
    size_t earliest = at;
    for (; n < s.max && fits(s.set, at); ++n) {
      if (n == s.min) earliest = at;
      next_code_point(text_, at);
    }
    budget_ -= n;
    if (n > s.min && s.kind == RegexStep::many) retries_.push_back({step, Retry::less, s.set, at, earliest});
    return n >= s.min;
  }

  bool take_few(const RegexStep& s, size_t& at, uint32_t step) {
    uint32_t n = 0;
    for (; n < s.min && fits(s.set, at); ++n) next_code_point(text_, at);
    if (n == s.min && s.max > s.min) retries_.push_back({step, Retry::more, s.set, at, s.max - s.min});
    return n == s.min;
  }

  /// The last choice that is left; false when there is none.
  bool go_back(size_t& at, uint32_t& step) {
    while (!retries_.empty()) {
      Retry& r = retries_.back();
      step = r.step;
      at = r.at;
      bool is_last = r.kind == Retry::other;
      if (r.kind == Retry::less) {
        at = r.at = previous_start(text_, at);
        is_last = at == r.limit;
      } else if (r.kind == Retry::more) {
        if (!fits(r.set, at)) {
          retries_.pop_back();
          continue;
        }
        next_code_point(text_, at);
        r.at = at;
        is_last = --r.limit == 0;
      }
      if (is_last) retries_.pop_back();
      return true;
    }
    return false;
  }

  bool is_word_edge(size_t at) const {
    const bool before = at > 0 && is_pattern_word(code_point_at(text_, previous_start(text_, at)));
    const bool after = at < text_.size() && is_pattern_word(code_point_at(text_, at));
    return before != after;
  }

  const std::vector<RegexStep>& steps_;
  const std::vector<CharSet>& sets_;
  std::string_view text_;
  int64_t& budget_;
  std::vector<Retry> retries_;
};

}  // namespace

Regex::Regex(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {
  CompiledRegex compiled = compile_regex(pattern, where);
  steps_ = std::move(compiled.steps);
  sets_ = std::move(compiled.sets);
  find_first_characters();
}

/// Follows everything that can come before the first character.
void Regex::find_first_characters() {
  std::vector<bool> seen(steps_.size());
  std::vector<uint32_t> open{0};
  while (!open.empty()) {
    const uint32_t i = open.back();
    open.pop_back();
    if (seen[i]) continue;
    seen[i] = true;
    const RegexStep& s = steps_[i];
    switch (s.kind) {
      case RegexStep::match: can_be_empty_ = true; break;
      case RegexStep::one: first_.add(sets_[s.set]); break;
      case RegexStep::many:
      case RegexStep::many_only:
      case RegexStep::few:
        first_.add(sets_[s.set]);
        if (s.min == 0) open.push_back(i + 1);
        break;
      case RegexStep::split: open.push_back(s.b); [[fallthrough]];
      case RegexStep::jump:
      case RegexStep::ahead:
      case RegexStep::not_ahead: open.push_back(s.a); break;
      default: open.push_back(i + 1);
    }
  }
}

bool Regex::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  try {
    for (size_t at = from; at <= text.size();) {
      int64_t budget = kStepsPerMatch;
      if (is_possible_begin(text, at)) {
        end = Matcher(steps_, sets_, text, budget).run(at, 0);
        if (end != std::string_view::npos) return begin = at, true;
      }
      if (at == text.size()) return false;
      next_code_point(text, at);
    }
  } catch (const Matcher::Exhausted&) {
    throw InputError(
        fmt::format("{}: pattern {} takes more than {} steps for a match in a text of {} bytes; use a pattern without nested repetitions",
                    where_, shown(pattern_, 300), kStepsPerMatch, text.size()));
  }
  return false;
}

bool Regex::is_possible_begin(std::string_view text, size_t at) const {
  return can_be_empty_ || (at < text.size() && first_.has(code_point_at(text, at)));
}

}  // namespace mbt
