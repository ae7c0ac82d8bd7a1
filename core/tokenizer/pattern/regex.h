// Patterns of pre-tokenizers: the syntax of Oniguruma, which the `tokenizers` package uses, with that package's knowledge of characters.
// Libraries of the system know other versions of Unicode than the package, and so would split texts in other places.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/pattern/char_set.h"

namespace mbt {

/// One instruction of a compiled pattern.
struct RegexStep {
  enum Kind : uint8_t {
    match,      ///< the end of the pattern, or of what a look-around looks for
    one,        ///< a character of `set`
    many,       ///< min to max characters of `set`, as many as possible first
    many_only,  ///< as `many`, never giving one back
    few,        ///< as `many`, as few as possible first
    split,      ///< to `a`; when that fails to `b`
    jump,       ///< to `a`
    ahead,      ///< what begins at the next step matches here; then to `a`
    not_ahead,  ///< it does not
    behind,     ///< a character of `set` is before; `is_negative`: is not
    text_begin,
    text_end,
    line_begin,
    line_end,
    word_edge
  };
  Kind kind = match;
  bool is_negative = false;
  uint32_t set = 0, a = 0, b = 0;
  uint32_t min = 1, max = 1;
};

class Regex {
 public:
  /// `where` names the place in the file for messages. InputError: wrong syntax, or what of the syntax is not there (back references,
  /// captures by name, conditions, scripts such as \p{Han}, look-behind of more than a character, ...).
  Regex(std::string_view pattern, const std::string& where);

  /// The leftmost match at or after `from`, of text that must be UTF-8. InputError when a match takes 100 million steps.
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end) const;
  const std::string& pattern() const { return pattern_; }

 private:
  bool is_possible_begin(std::string_view text, size_t at) const;
  void find_first_characters();

  std::string pattern_, where_;
  std::vector<RegexStep> steps_;
  std::vector<CharSet> sets_;
  CharSet first_;              ///< characters that a match can begin with
  bool can_be_empty_ = false;  ///< then a match can begin anywhere
};

/// What the parser makes of a pattern.
struct CompiledRegex {
  std::vector<RegexStep> steps;
  std::vector<CharSet> sets;
};
CompiledRegex compile_regex(std::string_view pattern, const std::string& where);

}  // namespace mbt
