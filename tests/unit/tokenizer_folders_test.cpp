// The files beside a tokenizer: tokens of transformers' AutoTokenizer (tests/golden/tokenizer_folders), or a refusal by name.
#include <algorithm>
#include <filesystem>

#include "core/base/build_parts.h"
#include "core/base/error.h"
#include "core/data/sft/chat_template.h"
#include "core/io/files.h"
#include "core/tokenizer/bpe/hf_tokenizer_config.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/tokenizer/unicode/unicode_form.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::tokenizer_folders_test {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const std::string kGolden = std::string(MBT_SOURCE_DIR) + "/tests/golden/";

bool has_sentencepiece() {
  for (const BuildPart& part : build_parts())
    if (part.name == "MBT_SENTENCEPIECE") return part.is_built_in;
  return false;
}

const json& golden() {
  static const json file = json::parse(read_text_file(kGolden + "tokenizer_folders/cases.json"));
  return file;
}

json golden_bpe() { return json::parse(read_text_file(kGolden + "tokenizers/gpt2/tokenizer.json")); }

std::string merges_text() {
  std::string text = "#version: 0.2\n";
  const json file = golden_bpe();
  for (const json& m : file["model"]["merges"])
    text += (m.is_string() ? m.get<std::string>() : m[0].get<std::string>() + " " + m[1].get<std::string>()) + "\n";
  return text;
}

std::string content_of(const json& file) {
  if (file == "@model") return read_text_file(kGolden + "tokenizer_folders/tokenizer.model");
  if (file == "@json") return golden_bpe().dump();
  if (file == "@vocab") return golden_bpe()["model"]["vocab"].dump();
  if (file == "@merges") return merges_text();
  return file.is_string() ? file.get<std::string>() : file.dump();
}

void write_folder(const TemporaryFolder& folder, const json& files) {
  for (const auto& [name, content] : files.items()) write_file_atomically(folder.path(name), content_of(content));
}

/// Whether this build has the library that a case needs.
bool can_open(const json& files) {
  if (files.contains("tokenizer.model")) return has_sentencepiece();
  return has_unicode_forms() || files["tokenizer_config.json"].value("tokenizer_class", "") != "Qwen2Tokenizer";
}

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

std::unique_ptr<Tokenizer> opened(const json& files) {
  const TemporaryFolder folder;
  write_folder(folder, files);
  return open_tokenizer(folder.path());
}

/// Why the folder is refused.
std::string refusal(const json& files) {
  try {
    opened(files);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

json llama(json more = json::object()) {
  more["tokenizer_class"] = "LlamaTokenizer";
  return {{"tokenizer.model", "@model"}, {"tokenizer_config.json", std::move(more)}};
}

json bpe(json config) { return {{"tokenizer.json", "@json"}, {"tokenizer_config.json", std::move(config)}}; }

/// tokenizer.model in the words of a tokenizer.json.
json translation(const json& pre_tokenizer) {
  const TemporaryFolder folder;
  write_folder(folder, llama());
  json vocab;
  const auto tokenizer = open_tokenizer(folder.path());
  // The pieces' names, from the file itself: each is a message that begins with its text.
  const std::string model = content_of("@model");
  for (size_t at = 0, id = 0; at < model.size() && model[at] == '\n'; ++id) {
    const auto size = static_cast<size_t>(model[at + 1]);
    vocab[model.substr(at + 4, static_cast<size_t>(model[at + 3]))] = id;
    at += 2 + size;
  }
  REQUIRE(static_cast<int64_t>(vocab.size()) == tokenizer->vocab_size());
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"added_tokens", json::array({{{"id", 512}, {"content", "<x>"}, {"special", true}, {"normalized", false}}})},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer},
          {"decoder", {{"type", "Fuse"}}},
          {"model", {{"type", "BPE"}, {"byte_fallback", true}, {"fuse_unk", true}, {"vocab", vocab}, {"merges", json::array()}}}};
}

json metaspace(const std::string& scheme) {
  return {{"type", "Metaspace"}, {"replacement", "\xE2\x96\x81"}, {"prepend_scheme", scheme}, {"split", false}};
}

}  // namespace

TEST_CASE("Files beside a tokenizer give the tokens that they give in transformers", "[tokenizer]") {
  for (const json& c : golden()["cases"]) {
    if (!can_open(c["files"])) continue;
    const TemporaryFolder folder;
    write_folder(folder, c["files"]);
    INFO(c["name"]);
    const auto tokenizer = open_tokenizer(folder.path());
    CHECK(tokenizer->vocab_size() == c["size"]);
    CHECK(tokenizer_type_in(folder.path()) == tokenizer->type());
    const auto carried = open_tokenizer(read_tokenizer_files(folder.path()), "elsewhere");
    CHECK(carried->fingerprint() == tokenizer->fingerprint());
    for (size_t i = 0; i < c["texts"].size(); ++i) {
      INFO(c["texts"][i]);
      CHECK(json(ids_of(*tokenizer, c["texts"][i])) == c["ids"][i]);
      CHECK(json(ids_of(*carried, c["texts"][i])) == c["ids"][i]);
    }
  }
}

