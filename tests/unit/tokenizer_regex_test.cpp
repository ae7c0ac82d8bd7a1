// The pattern matcher against what patterns mean, and the patterns matched by hand against the matcher.
#include <nlohmann/json.hpp>
#include <random>

#include "core/base/error.h"
#include "core/tokenizer/pattern/known_patterns.h"
#include "core/tokenizer/pattern/regex.h"
#include "tests/support/catch.h"

namespace mbt::test::tokenizer_regex_test {

namespace {

/// All matches, one after the other, empty ones as "".
std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "test");
  std::vector<std::string> found;
  size_t begin = 0, end = 0;
  for (size_t from = 0; from <= text.size() && regex.find(text, from, begin, end); from = end > begin ? end : end + 1)
    found.push_back(text.substr(begin, end - begin));
  return found;
}

std::string refusal(const std::string& pattern) {
  try {
    Regex(pattern, "there");
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

std::string random_text(std::mt19937& random) {
  static const std::vector<std::pair<uint32_t, uint32_t>> ranges = {
      {0x20, 0x7E},     {0x20, 0x7E},     {0x41, 0x5A},     {0x61, 0x7A},   {0x30, 0x39},
      {0xA0, 0x24F},    {0x300, 0x36F},   {0x370, 0x4FF},   {0x600, 0x6FF}, {0x1E00, 0x218F},
      {0x2460, 0x24FF}, {0x3040, 0x30FF}, {0x4E00, 0x9FFF}, {0, 0x20},      {0x10000, 0x10FFFF}};
  static const std::vector<std::string> words = {" ",         "  ",  "\n", "\r\n", " \n ",     "\t",           "'s",   "'LL",
                                                 "'\xC5\xBF", "'re", "/",  "\n/",  "\xC2\x85", "\xE3\x80\x80", "12345"};
  std::string text;
  for (int n = static_cast<int>(random() % 12); n >= 0; --n) {
    const auto& [first, last] = ranges[random() % ranges.size()];
    for (int i = static_cast<int>(random() % 5); i > 0; --i) {
      const uint32_t c = first + random() % (last - first + 1);
      if (c < 0xD800 || c > 0xDFFF) append_utf8(c, text);
    }
    text += words[random() % words.size()];
  }
  return text;
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("Patterns match as Oniguruma's", "[tokenizer]") {
  CHECK(matches("a|ab", "ab") == Strings{"a"});  // the first alternative, not the longest
  CHECK(matches("(?:a|ab)c", "abc") == Strings{"abc"});
  CHECK(matches("a+?b", "aab") == Strings{"aab"});
  CHECK(matches("a++a", "aaa").empty());
  CHECK(matches("a{1,2}+", "aaaaa") == Strings{"aaaaa"});  // a repetition of a repetition, not a possessive one
  CHECK(matches("a{,2}b", "aaab") == Strings{"aab"});
  CHECK(matches("x{2}|y{2,}", "xxxyyy") == Strings{"xx", "yyy"});
  CHECK(matches("a{b}", "a{b}") == Strings{"a{b}"});  // no repetition, so itself
  CHECK(matches("\\s+(?!\\S)|\\s", "a  b") == Strings{" ", " "});
  CHECK(matches("(?<=a)b|(?<!a)c", "abcac") == Strings{"b", "c"});
  CHECK(matches("^b$|^a", "a\nb\na") == Strings{"a", "b", "a"});  // lines
  CHECK(matches("\\Aa|a\\z", "a a a") == Strings{"a", "a"});
  CHECK(matches("[a-c&&[^b]]+", "abcacb") == Strings{"a", "cac"});
  CHECK(matches("[^(\\s|[.,])]+", "(a.b c") == Strings{"a", "b", "c"});
  CHECK(matches("[]a]+", "a]b") == Strings{"a]"});
  CHECK(matches("\\p{Lu}\\P{L}|\\p{^L}{2}", "A1b--") == Strings{"A1", "--"});
  CHECK(matches("(?i:k+)", "kK\xE2\x84\xAA") == Strings{"kK\xE2\x84\xAA"});  // the Kelvin sign
  CHECK(matches("(?i)S|x", "\xC5\xBFX") == Strings{"\xC5\xBF", "X"});
  CHECK(matches("a(?i)b|c", "aBaC") == Strings{"aB", "aC"});
  CHECK(matches("\\x{4e00}|\\u00e9|\\x41",
                "\xE4\xB8\x80\xC3\xA9"
                "A")
            .size() == 3);
  CHECK(matches("(?:\\d{3})*\\b", "123456") == Strings{"123456", ""});
  CHECK(matches("\\d{1,3}(?=(?:\\d{3})*\\b)", "1234567") == Strings{"1", "234", "567"});
  CHECK(matches("\\w+", "\xC2\xB2 \xE2\x91\xA0").size() == 1);  // U+00B2 is a word, U+2460 is none
}

TEST_CASE("Patterns that are wrong or too much are refused", "[tokenizer]") {
  for (const char* pattern :
       {"(a",           "a)",     "[a",        "a{2,1}",    "*a",       "\\p{Han}", "\\p{L",       "(?<name>a)",    "(?>a)",
        "\\1",          "\\k<a>", "(?:a*)*",   "(?:a|)+",   "(?:ab)++", "(?<=ab)c", "[[:alpha:]]", "(?i:\xC3\xA9)", "(?i:ss)",
        "(?i:\\p{Lu})", "\\xff",  "\\x{d800}", "a{100001}", "(?#a)",    "[b-a]",    "\\",          "\xFF"}) {
    INFO(pattern);
    CHECK_THAT(refusal(pattern), Catch::Matchers::StartsWith("there: pattern "));
  }
  CHECK_THAT(refusal(std::string(3000, '(')), ContainsSubstring("nested too deeply"));
  CHECK_THAT(refusal("(?:(?:a{1000}b){1000}c){1000}"), ContainsSubstring("too large"));
  CHECK_THROWS_WITH(matches("(?:a|a|a)+b", std::string(60, 'a')), ContainsSubstring("steps"));
}

TEST_CASE("The patterns matched by hand give what the matcher gives", "[tokenizer]") {
  const std::string contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)", space = "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                    front = "[^\\r\\n\\p{L}\\p{N}]?";
  const std::string high = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", low = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]",
                    marks = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*";
  const Strings patterns = {
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      contractions + "|" + front + "\\p{L}+|\\p{N}{1,3}" + marks + space,
      contractions + "|" + front + "\\p{L}+|\\p{N}" + marks + space,
      "'(?i:[sdmt]|ll|ve|re)|" + front + "\\p{L}+|\\p{N}{1,3}" + marks + space,
      front + high + "*" + low + "+" + contractions + "?|" + front + high + "+" + low + "*" + contractions +
          "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" + space,
      front + high + "*" + low + "+|" + front + high + "+" + low + "*|\\p{N}" + marks + space,
  };
  std::mt19937 random(7);
  for (const std::string& pattern : patterns) {
    INFO(pattern);
    const auto known = find_known_pattern(pattern);
    REQUIRE(known);
    const Regex regex(pattern, "test");
    for (int i = 0; i < 3000; ++i) {
      const std::string text = random_text(random);
      Strings pieces, expected;
      known->split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
      size_t begin = 0, end = 0;
      for (size_t from = 0; from < text.size() && regex.find(text, from, begin, end); from = end)
        expected.push_back(text.substr(begin, end - begin));
      if (pieces != expected) FAIL_CHECK("text " << nlohmann::json(text).dump(-1, ' ', true));
    }
  }
  CHECK_FALSE(find_known_pattern(patterns[1] + "|x"));
}

}  // namespace mbt::test::tokenizer_regex_test
