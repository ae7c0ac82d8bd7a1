// Patterns of pre-tokenizers: the syntax of Oniguruma, which the `tokenizers` package uses, with that package's knowledge of characters.
// System libraries use other Unicode versions than the package, so they would split some texts differently.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/pattern/char_set.h"
#include "core/tokenizer/pattern/regex_compile.h"

namespace mbt {

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

}  // namespace mbt