TEST_CASE("A conversation has the tokens of its rendered text, and the loss begins with its answer", "[sft]") {
  for (const json& c : golden()["chats"]) {
    if (!can_open(c["files"])) continue;
    const TemporaryFolder folder;
    write_folder(folder, c["files"]);
    INFO(c["name"] << ": " << c["turns"]);
    json config = c["files"]["tokenizer_config.json"];
    config["add_bos_token"] = false;
    write_file_atomically(folder.path("tokenizer_config.json"), config.dump());
    const auto tokenizer = open_tokenizer(folder.path());
    json messages = json::array();
    for (size_t i = 0; i < 3; ++i)
      messages.push_back({{"role", i == 0 ? "system" : i == 1 ? "user" : "assistant"}, {"content", c["turns"][i]}});
    const ChatExample example = ChatTemplate(ChatFormat::chatml, *tokenizer, std::nullopt).encode({{"messages", messages}});
    CHECK(json(example.tokens) == c["ids"]);
    REQUIRE(example.in_loss.size() == example.tokens.size());
    const auto last = std::find(example.tokens.rbegin(), example.tokens.rend(), *tokenizer->token_id("<|im_end|>"));
    const auto end = static_cast<size_t>(example.tokens.rend() - last) - 1;
    for (size_t i = 0; i < example.in_loss.size(); ++i) {
      const bool after_end = i > end;  // the line break behind the last turn
      CHECK(example.in_loss[i] == (i >= c["answer"] && !after_end ? 1 : 0));
    }
  }
}

TEST_CASE("Prompt and completion are one text, with its control tokens as tokens", "[sft]") {
  if (!has_sentencepiece()) return;
  const auto tokenizer = opened(llama());
  const ChatTemplate chat(ChatFormat::chatml, *tokenizer, 2);
  const auto encode = [&](const char* prompt, const char* completion) {
    return chat.encode({{"prompt", prompt}, {"completion", completion}});
  };
  const ChatExample rendered = encode("<s>[INST] hi [/INST]", " hello </s>");
  CHECK(rendered.tokens == ids_of(*tokenizer, "<s>[INST] hi [/INST] hello </s>"));  // neither <s> nor </s> comes twice
  CHECK(rendered.tokens.front() == 1);
  CHECK(rendered.tokens.back() == 2);
  CHECK(rendered.in_loss.back() == 1);
  CHECK(rendered.in_loss.front() == 0);
  const ChatExample plain = encode("hel", "lo");
  std::vector<int32_t> expected = ids_of(*tokenizer, "hello");  // no blank between the two
  expected.insert(expected.begin(), 1);
  expected.push_back(2);
  CHECK(plain.tokens == expected);
  CHECK(encode("</s>", "x").tokens.back() == 2);
}

TEST_CASE("Names of special tokens in a message are letters, with SentencePiece too", "[sft]") {
  if (!has_sentencepiece()) return;
  const json mark{{"content", "<|im_end|>"}, {"special", true}, {"normalized", false}};
  const auto tokenizer = opened(llama({{"added_tokens_decoder", {{"4", mark}}}}));
  std::vector<int32_t> ids;
  tokenizer->encode_content("a</s>b<|im_end|> c<|im_end|><|im_end|>", ids, true);
  CHECK(std::find(ids.begin(), ids.end(), 2) == ids.end());
  CHECK(std::find(ids.begin(), ids.end(), 4) == ids.end());
  CHECK(tokenizer->decode(ids) == "a</s>b<|im_end|> c<|im_end|><|im_end|>");
}

TEST_CASE("A template's token that takes in white space is refused", "[sft]") {
  json mark{{"content", "<|im_end|>"}, {"special", true}, {"normalized", false}, {"rstrip", true}};
  const json other{{"content", "<|im_start|>"}, {"special", true}, {"normalized", false}};
  const json talk{{"messages", {{{"role", "assistant"}, {"content", "x"}}}}};
  const auto tokenizer = opened(bpe({{"added_tokens_decoder", {{"422", mark}, {"423", other}}}}));
  CHECK_THROWS_WITH(ChatTemplate(ChatFormat::chatml, *tokenizer, 0).encode(talk),
                    ContainsSubstring("the token <|im_end|> takes in the white space beside it"));
}

