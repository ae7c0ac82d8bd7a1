#include "core/tokenizer/pattern/regex_class.h"

#include <algorithm>
#include <cctype>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

CharSet set_of_bits(uint16_t bits) {
  CharSet set;
  set.add_if([&](uint32_t c) { return (char_table().bits[c] & bits) != 0; });
  return set;
}

CharSet set_of_word() {
  CharSet set;
  set.add_if(is_pattern_word);
  return set;
}

std::optional<uint32_t> add_or_rest(CharSet& set, CharSet what, bool is_negative) {
  if (is_negative) what.invert();
  set.add(what);
  return std::nullopt;
}

}  // namespace

PatternReader::PatternReader(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {
  if (find_invalid_utf8(pattern) != std::string_view::npos) refuse("is not UTF-8");
}

void PatternReader::refuse(const std::string& what) const {
  throw InputError(fmt::format("{}: pattern {} {} (at byte {})", where_, shown(pattern_, 300), what, at_));
}

bool PatternReader::take(std::string_view s) {
  if (!looking_at(s)) return false;
  at_ += s.size();
  return true;
}

uint32_t PatternReader::next() {
  if (at_end()) refuse("ends too early");
  return next_code_point(pattern_, at_);
}

CharSet PatternReader::bracket() {
  if (++nesting_ > kMaxNesting) refuse("is nested too deeply");
  const bool is_negative = take("^");
  CharSet all, part;
  bool has_all = false, is_first = true;
  while (true) {
    if (at_end()) refuse("lacks a ']'");
    if (!is_first && take("]")) break;
    if (is_first && take("]")) part.add(']');
    else if (take("&&")) {
      has_all ? all.keep(part) : all.add(part);
      has_all = true;
      part = CharSet();
    } else member(part);
    is_first = false;
  }
  if (has_all) part.keep(all);
  if (is_negative) part.invert();
  --nesting_;
  return part;
}

void PatternReader::member(CharSet& part) {
  if (looking_at("[:")) refuse(fmt::format("has a class {}, which is not supported; use \\p{{...}}", shown(pattern_.substr(at_, 12))));
  if (take("[")) return part.add(bracket());
  const std::optional<uint32_t> first = class_item(part);
  if (!first || !looking_at("-") || pattern_.substr(at_, 2) == "-]") {
    if (first) add_range(part, *first, *first);
    return;
  }
  ++at_;
  if (looking_at("[")) refuse("has a range that ends in a class");
  const std::optional<uint32_t> last = class_item(part);
  if (!last || *last < *first) refuse("has a range of characters without a sensible end");
  add_range(part, *first, *last);
}

void PatternReader::add_range(CharSet& set, uint32_t first, uint32_t last) const {
  if (last > 0x10FFFF) refuse("has a code point beyond U+10FFFF");
  set.add(first, last);
  if (!fold_) return;
  for (uint32_t c = std::max<uint32_t>(first, 0x80); c <= last; ++c)
    if (char_table().category[c] <= Lt) refuse("has letters beyond ASCII without regard to case, which is not supported");
  for (uint32_t c = first; c <= last && c < 0x80; ++c) {
    const uint32_t lower = c | 0x20;
    if (lower < 'a' || lower > 'z') continue;
    set.add(lower);
    set.add(lower & ~0x20U);
    if (lower == 's') set.add(0x17F);
    if (lower == 'k') set.add(0x212A);
  }
}

std::optional<uint32_t> PatternReader::class_item(CharSet& set) {
  const uint32_t c = next();
  if (c != '\\') return c;
  const uint32_t e = next();
  switch (e) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'f': return '\f';
    case 'v': return '\v';
    case 'a': return '\a';
    case 'e': return 0x1B;
    case 'x':
    case 'u': return hexadecimal(e == 'u');
    case 's':
    case 'S': return add_or_rest(set, set_of_bits(kIsSpace), e == 'S');
    case 'd':
    case 'D': return add_or_rest(set, category("Nd"), e == 'D');
    case 'w':
    case 'W': return add_or_rest(set, set_of_word(), e == 'W');
    case 'p':
    case 'P': return property(set, e == 'P');
    default: break;
  }
  const bool is_letter = e < 0x80 && ((e >= '0' && e <= '9') || ((e | 0x20) >= 'a' && (e | 0x20) <= 'z'));
  if (is_letter) refuse(fmt::format("has \\{}, which is not supported", static_cast<char>(e)));
  return e;
}

std::optional<uint32_t> PatternReader::hexadecimal(bool is_u) {
  const bool has_braces = !is_u && take("{");
  const size_t most = has_braces ? 8 : is_u ? 4 : 2, begin = at_;
  uint32_t value = 0;
  while (!at_end() && at_ - begin < most && std::isxdigit(static_cast<unsigned char>(pattern_[at_])) != 0)
    value = value * 16 + static_cast<uint32_t>(std::stoi(std::string(1, pattern_[at_++]), nullptr, 16));
  if (at_ == begin || (is_u && at_ - begin != 4) || (has_braces && !take("}")) || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
    refuse("has a hexadecimal character that is none");
  if (!is_u && !has_braces && value >= 0x80) refuse("has a byte of a character as \\x, which is not supported");
  return value;
}

std::optional<uint32_t> PatternReader::property(CharSet& set, bool is_negative) {
  if (!take("{")) refuse("has \\p without {...}");
  if (take("^")) is_negative = !is_negative;
  const size_t end = pattern_.find('}', at_);
  if (end == std::string_view::npos) refuse("lacks a '}'");
  const std::string name(pattern_.substr(at_, end - at_));
  const CharSet found = category(name);
  at_ = end + 1;
  if (fold_ && (name == "Lu" || name == "Ll" || name == "Lt"))
    refuse(fmt::format("has \\p{{{}}} without regard to case, which is not supported", name));
  return add_or_rest(set, found, is_negative);
}

CharSet PatternReader::category(const std::string& name) const {
  CharSet set;
  bool is_known = false;
  for (int i = 0; i < kCategoryCount; ++i) {
    const std::string_view full = kCategoryNames[i];
    if (name != full && (name.size() != 1 || name[0] != full[0])) continue;
    is_known = true;
    set.add_if([&](uint32_t c) { return char_table().category[c] == i; });
  }
  if (!is_known) refuse(fmt::format("has \\p{{{}}}, which is not supported; expected a general category such as L, Lu or N", name));
  return set;
}

}  // namespace mbt
