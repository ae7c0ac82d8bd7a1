#include "core/tokenizer/pattern/known_patterns.h"

#include <string>

#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

constexpr size_t kNone = std::string_view::npos;

/// Reads characters of one text.
class Scanner {
 public:
  Scanner(std::string_view text, const KnownPattern& pattern) : text_(text), pattern_(pattern), bits_(char_table().bits) {}

  void run(PieceSink sink) {
    for (size_t at = 0; at < text_.size();) {
      const size_t end = pattern_.words == KnownPattern::gpt2 ? gpt2_piece(at) : piece(at);
      sink(text_.substr(at, end - at));
      at = end;
    }
  }

 private:
  /// Bits of the character at `at` (0 at the end of the text, which is no character), and where the next one begins.
  struct Char {
    uint16_t bits;
    size_t next;
    bool has(int bit) const { return (bits & bit) != 0; }
  };
  Char read(size_t at) const {
    if (at >= text_.size()) return {kEnd, at};
    size_t next = at;
    const uint32_t c = next_code_point(text_, next);
    return {bits_[c], next};
  }
  static bool is_other(const Char& c) { return !c.has(kIsSpace | kIsLetter | kIsNumber | kEnd); }

  template <class Predicate>
  size_t skip(size_t at, Predicate&& fits) const {
    while (true) {
      const Char c = read(at);
      if (!fits(c)) return at;
      at = c.next;
    }
  }
  size_t skip_bits(size_t at, int bits) const {
    return skip(at, [bits](const Char& c) { return c.has(bits); });
  }