TEST_CASE("Special tokens of SentencePiece are left out of decoded text, or shown by their names", "[tokenizer]") {
  if (!has_sentencepiece()) return;
  const auto tokenizer = opened(llama({{"pad_token", "<pad>"}}));
  const std::vector<int32_t> ids = ids_of(*tokenizer, "<s> hello</s> x<pad><|im_end|>");
  CHECK(tokenizer->decode(ids) == "hello x<|im_end|>");
  CHECK(tokenizer->decode(ids, false) == "<s> hello</s> x<pad><|im_end|>");
  CHECK(tokenizer->token_id("<pad>") == 512);
  CHECK_THROWS_WITH(tokenizer->decode(std::vector<int32_t>{513}), ContainsSubstring("token 513"));
  CHECK_THAT(tokenizer->describe(), ContainsSubstring("513 tokens, 1 of them by the files beside it"));
  const json config = json::parse(tokenizer_config_text(*tokenizer, 64));
  CHECK(config["bos_token"] == "<s>");
  CHECK(config["eos_token"] == "</s>");
}

TEST_CASE("What files beside a tokenizer say and is not supported is refused by its name", "[tokenizer]") {
  const json x{{"content", "<x>"}, {"special", true}};
  CHECK_THAT(refusal(bpe({{"added_tokens_decoder", {{"430", x}}}})),
             ContainsSubstring("added_tokens_decoder[\"430\"]: \"<x>\" has the id 430; expected 422, the next after the tokenizer's"));
  CHECK_THAT(refusal(bpe({{"added_tokens_decoder", {{"420", x}}}})), ContainsSubstring("has the id 420; expected 422"));
  CHECK_THAT(refusal(bpe({{"added_tokens_decoder", {{"x", x}}}})), ContainsSubstring("expected an id, an integer, as the key"));
  CHECK_THAT(refusal(bpe({{"added_tokens_decoder", json::array()}})), ContainsSubstring("an array; expected an object"));
  CHECK_THAT(refusal(bpe({{"added_tokens_decoder", {{"422", {{"content", "<x>"}, {"strip", true}}}}}})), ContainsSubstring("\"strip\""));
  CHECK_THAT(refusal(bpe({{"pad_token", 7}})), ContainsSubstring("pad_token: 7; expected a token's name"));
  CHECK_THAT(refusal(bpe({{"additional_special_tokens", "<x>"}})),
             ContainsSubstring("additional_special_tokens: \"<x>\"; expected an array"));
  CHECK_THAT(refusal(bpe({{"split_special_tokens", true}})), ContainsSubstring("split_special_tokens: true"));
  CHECK_THAT(refusal(bpe({{"add_prefix_space", true}})), ContainsSubstring("add_prefix_space: true, but the pre_tokenizer"));
  CHECK_THAT(refusal(bpe({{"add_prefix_space", "yes"}})), ContainsSubstring("add_prefix_space: \"yes\"; expected true or false"));
  CHECK_THAT(refusal(bpe({{"image_token", "<x>"}, {"audio_token", "<y>"}})), ContainsSubstring("are both new to the tokenizer"));
  CHECK_THAT(refusal(bpe({{"eos_token", "<x>"}})), ContainsSubstring("eos_token \"<x>\" is no token of"));
  json added = bpe(json::object());
  added["added_tokens.json"] = {{"<x>", "7"}};
  CHECK_THAT(refusal(added), ContainsSubstring("added_tokens.json:1: \"<x>\": \"7\"; expected an id"));
  added["added_tokens.json"] = {{"<x>", 421}};
  CHECK_THAT(refusal(added), ContainsSubstring("\"<x>\" has the id 421; expected 422"));
  if (!has_sentencepiece()) return;
  CHECK_THAT(refusal({{"tokenizer.model", "@model"}, {"tokenizer_config.json", {{"tokenizer_class", "T5Tokenizer"}}}}),
             ContainsSubstring("tokenizer_class: \"T5Tokenizer\""));
  CHECK_THAT(refusal(llama({{"added_tokens_decoder", {{"1", x}}}})), ContainsSubstring("\"<x>\" has the id 1; expected 512"));
}

TEST_CASE("special_tokens_map.json counts before tokenizer_config.json, unless that has added_tokens_decoder", "[tokenizer]") {
  json files = bpe({{"eos_token", "<|start|>"}});
  files["special_tokens_map.json"] = {{"eos_token", {{"content", "<|end|>"}}}};
  CHECK(opened(files)->eos_id() == 420);
  files["tokenizer_config.json"]["added_tokens_decoder"] = json::object();
  CHECK(opened(files)->eos_id() == 421);
}

