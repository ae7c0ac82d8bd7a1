#include "core/tokenizer/unicode/unicode_form.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "core/tokenizer/unicode/unicode.h"

#if MBT_HAVE_UTF8PROC
#include <utf8proc.h>
#endif

namespace mbt {
namespace {

/// Changed in no form, and what is before it does not combine with what is behind.
bool is_barrier(uint32_t c) { return (c >= 0x4E00 && c <= 0x9FFF) || (char_table().bits[c] & kIsNew) != 0; }

/// Runs of these are in NFC already, whatever is before and behind.
bool is_composed(uint32_t c) {
  struct Range {
    uint32_t first, last;
  };
  constexpr Range kRanges[] = {{0x80, 0x2FF},    {0x388, 0x3FF},   {0x400, 0x482},    {0x48A, 0x590},   {0x621, 0x64A},
                               {0x2010, 0x2027}, {0x2190, 0x2208}, {0x3001, 0x3029},  {0x3041, 0x3098}, {0x309B, 0x30FF},
                               {0xAC00, 0xD7A3}, {0xFF01, 0xFFEF}, {0x1F300, 0x1F6FF}};
  for (const Range& r : kRanges)
    if (c >= r.first && c <= r.last) return true;
  return false;
}

#if MBT_HAVE_UTF8PROC
/// Unicode's canonical order: marks behind a character by their class, those of one class as they stand. utf8proc_map does it by swapping
/// neighbors, which takes ten minutes for a megabyte of marks.
void order_marks(std::vector<utf8proc_int32_t>& characters) {
  const auto class_of = [](utf8proc_int32_t c) { return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class; };
  const auto is_before = [&](utf8proc_int32_t a, utf8proc_int32_t b) { return class_of(a) < class_of(b); };
  const auto is_mark = [&](utf8proc_int32_t c) { return class_of(c) != 0; };
  for (auto at = characters.begin(); (at = std::find_if(at, characters.end(), is_mark)) != characters.end();) {
    const auto end = std::find_if_not(at, characters.end(), is_mark);
    if (!std::is_sorted(at, end, is_before)) std::stable_sort(at, end, is_before);
    at = end;
  }
}

void append_form(std::string_view part, UnicodeForm form, std::string& out) {
  const bool composes = form == UnicodeForm::nfc || form == UnicodeForm::nfkc;
  int flags = UTF8PROC_STABLE | (composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (form == UnicodeForm::nfkc || form == UnicodeForm::nfkd) flags |= UTF8PROC_COMPAT;
  const auto options = static_cast<utf8proc_option_t>(flags);
  const auto checked = [&](utf8proc_ssize_t count) {
    if (count < 0) throw Error(fmt::format("utf8proc, on {} bytes: {}", part.size(), utf8proc_errmsg(count)));
    return static_cast<size_t>(count);
  };
  constexpr size_t kLongest = 32;  // what one character becomes: 18 at most
  std::vector<utf8proc_int32_t> characters(part.size() + kLongest);
  size_t count = 0;
  for (size_t at = 0; at < part.size();) {
    const auto c = static_cast<utf8proc_int32_t>(next_code_point(part, at));
    if (characters.size() < count + kLongest) characters.resize(2 * characters.size());
    count += checked(utf8proc_decompose_char(c, characters.data() + count, kLongest, options, nullptr));
  }
  characters.resize(count);
  order_marks(characters);
  if (composes) count = checked(utf8proc_normalize_utf32(characters.data(), static_cast<utf8proc_ssize_t>(count), options));
  for (size_t i = 0; i < count; ++i) append_utf8(static_cast<uint32_t>(characters[i]), out);
}
#else
void append_form(std::string_view, UnicodeForm, std::string&) { throw Error("this build has no utf8proc"); }
#endif

bool is_ascii(char c) { return static_cast<signed char>(c) >= 0; }

}  // namespace

bool has_unicode_forms() { return MBT_HAVE_UTF8PROC != 0; }

std::string to_unicode_form(std::string_view text, UnicodeForm form) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (size_t at = 0; at < text.size();) {
    // An ASCII character changes only with what follows it: the last one of a run goes with the part behind.
    size_t begin = at;
    while (at < text.size() && is_ascii(text[at])) ++at;
    if (at > begin && at < text.size()) --at;
    out += text.substr(begin, at - begin);
    begin = at;
    bool is_same = form == UnicodeForm::nfc;
    if (at < text.size() && is_ascii(text[at])) ++at;
    while (at < text.size() && !is_ascii(text[at])) {
      size_t next = at;
      const uint32_t c = next_code_point(text, next);
      if (is_barrier(c)) break;
      is_same = is_same && is_composed(c);
      at = next;
    }
    const std::string_view part = text.substr(begin, at - begin);
    if (is_same) out += part;
    else append_form(part, form, out);
    while (at < text.size() && !is_ascii(text[at])) {
      size_t next = at;
      if (!is_barrier(next_code_point(text, next))) break;
      out += text.substr(at, next - at);
      at = next;
    }
  }
  return out;
}

}  // namespace mbt
