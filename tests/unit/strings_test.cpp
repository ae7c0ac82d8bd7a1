#include "core/base/strings.h"

#include "core/base/nearest.h"
#include "tests/support/catch.h"

namespace mbt::test::strings_test {

TEST_CASE("Numbers are read whole or not at all", "[strings]") {
  int64_t integer = 7;
  CHECK(parse_integer("-9223372036854775808", integer) == ParseResult::ok);
  CHECK(integer == INT64_MIN);
  CHECK(parse_integer("+12", integer) == ParseResult::ok);
  CHECK(integer == 12);
  for (const char* text : {"", "-", "+", "+-1", "1.0", "1e3", "0x10", " 1", "1 ", "1,2", "one"})
    CHECK(parse_integer(text, integer) == ParseResult::malformed);
  CHECK(parse_integer("9223372036854775808", integer) == ParseResult::out_of_range);
  CHECK(integer == 12);

  double number = 7;
  CHECK(parse_number("1e-3", number) == ParseResult::ok);
  CHECK(number == 1e-3);
  for (const char* text : {"", "nan", "inf", "-inf", "NaN", "1e", "1.2.3", "0x1p3"})
    CHECK(parse_number(text, number) == ParseResult::malformed);
  CHECK(parse_number("1e999", number) == ParseResult::out_of_range);
  CHECK(number == 1e-3);
}

TEST_CASE("Numbers are printed so that they read back", "[strings]") {
  CHECK(to_text(3e-4) == "0.0003");
  CHECK(to_text(1e-5) == "1e-05");
  CHECK(to_text(4294967296.0) == "4294967296");
  CHECK(to_text(0.0) == "0");
  for (const double value : {0.1, 1.0 / 3, 1e300, 5e-324, -2.5, 1e15, 123456789012345680.0}) {
    double back = 0;
    REQUIRE(parse_number(to_text(value), back) == ParseResult::ok);
    CHECK(back == value);
  }
}

TEST_CASE("Lists, names, and text for a terminal", "[strings]") {
  CHECK(split(" a, b ,,c", ',') == std::vector<std::string>{"a", "b", "", "c"});
  CHECK(split("  ", ',').empty());
  CHECK(join({"a", "b"}, ", ") == "a, b");
  CHECK(underscored("micro-batch-size") == "micro_batch_size");
  CHECK(shown("a\"\x1b") == "\"a\\x22\\x1b\"");
  CHECK(shown(std::string(100, 'a'), 3) == "\"aaa...\"");
}

TEST_CASE("The nearest name", "[strings]") {
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ab", "ba") == 1);
  CHECK(edit_distance("Micro-Batch", "micro_batch") == 0);
  CHECK(edit_distance("", "abc") == 3);
  const std::vector<std::string> names = {"hidden_size", "num_layers", "lr"};
  CHECK(nearest("hiden_size", names) == "hidden_size");
  CHECK(nearest("num-layer", names) == "num_layers");
  CHECK(nearest("lrr", names) == "lr");
  CHECK(nearest("something_else", names).empty());
  CHECK(nearest(std::string(100000, 'a'), names).empty());
  CHECK(did_you_mean("hiden_size", names) == "; did you mean \"hidden_size\"?");
  CHECK(did_you_mean("zzz", names).empty());
}

}  // namespace mbt::test::strings_test
