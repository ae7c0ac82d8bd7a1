#include "core/base/json_reader.h"

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/json_mend.h"
#include "core/base/json_text.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::json_reader_test {

namespace {

std::string refusal(const std::string& text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, "run.json", limits);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("JSON values keep their types", "[json_reader]") {
  const JsonDocument d =
      parse_json(R"({"a": 1, "b": -9223372036854775808, "c": 9223372036854775807, "d": 1.5, "e": [true, null, "x\u00e9"], "f": {}})", "t");
  CHECK(d.root["a"].is_number_integer());
  CHECK(d.root["b"].get<int64_t>() == INT64_MIN);
  CHECK(d.root["c"].get<int64_t>() == INT64_MAX);
  CHECK(d.root["d"].get<double>() == 1.5);
  CHECK(d.root["e"] == nlohmann::json({true, nullptr, "x\u00e9"}));
  CHECK(d.root["f"].is_object());
  CHECK(parse_json("\xEF\xBB\xBF[1]", "t").root == nlohmann::json({1}));  // a byte order mark
  CHECK(parse_json("1e2", "t").root == 100.0);
}

TEST_CASE("JSON lines are those of the keys and of the elements", "[json_reader]") {
  const JsonDocument d = parse_json("\n{\n \"a\": 1,\n \"b\":\n 2, \"s~l/h\": [10\n,\n20,\n\"x\",\n{\"k\":null\n}\n]\n}", "run.json");
  CHECK(d.lines.at("") == 2);
  CHECK(d.lines.at("/a") == 3);
  CHECK(d.lines.at("/b") == 4);
  CHECK(d.lines.at("/s~0l~1h") == 5);
  CHECK(d.lines.at("/s~0l~1h/0") == 5);
  CHECK(d.lines.at("/s~0l~1h/1") == 7);
  CHECK(d.lines.at("/s~0l~1h/2") == 8);
  CHECK(d.lines.at("/s~0l~1h/3") == 9);
  CHECK(d.lines.at("/s~0l~1h/3/k") == 9);
  CHECK(d.lines.size() == 9);
  CHECK(d.where("/a") == "run.json:3");
  CHECK(d.where("/none") == "run.json");
  CHECK(parse_json("{\"a\": 1}", "t", {.record_lines = false}).lines.empty());
}

TEST_CASE("JSON that could be misread is refused with its line", "[json_reader]") {
  CHECK_THAT(refusal("{\"a\": 1,\n\"a\": 2}"), ContainsSubstring("run.json:2: key \"a\" appears twice"));
  CHECK_THAT(refusal("{\"x\": {\"a\": 1}, \"y\": {\"a\": 1, \"b\": [{\"c\": 1, \"c\": 2}]}}"), ContainsSubstring("\"c\" appears twice"));
  CHECK_THAT(refusal("[\n9223372036854775808\n]"), ContainsSubstring("run.json:2: integer 9223372036854775808 is out of range"));
  CHECK_THAT(refusal("[-9223372036854775809]"), ContainsSubstring("integer -9223372036854775809 is out of range"));
  std::string long_number(5002, '9');
  long_number.front() = '[', long_number.back() = ']';
  CHECK_THAT(refusal(long_number), ContainsSubstring("number overflow"));
  CHECK_THAT(refusal("[1e999]"), ContainsSubstring("run.json:1"));
  for (const char* text : {"{\"a\": nan}", "{\"a\": NaN}", "[-inf]", "{\"a\": Infinity}"})
    CHECK_THAT(refusal(text), ContainsSubstring("JSON has no NaN and no Infinity"));
  CHECK_THAT(refusal("{\n\n // why\n}"), ContainsSubstring("run.json:3: not valid JSON"));
  CHECK_THAT(refusal("{\"a\": 1,,}"), ContainsSubstring("expected string literal"));
  CHECK_THAT(refusal("{\"a\": 1"), ContainsSubstring("unexpected end of input"));
  CHECK_THAT(refusal("{} {}"), ContainsSubstring("expected end of input"));
  CHECK_THAT(refusal("[\"\xff\"]"), ContainsSubstring("UTF-8"));
  CHECK_THAT(refusal("[\"\xc0\x80\"]"), ContainsSubstring("UTF-8"));
  CHECK_THAT(refusal(" \n "), ContainsSubstring("empty"));
  CHECK_THAT(refusal(std::string("[1]\0[2]", 7)), ContainsSubstring("run.json:1: not valid JSON: a zero byte"));
}

TEST_CASE("JSON of others: what nobody reads stops nothing, and is refused where it is read", "[json_reader]") {
  const std::string deep = std::string(5000, '[') + "NaN" + std::string(5000, ']'), digits(400, '9');
  const std::pair<std::string, std::string> odd[] = {
      {"NaN", "NaN is no number"},
      {"Infinity", "Infinity is no number"},
      {"-Infinity", "-Infinity is no number"},
      {"18446744073709551615", "integer 18446744073709551615 is out of range"},
      {"-9223372036854775809", "integer -9223372036854775809 is out of range"},
      {"1000000000000000000000000000000", "integer 1000000000000000000000000000000 is out of range"},
      {"-1e999", "number -1e999 is beyond the largest"},
      {digits, "is beyond the largest"},
      {deep, "nested deeper than 100"},
      {"{\"a\": 1, \"a\": NaN}", "key \"a\" appears twice"},
  };
  for (const auto& [value, message] : odd) {
    INFO(value.substr(0, 40));
    const JsonDocument d = parse_json("{\"before\": [1, \"NaN\"],\n\"x\": [0, " + value + "],\n\"text\": \"Infinity 1e999\", \"n\": 5}",
                                      "c.json", {.is_of_others = true});
    CHECK(d.root["text"] == "Infinity 1e999");
    CHECK(d.root["before"] == nlohmann::json({1, "NaN"}));
    CHECK(d.root["n"] == 5);
    CHECK_NOTHROW(d.refuse_flaws("/text"));
    CHECK_NOTHROW(d.refuse_flaws("/x/0"));
    CHECK_NOTHROW(d.refuse_flaws("/x", false));
    for (const char* pointer : {"", "/x", "/x/1"})
      CHECK_THROWS_WITH(d.refuse_flaws(pointer), ContainsSubstring("c.json:2: ") && ContainsSubstring(message));
    CHECK(refusal("{\"x\": " + value + "}") != "accepted");  // our own files stay strict
  }
}

TEST_CASE("JSON of others: values are those of Python's json", "[json_reader]") {
  const auto root = [](const std::string& text) { return parse_json(text, "t", {.is_of_others = true}).root; };
  CHECK(std::isnan(root("NaN").get<double>()));
  CHECK(root("[-Infinity,1e999,2]")[0].get<double>() == -std::numeric_limits<double>::infinity());
  CHECK(root("[-Infinity,1e999,2]")[1].get<double>() == std::numeric_limits<double>::infinity());
  CHECK(root("[-Infinity,1e999,2]")[2] == 2);
  CHECK(root("[18446744073709551615]")[0].get<double>() == 18446744073709551615.0);
  CHECK(root("{\"a\": 1, \"a\": {\"b\": 2}}") == nlohmann::json({{"a", {{"b", 2}}}}));
  CHECK(root("[\"a\\ud83d\", \"\\\\ud83d\"]") == nlohmann::json({"a\xEF\xBF\xBD", "\\ud83d"}));
  CHECK(parse_json("{\"a\": [[1, {\"b\": NaN}]], \"c\": NaN}", "t", {.is_of_others = true}).flaws[0].pointer == "/a/0/1/b");
}

TEST_CASE("JSON of others: what no reader takes is refused as ever", "[json_reader]") {
  for (const char* text : {"{\"a\": nan}", "[1NaN]", "[NaN1]", "[-NaN]", "[01e999]", "[1.e999]", "[1e]", "[+Infinity]", "[NaN", "NaN NaN",
                           "{\"a\" NaN}", "[\"\xff\"]", "{\"a\": \"x}", "", "[1,]"}) {
    INFO(text);
    CHECK(refusal(text, {.is_of_others = true}) != "accepted");
  }
}

TEST_CASE("Marked JSON has its numbers back when it has been changed", "[json_reader]") {
  const std::string text =
      "{\"a\":NaN,\"b\":[1000000000000000000000000000000,-1e999,1.5],\"c\":18446744073709551615,\"d\":\"NaN \\\" Infinity\"}";
  CHECK(without_marks(json_text(parse_ordered_json(with_marks(text)))) == text);
}

TEST_CASE("JSON messages hold nothing a terminal would obey", "[json_reader]") {
  for (const char* text : {"{\"a\x1b[31m\": 1}", "{\"\\u001b[31m\": 1, \"\\u001b[31m\": 2}", "\x1b[31m"}) {
    const std::string message = refusal(text);
    CHECK(message != "accepted");
    CHECK(message.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("JSON limits: depth and size", "[json_reader]") {
  for (const char* bracket : {"[", "{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 200000; ++i) text += bracket;
    CHECK_THAT(refusal(text), ContainsSubstring("nested deeper than 100"));
  }
  CHECK(refusal(std::string(100, '[') + std::string(100, ']')) == "accepted");
  CHECK_THAT(refusal(std::string(101, '[') + std::string(101, ']')), ContainsSubstring("nested deeper"));
  CHECK_THAT(refusal("[1, 2, 3]", {.max_bytes = 4}), ContainsSubstring("larger than 4 bytes"));
}

TEST_CASE("JSON files that cannot be read", "[json_reader]") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(read_json_file(folder.path("none.json")), InputError);
  CHECK_THROWS_AS(read_json_file(folder.path()), InputError);
  CHECK_THROWS_AS(read_json_file(""), InputError);
  const std::string good = folder.file("good.json", "{\"a\": [1]}");
  CHECK(read_json_file(good).root["a"][0] == 1);
  CHECK_THROWS_AS(read_json_file(good, {.max_bytes = 3}), InputError);
}

}  // namespace mbt::test::json_reader_test
