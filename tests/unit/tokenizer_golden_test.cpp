// Tokens and texts of the `tokenizers` package: tests/golden/make_tokenizers.py.
#include <filesystem>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/data/text/document_source.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/tokenizer/unicode/unicode_form.h"
#include "tests/support/catch.h"

namespace mbt::test::tokenizer_golden_test {

namespace fs = std::filesystem;

namespace {

bool needs_forms(const std::string& style) { return style == "qwen" || style == "marks" || style == "starcoder" || style == "merging"; }

void check_style(const fs::path& folder) {
  const auto tokenizer = open_tokenizer(folder.string());
  DocumentSourceOptions options;
  options.inputs = {(folder / "cases.jsonl").string()};
  DocumentSource cases(options);
  int count = 0;
  while (const auto line = cases.next()) {
    INFO(line->where());
    const nlohmann::json c = parse_json(line->bytes, line->where()).root;
    const std::string text = c["text"];
    const std::vector<int32_t> expected = c["ids"], expected_special = c["ids_special"];
    std::vector<int32_t> ids, ids_special;
    tokenizer->encode(text, ids);
    tokenizer->encode(text, ids_special, true);
    CHECK(ids == expected);
    CHECK(ids_special == expected_special);
    CHECK(tokenizer->decode(expected) == c["decoded"].get<std::string>());
    CHECK(tokenizer->decode(expected, false) == c["decoded_special"].get<std::string>());
    ++count;
  }
  CHECK(count >= 40);
}

}  // namespace

TEST_CASE("Tokens and decoded texts are those of the tokenizers package", "[tokenizer]") {
  int styles = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(MBT_SOURCE_DIR) / "tests/golden/tokenizers")) {
    const std::string style = entry.path().filename().string();
    ++styles;
    INFO(style);
    if (needs_forms(style) && !has_unicode_forms()) {
      CHECK_THROWS_WITH(open_tokenizer(entry.path().string()), ContainsSubstring("utf8proc"));
      continue;
    }
    check_style(entry.path());
  }
  CHECK(styles == 9);
}

}  // namespace mbt::test::tokenizer_golden_test
