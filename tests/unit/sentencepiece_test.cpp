#include "core/base/build_parts.h"
#include "core/base/error.h"
#include "core/io/files.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/tokenizer/sentencepiece_trainer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::sentencepiece_test {

namespace {

bool has_sentencepiece() {
  for (const BuildPart& part : build_parts())
    if (part.name == "MBT_SENTENCEPIECE") return part.is_built_in;
  return false;
}

std::string train(SentencePieceTraining training) {
  int line = 0;
  return train_sentencepiece(training, [&]() -> std::optional<std::string> {
    if (++line > 400) return std::nullopt;
    return line % 7 == 0 ? "" : "The quick brown fox jumps over the lazy dog " + std::to_string(line) + " times, na\xC3\xAFvely.";
  });
}

}  // namespace

TEST_CASE("A SentencePiece model is trained, read and gives texts back", "[tokenizer]") {
  if (!has_sentencepiece()) {
    CHECK_THROWS_WITH(train({}), ContainsSubstring("libsentencepiece-dev"));
    return;
  }
  const TemporaryFolder folder;
  write_file_atomically(folder.path("tokenizer.model"), train({.vocab_size = 350, .user_defined_symbols = {"<tool>"}}));
  const auto tokenizer = open_tokenizer(folder.path());
  CHECK(tokenizer->vocab_size() == 350);
  CHECK(tokenizer->bos_id() == 1);
  CHECK(tokenizer->eos_id() == 2);
  CHECK(tokenizer->eod_id() == 2);
  CHECK(tokenizer->token_id("<tool>").has_value());
  CHECK_FALSE(tokenizer->token_id("<nothing>").has_value());
  CHECK(tokenizer->type() == TokenizerType::sentencepiece);
  for (const std::string text :
       {"The quick dog.", "  two  blanks ", "12345", "na\xC3\xAFve \xE4\xBD\xA0\xE5\xA5\xBD", "a\nb\tc", "x<tool>y", ""}) {
    std::vector<int32_t> ids, with;
    tokenizer->encode(text, ids);
    tokenizer->encode(text, with, true);
    CHECK(tokenizer->decode(ids) == text);
    CHECK(with.size() == ids.size() + 1);
    CHECK(with.front() == 1);
    CHECK(tokenizer->decode(with) == text);
  }
  folder.file("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true, "eos_token": "</s>"})");
  std::vector<int32_t> ids;
  open_tokenizer(folder.path())->encode("fox", ids, true);
  CHECK(ids.back() == 2);
  CHECK(ids.front() != 1);
  CHECK_THROWS_WITH(tokenizer->decode(std::vector<int32_t>{350}), ContainsSubstring("token 350"));
  std::vector<int32_t> wrong;
  CHECK_THROWS_WITH(tokenizer->encode("a\xFF", wrong), ContainsSubstring("byte 1"));
}

TEST_CASE("What SentencePiece cannot do is told", "[tokenizer]") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(open_tokenizer(folder.file("tokenizer.model", "no model")), InputError);
  CHECK_THROWS_AS(open_tokenizer(folder.file("tokenizer.model", "")), InputError);
  if (!has_sentencepiece()) return;
  CHECK_THROWS_WITH(train({.vocab_size = 100000}), ContainsSubstring("100000 pieces on "));
  CHECK_THROWS_WITH(train_sentencepiece({}, [] { return std::nullopt; }), ContainsSubstring("no text"));
  CHECK_THROWS_WITH(train_sentencepiece({}, []() -> std::optional<std::string> { throw InputError("bad file"); }),
                    ContainsSubstring("bad file"));
  // A damaged model is refused, or is a model still.
  const std::string good = train({.vocab_size = 350});
  for (size_t i = 0; i < 60; ++i) {
    std::string bad = good;
    if (i % 3 == 0) bad.resize(bad.size() * i / 60);
    else bad[(i * 7919) % bad.size()] = static_cast<char>(i * 37);
    try {
      std::vector<int32_t> ids;
      open_tokenizer(folder.file("bad.model", bad))->encode("The fox", ids);
    } catch (const InputError&) {
    }
  }
}

}  // namespace mbt::test::sentencepiece_test