TEST_CASE("vocab.json and merges.txt are a tokenizer, both or none", "[tokenizer]") {
  json files{{"vocab.json", "@vocab"}, {"merges.txt", "@merges"}};
  const TemporaryFolder folder;
  write_folder(folder, files);
  const auto tokenizer = open_tokenizer(folder.path());
  CHECK(tokenizer->type() == TokenizerType::hugging_face);
  CHECK(json::parse(tokenizer_config_text(*tokenizer, 64, true))["tokenizer_class"] == "GPT2Tokenizer");
  fs::remove(folder.path("merges.txt"));
  CHECK_FALSE(tokenizer_type_in(folder.path()));
  CHECK_THROWS_WITH(open_tokenizer(folder.path()), ContainsSubstring("nor vocab.json and merges.txt"));
  files["merges.txt"] = "#version: 0.2\na b c\n";
  CHECK_THAT(refusal(files), ContainsSubstring("merges.txt:2: \"a b c\"; expected two tokens"));
  files["merges.txt"] = "zz qq\r\n";
  CHECK_THAT(refusal(files), ContainsSubstring("\"zz\" is not in the vocabulary"));
  files["merges.txt"] = "@merges";
  files["tokenizer_config.json"] = {{"tokenizer_class", "RobertaTokenizer"}};
  CHECK_THAT(refusal(files), ContainsSubstring("tokenizer_class: \"RobertaTokenizer\"; with vocab.json and merges.txt"));
}

TEST_CASE("A tokenizer.json that is refused is not replaced by the tokenizer.model beside it", "[tokenizer]") {
  if (!has_sentencepiece()) return;
  json cut = golden_bpe();
  cut["truncation"] = {{"max_length", 512}};
  json files = llama();
  files["tokenizer.json"] = cut;
  CHECK_THAT(refusal(files), ContainsSubstring("tokenizer.json: truncation"));
  files["tokenizer.json"] = "{";
  CHECK_THAT(refusal(files), ContainsSubstring("tokenizer.json:1"));
}

TEST_CASE("A tokenizer.json that translates the tokenizer.model beside it is read with it", "[tokenizer]") {
  if (!has_sentencepiece()) return;
  const std::string text = "a<x> hello</s>b";
  const auto alone = [&](const json& config) {
    json more = config;
    more["added_tokens_decoder"] = {{"512", {{"content", "<x>"}, {"special", true}, {"normalized", false}}}};
    return ids_of(*opened(llama(more)), text);
  };
  json files{{"tokenizer.model", "@model"}, {"tokenizer.json", translation(metaspace("first"))}};
  CHECK(ids_of(*opened(files), text) == alone(json::object()));
  CHECK(opened(files)->vocab_size() == 513);
  files["tokenizer.json"]["pre_tokenizer"] = metaspace("never");
  CHECK(ids_of(*opened(files), text) == alone({{"add_prefix_space", false}}));
  files["tokenizer.json"]["pre_tokenizer"] = metaspace("always");
  CHECK(ids_of(*opened(files), text) == alone({{"legacy", true}}));
  files["tokenizer_config.json"] = {{"tokenizer_class", "LlamaTokenizer"}};  // which says the rest by itself
  CHECK(ids_of(*opened(files), text) == alone(json::object()));
  files.erase("tokenizer_config.json");
  const json good = files["tokenizer.json"];
  const auto refuse = [&](const std::string& pointer, const json& value, const std::string& message) {
    files["tokenizer.json"] = good;
    files["tokenizer.json"][json::json_pointer(pointer)] = value;
    CHECK_THAT(refusal(files), ContainsSubstring(message));
  };
  refuse("/truncation", {{"max_length", 512}}, "truncation");
  refuse("/model/dropout", 0.1, "model.dropout: 0.1");
  refuse("/model/ignore_merges", true, "model.ignore_merges: true");
  refuse("/model/vocab/hen", 512, "model.vocab: 513 tokens, but the tokenizer.model beside it has 512");
  refuse("/pre_tokenizer/split", true, "pre_tokenizer.split: true");
  refuse("/pre_tokenizer/prepend_scheme", "last", "prepend_scheme: \"last\"");
  refuse("/normalizer", {{"type", "NFKC"}}, "normalizer: together with a pre_tokenizer");
  refuse("/added_tokens/0/id", 600, "\"<x>\" has the id 600; expected 512");
  files["tokenizer.json"] = good;
  files["tokenizer.json"]["model"]["vocab"].erase("</s>");
  files["tokenizer.json"]["model"]["vocab"]["</t>"] = 2;
  CHECK_THAT(refusal(files), ContainsSubstring("has not \"</s>\" as 2"));
}

}  // namespace mbt::test::tokenizer_folders_test
