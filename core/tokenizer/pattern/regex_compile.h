// From a pattern's text to the steps that regex.cpp runs.
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

/// What the parser makes of a pattern.
struct CompiledRegex {
  std::vector<RegexStep> steps;
  std::vector<CharSet> sets;
};
/// InputError: as Regex; `where` names the place in the file.
CompiledRegex compile_regex(std::string_view pattern, const std::string& where);

}  // namespace mbt
