// Reads the text of a pattern, and its character classes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/tokenizer/pattern/char_set.h"

namespace mbt {

class PatternReader {
 protected:
  static constexpr int kMaxNesting = 50;

  /// `where` names the place in the file for messages. InputError: the pattern is not UTF-8.
  PatternReader(std::string_view pattern, const std::string& where);

  [[noreturn]] void refuse(const std::string& what) const;
  bool at_end() const { return at_ >= pattern_.size(); }
  bool looking_at(std::string_view s) const { return pattern_.substr(at_, s.size()) == s; }
  bool take(std::string_view s);
  uint32_t next();

  /// After '[': members, ranges, nested classes, '&&'.
  CharSet bracket();
  /// One character, which is returned, or a set such as \s, which is added.
  std::optional<uint32_t> class_item(CharSet& set);
  /// Under (?i) with the other cases of each. Only ASCII letters and what folds to them are known.
  void add_range(CharSet& set, uint32_t first, uint32_t last) const;

  std::string_view pattern_;
  size_t at_ = 0;
  bool fold_ = false;  ///< within (?i)
  int nesting_ = 0;

 private:
  void member(CharSet& part);
  std::optional<uint32_t> hexadecimal(bool is_u);
  std::optional<uint32_t> property(CharSet& set, bool is_negative);
  CharSet category(const std::string& name) const;

  std::string where_;
};

}  // namespace mbt
