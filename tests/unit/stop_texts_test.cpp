// Stops in a text that comes in pieces: what is given is the text before the stop, however the pieces are cut.
#include <random>

#include "core/eval/stop_texts.h"
#include "tests/support/catch.h"

namespace mbt::test::stop_texts_test {

namespace {

struct Given {
  std::string text;
  std::optional<std::string> stop;
  bool operator==(const Given&) const = default;
};

/// The text up to the stop whose end comes first, of several the longest.
Given expected(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<std::string> longest;
    for (const std::string& s : stops)
      if (std::string_view(text).substr(0, end).ends_with(s) && (!longest || s.size() > longest->size())) longest = s;
    if (longest) return {text.substr(0, end - longest->size()), longest};
  }
  return {text, std::nullopt};
}

/// Nothing of a stop is given at any time.
Given given(const std::string& text, const std::vector<std::string>& stops, std::mt19937& random) {
  StopTexts filter(stops);
  const Given whole = expected(text, stops);
  Given out;
  for (size_t at = 0; at < text.size() && !filter.came();) {
    const size_t size = 1 + random() % 4;
    out.text += filter.add(std::string_view(text).substr(at, size));
    REQUIRE(out.text.size() <= whole.text.size());
    at += size;
  }
  if (!filter.came()) out.text += filter.rest();
  out.stop = filter.came();
  return out;
}

}  // namespace

TEST_CASE("A stop ends a text wherever pieces are cut", "[stop_texts]") {
  std::mt19937 random(3);
  int stopped = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto word = [&](size_t most) {
      std::string w(1 + random() % most, 'a');
      for (char& c : w) c = static_cast<char>('a' + random() % 2);
      return w;
    };
    const std::string text = word(12);
    std::vector<std::string> stops;
    for (size_t n = random() % 4; n > 0; --n) stops.push_back(word(5));
    CAPTURE(text, stops);
    const Given out = given(text, stops, random);
    REQUIRE(out == expected(text, stops));
    stopped += out.stop ? 1 : 0;
  }
  CHECK(stopped > 1000);
}

TEST_CASE("What cannot become a stop is given at once", "[stop_texts]") {
  StopTexts filter({"\nUser:", "END"});
  CHECK(filter.add("Hello") == "Hello");
  CHECK(filter.add(" E") == " ");
  CHECK(filter.add("ar\n") == "Ear");
  CHECK(filter.add("\nUs") == "\n");
  CHECK(filter.add("er") == "");
  CHECK(filter.rest() == "\nUser");
  CHECK(filter.add("xEND and more") == "x");
  CHECK(filter.came() == "END");
  CHECK(filter.add("more") == "");
}

}  // namespace mbt::test::stop_texts_test