  /// The end of the contraction at `at`, or kNone. Without regard to case, U+017F is an s.
  size_t contraction(size_t at, bool any_case) const {
    if (text_[at] != '\'') return kNone;
    const auto letter = [&](size_t i) {
      const char c = i < text_.size() ? text_[i] : '\0';
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    };
    const char a = letter(at + 1), b = letter(at + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
    if ((b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l')) return at + 3;
    if (any_case && text_.substr(at + 1, 2) == "\xC5\xBF") return at + 3;
    return kNone;
  }

  /// White space that no earlier alternative took: `\s+(?!\S)|\s+`, where [at, end) is all of it.
  size_t space(size_t at, size_t end) const {
    if (end == text_.size()) return end;
    const size_t last = previous_start(text_, end);
    return last > at ? last : end;
  }

  size_t gpt2_piece(size_t at) const {
    if (pattern_.has_contractions) {
      const size_t end = contraction(at, false);
      if (end != kNone) return end;
    }
    Char first = read(at);
    if (text_[at] == ' ') {
      const Char second = read(first.next);
      if (!second.has(kIsSpace | kEnd)) first = second;
    }
    if (first.has(kIsLetter)) return skip_bits(first.next, kIsLetter);
    if (first.has(kIsNumber)) return skip_bits(first.next, kIsNumber);
    if (!first.has(kIsSpace)) return skip(first.next, is_other);
    return space(at, skip_bits(first.next, kIsSpace));
  }

  size_t piece(size_t at) const {
    const Char first = read(at);
    if (pattern_.words == KnownPattern::cl100k) {
      const size_t end = pattern_.has_contractions ? contraction(at, true) : kNone;
      if (end != kNone) return end;
      if (first.has(kIsLetter)) return skip_bits(first.next, kIsLetter);
      if (!first.has(kIsNewline | kIsNumber)) {
        const Char second = read(first.next);
        if (second.has(kIsLetter)) return skip_bits(second.next, kIsLetter);
      }
    } else {
      const size_t end = cased_word(at, first);
      if (end != kNone) return end;
    }
    if (first.has(kIsNumber)) return digits(first.next);
    if (is_other(first)) return punctuation(first.next);
    if (text_[at] == ' ') {
      const Char second = read(first.next);
      if (is_other(second)) return punctuation(second.next);
    }
    return space_or_lines(at);
  }

  size_t digits(size_t at) const {
    for (int n = 1; pattern_.max_digits == 0 || n < pattern_.max_digits; ++n) {
      const Char c = read(at);
      if (!c.has(kIsNumber)) break;
      at = c.next;
    }
    return at;
  }

  size_t punctuation(size_t at) const {
    at = skip(at, is_other);
    while (at < text_.size() && (text_[at] == '\r' || text_[at] == '\n' || (pattern_.has_slash && text_[at] == '/'))) ++at;
    return at;
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`
  size_t space_or_lines(size_t at) const {
    size_t after_line = kNone, end = at;
    for (Char c = read(at); c.has(kIsSpace); c = read(end)) {
      end = c.next;
      if (c.has(kIsNewline)) after_line = end;
    }
    return after_line != kNone ? after_line : space(at, end);
  }

  /// The two alternatives of o200k for words, each with and without one character in front that is no letter and no digit.
  size_t cased_word(size_t at, const Char& first) const {
    const bool has_front = !first.has(kIsNewline | kIsLetter | kIsNumber);
    size_t end = has_front ? ends_low(first.next) : kNone;
    if (end == kNone) end = ends_low(at);
    if (end == kNone && has_front) end = begins_high(first.next);
    if (end == kNone) end = begins_high(at);
    if (end == kNone || !pattern_.has_contractions || end >= text_.size()) return end;
    const size_t after = contraction(end, true);
    return after == kNone ? end : after;
  }
  /// Upper* Lower+, where some characters are both: the last of these is given back when nothing else is Lower.
  size_t ends_low(size_t at) const {
    size_t last_low_end = kNone;
    Char c = read(at);
    for (; c.has(kIsUpperLike); c = read(at)) {
      at = c.next;
      if (c.has(kIsLowerLike)) last_low_end = at;
    }
    return c.has(kIsLowerLike) ? skip_bits(c.next, kIsLowerLike) : last_low_end;
  }
  /// Upper+ Lower*
  size_t begins_high(size_t at) const {
    const size_t end = skip_bits(at, kIsUpperLike);
    return end == at ? kNone : skip_bits(end, kIsLowerLike);
  }

  static constexpr uint16_t kEnd = 0x8000;
  std::string_view text_;
  const KnownPattern& pattern_;
  const uint16_t* bits_;
};

std::optional<KnownPattern> with_digits(std::string_view pattern, KnownPattern known, const std::string& before, const std::string& after) {
  constexpr std::pair<const char*, int> kDigits[] = {{"\\p{N}", 1}, {"\\p{N}{1,2}", 2}, {"\\p{N}{1,3}", 3}, {"\\p{N}+", 0}};
  for (const auto& [spelled, max] : kDigits) {
    known.max_digits = max;
    if (pattern == before + spelled + after) return known;
  }
  return std::nullopt;
}

}  // namespace

void KnownPattern::split(std::string_view text, PieceSink sink) const { Scanner(text, *this).run(sink); }

std::optional<KnownPattern> find_known_pattern(std::string_view pattern) {
  const std::string gpt2_rest = "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
  for (const char* contractions : {"'s|'t|'re|'ve|'m|'ll|'d", "'(?:[sdmt]|ll|ve|re)"})
    if (pattern == contractions + gpt2_rest) return KnownPattern{};
  const std::string space = "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", marks = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*",
                    marks_or_slash = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*";
  const std::string front = "[^\\r\\n\\p{L}\\p{N}]?", high = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", low = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
  for (const std::string contractions : {"(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)", ""}) {
    KnownPattern known{.words = KnownPattern::cl100k, .has_contractions = !contractions.empty()};
    const std::string first = contractions.empty() ? "" : contractions + "|", last = contractions.empty() ? "" : contractions + "?";
    if (auto found = with_digits(pattern, known, first + front + "\\p{L}+|", marks + space)) return found;
    if (!contractions.empty() && contractions[0] != '(') continue;  // '(?i:...)? makes only what is behind the apostrophe optional
    known.words = KnownPattern::o200k;
    const std::string words = front + high + "*" + low + "+" + last + "|" + front + high + "+" + low + "*" + last + "|";
    if (auto found = with_digits(pattern, known, words, marks + space)) return found;
    known.has_slash = true;
    if (auto found = with_digits(pattern, known, words, marks_or_slash + space)) return found;
  }
  return std::nullopt;
}

}  // namespace mbt
