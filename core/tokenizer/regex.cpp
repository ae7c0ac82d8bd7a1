#include "core/tokenizer/regex.h"

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

constexpr int64_t kStepsPerMatch = 100'000'000;

/// A place to go back to when what follows does not match.
struct Retry {
  uint32_t step;
  uint32_t give_back;  ///< 0: go on at `at`; 1: a repetition that may end one character earlier; 2: that may take one more
  size_t at;
  size_t limit;  ///< of 1: the earliest end; of 2: how many characters may still come
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
      case RegexStep::many: case RegexStep::many_only: case RegexStep::few:
        first_.add(sets_[s.set]);
        if (s.min == 0) open.push_back(i + 1);
        break;
      case RegexStep::split: open.push_back(s.b); [[fallthrough]];
      case RegexStep::jump: case RegexStep::ahead: case RegexStep::not_ahead: open.push_back(s.a); break;
      default: open.push_back(i + 1);
    }
  }
}

bool Regex::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  for (size_t at = from; at <= text.size();) {
    int64_t budget = kStepsPerMatch;
    if (is_possible_begin(text, at) && match_at(text, at, 0, end, budget)) return begin = at, true;
    if (at == text.size()) return false;
    next_code_point(text, at);
  }
  return false;
}

bool Regex::is_possible_begin(std::string_view text, size_t at) const {
  return can_be_empty_ || (at < text.size() && first_.has(code_point_at(text, at)));
}

bool Regex::is_word_edge(std::string_view text, size_t at) const {
  const auto is_word = [](uint32_t c) { return (char_table().bits[c] & (kIsLetter | kIsMark | kIsNumber)) != 0 || char_table().category[c] == Pc; };
  const bool before = at > 0 && is_word(code_point_at(text, previous_start(text, at)));
  const bool after = at < text.size() && is_word(code_point_at(text, at));
  return before != after;
}

bool Regex::match_at(std::string_view text, size_t at, uint32_t step, size_t& end, int64_t& budget) const {
  std::vector<Retry> retries;
  const auto fits = [&](const RegexStep& s, size_t place) { return place < text.size() && sets_[s.set].has(code_point_at(text, place)); };
  while (true) {
    if (--budget < 0) {
      throw InputError(mbt::text(where_, ": pattern ", shown(pattern_, 300), " takes more than ", kStepsPerMatch, " steps on a text of ", text.size(),
                                 " bytes; use a pattern without nested repetitions"));
    }
    const RegexStep& s = steps_[step];
    bool ok = true;
    switch (s.kind) {
      case RegexStep::match: end = at; return true;
      case RegexStep::one:
        ok = fits(s, at);
        if (ok) next_code_point(text, at), ++step;
        break;
      case RegexStep::many: case RegexStep::many_only: {
        uint32_t n = 0;
        size_t earliest = at;
        for (; n < s.max && fits(s, at); ++n) {
          if (n == s.min) earliest = at;
          next_code_point(text, at);
        }
        budget -= n;
        ok = n >= s.min;
        if (ok && n > s.min && s.kind == RegexStep::many) retries.push_back({step, 1, at, earliest});
        ++step;
        break;
      }
      case RegexStep::few: {
        uint32_t n = 0;
        for (; n < s.min && fits(s, at); ++n) next_code_point(text, at);
        ok = n == s.min;
        if (ok && s.max > s.min) retries.push_back({step, 2, at, s.max - s.min});
        ++step;
        break;
      }
      case RegexStep::split:
        retries.push_back({s.b, 0, at, 0});
        step = s.a;
        break;
      case RegexStep::jump: step = s.a; break;
      case RegexStep::ahead: case RegexStep::not_ahead: {
        size_t ignored = 0;
        ok = match_at(text, at, step + 1, ignored, budget) == (s.kind == RegexStep::ahead);
        step = s.a;
        break;
      }
      case RegexStep::behind: ok = (at > 0 && fits(s, previous_start(text, at))) != s.is_negative, ++step; break;
      case RegexStep::text_begin: ok = at == 0, ++step; break;
      case RegexStep::text_end: ok = at == text.size(), ++step; break;
      case RegexStep::line_begin: ok = at == 0 || (text[at - 1] == '\n' && at < text.size()), ++step; break;
      case RegexStep::line_end: ok = at == text.size() || text[at] == '\n', ++step; break;
      case RegexStep::word_edge: ok = is_word_edge(text, at) != s.is_negative, ++step; break;
    }
    while (!ok) {
      if (retries.empty()) return false;
      Retry& r = retries.back();
      at = r.at;
      if (r.give_back == 0) {
        step = r.step;
        retries.pop_back();
        ok = true;
      } else if (r.give_back == 1) {
        at = r.at = previous_start(text, r.at);
        step = r.step + 1;
        if (at == r.limit) retries.pop_back();
        ok = true;
      } else {
        if (!fits(steps_[r.step], at)) {
          retries.pop_back();
          continue;
        }
        next_code_point(text, at);
        r.at = at;
        step = r.step + 1;
        if (--r.limit == 0) retries.pop_back();
        ok = true;
      }
    }
  }
}

}  // namespace mbt
