// What a tokenizer.json may say, what is refused, and texts of every size.
#include "core/tokenizer/open_tokenizer.h"

#include <chrono>
#include <random>
#include <thread>

#include "core/base/error.h"
#include "core/io/files.h"
#include "core/tokenizer/bpe/hf_tokenizer.h"
#include "core/tokenizer/unicode/unicode.h"
#include "core/tokenizer/unicode/unicode_form.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::tokenizer_test {

using nlohmann::json;

namespace {

json golden_json(const std::string& style) {
  return json::parse(read_text_file(std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/" + style + "/tokenizer.json"));
}

HfTokenizer make(const json& file) { return HfTokenizer(parse_hf_tokenizer(file.dump(), "tokenizer.json")); }

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

/// What the file with `value` at `pointer` is refused with.
std::string refusal(json file, const std::string& pointer, const json& value) {
  file[json::json_pointer(pointer)] = value;
  try {
    make(file);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

double seconds_of(const Tokenizer& tokenizer, const std::string& text) {
  const auto begin = std::chrono::steady_clock::now();
  CHECK(tokenizer.decode(ids_of(tokenizer, text)) == text);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("Bytes are tokens", "[tokenizer]") {
  const auto bytes = make_tokenizer({});
  CHECK(bytes->vocab_size() == 256);
  CHECK(ids_of(*bytes, "a\xFF") == std::vector<int32_t>{97, 255});
  CHECK(bytes->decode_bytes(std::vector<int32_t>{97, 255}) == "a\xFF");
  CHECK(bytes->decode(std::vector<int32_t>{97, 255}) == "a\xEF\xBF\xBD");
  CHECK_FALSE(bytes->eod_id());
  CHECK_THROWS_WITH(bytes->decode(std::vector<int32_t>{256}), ContainsSubstring("token 256"));
  TokenizerConfig config;
  config.tokenizer_model = "x.json";
  CHECK_THROWS_WITH(make_tokenizer(config), ContainsSubstring("reads no file"));
}

TEST_CASE("What would change the tokens and is not done is refused by its path", "[tokenizer]") {
  const json file = golden_json("gpt2");
  const auto contains = [](const std::string& s) { return ContainsSubstring(s); };
  CHECK_THAT(refusal(file, "/model/type", "WordPiece"), contains("tokenizer.json: model.type: \"WordPiece\"; expected BPE"));
  CHECK_THAT(refusal(file, "/model/dropout", 0.1), contains("model.dropout: 0.1"));
  CHECK(refusal(file, "/model/dropout", 0.0) == "accepted");
  CHECK_THAT(refusal(file, "/model/end_of_word_suffix", "</w>"), contains("model.end_of_word_suffix"));
  CHECK(refusal(file, "/model/end_of_word_suffix", "") == "accepted");
  CHECK(refusal(file, "/model/byte_fallback", true) == "accepted");  // all bytes are in the vocabulary
  CHECK_THAT(refusal(file, "/model/new_option", 1), contains("model.\"new_option\": 1; this field is not known"));
  CHECK_THAT(refusal(file, "/model/merges/0", "abc"), contains("model.merges[0]: \"abc\""));
  CHECK_THAT(refusal(file, "/model/merges/3", json{"a", "zzzzzz"}), contains("model.merges[3]: \"zzzzzz\" is not in the vocabulary"));
  CHECK_THAT(refusal(file, "/model/vocab/a", -1), contains("model.vocab[\"a\"]: -1"));
  CHECK_THAT(refusal(file, "/model/vocab/a", 2147483647), contains("expected an integer from 0 to 16777215"));
  CHECK_THAT(refusal(file, "/model/vocab/a", 5), contains("5 is the id of another token too"));
  CHECK_THAT(refusal(file, "/truncation", json{{"max_length", 3}}), contains("truncation"));
  CHECK_THAT(refusal(file, "/padding", json{{"pad_id", 3}}), contains("padding"));
  CHECK_THAT(refusal(file, "/normalizer", json{{"type", "Strip"}}), contains("normalizer.type: \"Strip\"; expected NFC"));
  CHECK_THAT(refusal(file, "/pre_tokenizer", json{{"type", "Metaspace"}}), contains("give the tokenizer.model instead"));
  CHECK_THAT(refusal(file, "/pre_tokenizer", json{{"type", "Digits"}}), contains("has no ByteLevel"));
  CHECK_THAT(
      refusal(file, "/pre_tokenizer", json::parse(R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]})")),
      contains("pre_tokenizer.pretokenizers[1].type: \"Digits\" after"));
  CHECK_THAT(refusal(file, "/pre_tokenizer", json::parse(R"({"type": "Split", "pattern": {"Regex": "\\p{Han}"}, "behavior": "Isolated"})")),
             contains("pre_tokenizer.pattern.Regex: pattern \"\\x5cp{Han}\" has \\p{Han}"));
  CHECK_THAT(refusal(file, "/post_processor", json{{"type", "Other"}}), contains("post_processor.type: \"Other\""));
  CHECK_THAT(refusal(file, "/post_processor", json::parse(R"({"type": "RobertaProcessing", "sep": ["a", 9999], "cls": ["a", 0]})")),
             contains("adds token 9999"));
  CHECK_THAT(refusal(file, "/decoder", json{{"type", "WordPiece"}}), contains("decoder.type"));
  CHECK_THAT(refusal(file, "/decoder", nullptr), contains("decoder: is missing"));
  CHECK_THAT(refusal(file, "/added_tokens/0/id", 7000), contains("added_tokens[0].id: 7000 for \"<|end|>\"; expected "));
  CHECK_THAT(refusal(file, "/added_tokens/0/content", ""), contains("added_tokens[0].content: is empty"));
  CHECK_THAT(refusal(file, "/added_tokens/0/content", "<|start|>"), contains("is that of"));
  CHECK_THAT(refusal(file, "/version", "2.0"), contains("version"));
  json twins = file;
  twins["normalizer"] = {{"type", "Lowercase"}};
  const int64_t next = static_cast<int64_t>(file["model"]["vocab"].size() + file["added_tokens"].size());
  twins["added_tokens"].push_back({{"id", next}, {"content", "<Tool>"}});
  CHECK_THAT(refusal(twins, "/added_tokens/3", json{{"id", next + 1}, {"content", "<tool>"}}),
             contains("added_tokens[3].content: \"<tool>\" is the same as that of"));
}

TEST_CASE("Texts that are not UTF-8, and ids that are no tokens, are refused", "[tokenizer]") {
  const HfTokenizer tokenizer = make(golden_json("gpt2"));
  for (const char* text : {"ab\xFF", "ab\xC3", "ab\xC0\x80", "ab\xED\xA0\x80", "ab\xF4\x90\x80\x80", "ab\xE4\xB8"})
    CHECK_THROWS_WITH(ids_of(tokenizer, text), ContainsSubstring("byte 2 of"));
  for (const int32_t id : {-1, 100000})
    CHECK_THROWS_WITH(tokenizer.decode(std::vector<int32_t>{id}), ContainsSubstring("is none of tokenizer.json"));
  CHECK(replace_invalid_utf8("a\xE4\xB8z\xFF\xF0\x9F\x98") ==
        "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");  // one for what could begin a character
}

TEST_CASE("Bytes without a token are left out, or become the unknown token", "[tokenizer]") {
  json file = golden_json("gpt2");
  file["model"]["vocab"].erase("q");
  json merges = json::array();
  for (const auto& m : file["model"]["merges"])
    if (m.get<std::string>().find('q') == std::string::npos) merges.push_back(m);
  file["model"]["merges"] = merges;
  file["model"]["vocab"]["unk"] = 100000;  // a gap in the ids is no harm
  file["added_tokens"] = json::array();
  CHECK(make(file).decode(ids_of(make(file), "aqqb")) == "ab");
  CHECK_THAT(make(file).describe(), ContainsSubstring("1 of 256 bytes have no token"));
  file["model"]["unk_token"] = "unk";
  CHECK(ids_of(make(file), "qq") == std::vector<int32_t>{100000, 100000});
  file["model"]["fuse_unk"] = true;
  CHECK(ids_of(make(file), "qq") == std::vector<int32_t>{100000});
  file["model"]["byte_fallback"] = true;
  CHECK_THROWS_WITH(make(file), ContainsSubstring("byte_fallback"));
}

TEST_CASE("Content cannot hold special tokens, only other added ones", "[tokenizer]") {
  for (const char* style : {"gpt2", "llama3", "qwen"}) {
    const auto tokenizer = open_tokenizer(std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/" + style);
    const std::string text = "a<|end|>\n<|start|>b";
    std::vector<int32_t> whole, content, plain, plain_content;
    tokenizer->encode(text, whole);
    tokenizer->encode_content(text, content);
    CHECK(std::count(whole.begin(), whole.end(), 420) + std::count(whole.begin(), whole.end(), 421) == 2);
    CHECK(std::count(content.begin(), content.end(), 420) + std::count(content.begin(), content.end(), 421) == 0);
    CHECK(tokenizer->decode(content) == text);
    tokenizer->encode("no names in it", plain);
    tokenizer->encode_content("no names in it", plain_content);
    CHECK(plain == plain_content);
  }
  std::vector<int32_t> tool;
  open_tokenizer(std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/qwen")->encode_content("<tool>", tool);
  CHECK(tool == std::vector<int32_t>{425});
}

TEST_CASE("White space that one added token has taken in is no other token", "[tokenizer]") {
  json file = golden_json("qwen");
  json spaces = file["added_tokens"][5];
  REQUIRE(spaces["content"] == "<tool>");  // 425, which takes in the white space on both sides
  spaces["id"] = 427;
  spaces["content"] = "  ";
  file["added_tokens"].push_back(spaces);
  const HfTokenizer tokenizer = make(file);
  const std::vector<int32_t> apart = ids_of(tokenizer, "a  a"), taken = ids_of(tokenizer, "<tool>  a");
  CHECK(std::count(apart.begin(), apart.end(), 427) == 1);
  CHECK(taken.front() == 425);
  CHECK(std::count(taken.begin(), taken.end(), 427) == 0);
}

TEST_CASE("Merges of a long piece are those of a short one", "[tokenizer]") {
  const HfTokenizer tokenizer = make(golden_json("llama3"));
  for (const size_t spaces : {31, 301}) {  // merged in pairs from the left: the odd one joins the last
    const std::vector<int32_t> ids = ids_of(tokenizer, std::string(spaces, ' '));
    CHECK(tokenizer.decode(std::vector<int32_t>{ids.front()}) == "  ");
    CHECK(tokenizer.decode(std::vector<int32_t>{ids.back()}) == "   ");
  }
  // 47 letters are merged by search, 400 with a queue: repeated words without a break have the same tokens but where they meet.
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    std::string piece;
    for (int n = 0; n < 60; ++n) piece += "theoquickbrwnfxjumps"[random() % 20];
    const std::vector<int32_t> whole = ids_of(tokenizer, piece);
    CHECK(tokenizer.decode(whole) == piece);
    // No pair of neighbors in the result can be merged, and no token of the result is the start of a better one: merging is idempotent.
    for (size_t k = 0; k + 1 < whole.size(); ++k) {
      const std::string pair = tokenizer.decode(std::vector<int32_t>{whole[k], whole[k + 1]});
      CHECK(ids_of(tokenizer, pair).size() == 2);
    }
  }
}

TEST_CASE("Long texts without a break take time in proportion", "[tokenizer]") {
  const HfTokenizer tokenizer = make(golden_json("llama3"));
  for (const char* unit : {"a", " ", "\n", "ab", "!", "\xE4\xB8\xAD", "1", "'", "\xCC\x81", " \t"}) {
    std::string text;
    while (text.size() < 400'000) text += unit;
    INFO(unit);
    CHECK(seconds_of(tokenizer, text) < 10);  // quadratic would be minutes
  }
}

TEST_CASE("Marks are put into Unicode's order, many of them in time in proportion", "[tokenizer]") {
  if (!has_unicode_forms()) return;
  const auto repeated = [](const std::string& unit, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += unit;
    return all;
  };
  const std::string acute = "\xCC\x81", grave = "\xCC\x80", below = "\xCC\x96";  // above (class 230) twice, and below (220)
  CHECK(to_unicode_form("a" + acute + below + grave + below, UnicodeForm::nfd) == "a" + below + below + acute + grave);
  CHECK(to_unicode_form("a" + acute + below + grave, UnicodeForm::nfc) == "\xC3\xA1" + below + grave);
  CHECK(to_unicode_form("a" + below + grave + acute + "e" + acute, UnicodeForm::nfc) == "\xC3\xA0" + below + acute + "\xC3\xA9");
  // U+0344 is two marks; a Hangul syllable of three parts, the last behind a mark; a ligature of eighteen characters.
  CHECK(to_unicode_form("a\xCD\x84" + below, UnicodeForm::nfc) == "\xC3\xA4" + below + acute);
  CHECK(to_unicode_form("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB" + acute, UnicodeForm::nfc) == "\xED\x95\x9C" + acute);
  CHECK(to_unicode_form("\xE1\x84\x92\xE1\x85\xA1" + acute + "\xE1\x86\xAB", UnicodeForm::nfc) == "\xED\x95\x98" + acute + "\xE1\x86\xAB");
  const std::string ligature = to_unicode_form("\xEF\xB7\xBA", UnicodeForm::nfkc);
  CHECK(ligature.size() == 33);
  CHECK(to_unicode_form(repeated("\xEF\xB7\xBA", 1000), UnicodeForm::nfkc) == repeated(ligature, 1000));

  constexpr int kMany = 200'000;
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = "a" + repeated(acute + below, kMany);
  const std::string ordered = repeated(below, kMany) + repeated(acute, kMany - 1);
  for (const UnicodeForm form : {UnicodeForm::nfc, UnicodeForm::nfkc}) CHECK(to_unicode_form(text, form) == "\xC3\xA1" + ordered);
  for (const UnicodeForm form : {UnicodeForm::nfd, UnicodeForm::nfkd}) CHECK(to_unicode_form(text, form) == "a" + ordered + acute);
  const auto qwen = open_tokenizer(std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/qwen");
  CHECK(qwen->decode(ids_of(*qwen, text)) == "\xC3\xA1" + ordered);
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < 10);  // quadratic would be minutes
}

TEST_CASE("One tokenizer serves many threads", "[tokenizer]") {
  const HfTokenizer tokenizer = make(golden_json("o200k"));
  const std::string text = "The quick brown fox, it's 1234 times we'll say: don't! HTTPServer \xE4\xBD\xA0\xE5\xA5\xBD\n";
  const std::vector<int32_t> expected = ids_of(tokenizer, text);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) wrong += ids_of(tokenizer, text) != expected;
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("A folder's files say which tokens begin and end texts", "[tokenizer]") {
  const TemporaryFolder folder;
  json file = golden_json("gpt2");
  folder.file("tokenizer.json", file.dump());
  const auto end = make(file).token_id("<|end|>"), start = make(file).token_id("<|start|>");
  REQUIRE(end);
  CHECK_FALSE(open_tokenizer(folder.path())->eos_id());
  folder.file("tokenizer_config.json", R"({"bos_token": "<|start|>", "eos_token": {"content": "<|end|>"}, "chat_template": "x"})");
  const auto tokenizer = open_tokenizer(folder.path());
  CHECK(tokenizer->bos_id() == start);
  CHECK(tokenizer->eos_id() == end);
  CHECK(tokenizer->eod_id() == end);
  CHECK(tokenizer->fingerprint() == open_tokenizer(folder.path("tokenizer.json"))->fingerprint());
  TokenizerConfig config;
  config.tokenizer_type = TokenizerType::hugging_face;
  CHECK_THROWS_WITH(make_tokenizer(config), ContainsSubstring("needs tokenizer.tokenizer_model"));
  config.tokenizer_model = folder.path();
  CHECK(make_tokenizer(config)->vocab_size() == tokenizer->vocab_size());
  config.tokenizer_type = TokenizerType::sentencepiece;
  CHECK_THROWS_WITH(make_tokenizer(config), ContainsSubstring("is a HuggingFaceTokenizer"));
  folder.file("special_tokens_map.json", R"({"eos_token": "<nowhere>"})");
  CHECK_THROWS_WITH(open_tokenizer(folder.path()), ContainsSubstring("eos_token \"<nowhere>\" is no token"));
  const TemporaryFolder empty;
  CHECK_THROWS_WITH(open_tokenizer(empty.path()), ContainsSubstring("neither a tokenizer.json nor a tokenizer.model"));
}

TEST_CASE("Damaged tokenizer files are refused or work", "[tokenizer]") {
  std::mt19937 random(11);
  int refused = 0, accepted = 0;
  for (const char* style : {"gpt2", "merging", "roberta"}) {
    if (std::string(style) == "merging" && !has_unicode_forms()) continue;
    const std::string good = golden_json(style).dump();
    const size_t vocab = good.find("\"vocab\"");
    for (int i = 0; i < 300; ++i) {
      std::string bad = good;
      for (int n = 1 + static_cast<int>(random() % 3); n > 0; --n) {
        const size_t at = random() % 2 == 0 ? random() % bad.size() : std::min(bad.size() - 1, random() % (bad.size() - vocab / 2));
        switch (random() % 4) {
          case 0: bad[at] = static_cast<char>(random()); break;
          case 1: bad.erase(at, 1 + random() % 40); break;
          case 2: bad.insert(at, bad.substr(random() % bad.size(), random() % 30)); break;
          default: bad.replace(at, 1, std::to_string(random())); break;
        }
      }
      try {
        const HfTokenizer tokenizer(parse_hf_tokenizer(bad, "bad.json"));
        tokenizer.decode(ids_of(tokenizer, "The quick <|end|> 12345 caf\xC3\xA9 \xE4\xBD\xA0"));
        ++accepted;
      } catch (const InputError&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 300);
  CHECK(accepted > 0);
}

}  // namespace mbt::test::tokenizer_test
