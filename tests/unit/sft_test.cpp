// Supervised fine-tuning: templates, loss on answers alone, packing, and text through a tokenizer into the cache.
#include <atomic>
#include <filesystem>
#include <map>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "core/data/cache/tokenized_cache.h"
#include "core/data/loader.h"
#include "core/data/sft/chat_template.h"
#include "core/data/sft/packing.h"
#include "core/data/sft/sft_dataset.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/dataset_of.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::sft_test {

namespace fs = std::filesystem;

namespace {

/// Bytes, and special tokens from 256 on.
class BytesAndMore final : public Tokenizer {
 public:
  explicit BytesAndMore(std::vector<std::string> special) : special_(std::move(special)) {
    set_special_ids({.bos = {}, .eos = {}, .eod = 256});
  }
  int64_t vocab_size() const override { return 256 + static_cast<int64_t>(special_.size()); }
  void encode(std::string_view text, std::vector<int32_t>& ids, bool) const override {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    ++calls;
  }
  std::string decode_bytes(std::span<const int32_t> ids, bool) const override {
    std::string out;
    for (const int32_t id : ids) out += id < 256 ? std::string(1, static_cast<char>(id)) : special_[static_cast<size_t>(id - 256)];
    return out;
  }
  std::optional<int32_t> token_id(std::string_view name) const override {
    for (size_t i = 0; i < special_.size(); ++i)
      if (special_[i] == name) return static_cast<int32_t>(256 + i);
    return std::nullopt;
  }
  TokenizerType type() const override { return TokenizerType::bytes; }
  std::string describe() const override { return "bytes and more"; }
  uint64_t fingerprint() const override { return 7; }
  mutable std::atomic<int> calls{0};

 private:
  std::vector<std::string> special_;
};

const BytesAndMore kChat({"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                          "<|eot_id|>"});

std::string in_loss(const ChatExample& e) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < e.tokens.size(); ++i)
    if (e.in_loss[i]) ids.push_back(e.tokens[i]);
  return kChat.decode_bytes(ids, false);
}

ChatExample encoded(ChatFormat format, const std::string& json) {
  return ChatTemplate(format, kChat, 256).encode(nlohmann::json::parse(json));
}

SftOptions options_of(const TemporaryFolder& folder, int64_t seq_length) {
  SftOptions o;
  o.seq_length = seq_length;
  o.vocab_size = kChat.vocab_size();
  o.max_document_bytes = 1000;
  o.chat_template = ChatFormat::plain;
  o.end_of_text = 256;
  o.cache = {folder.path("cache"), true};
  return o;
}

constexpr const char* kTalk =
    R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"Q"},{"role":"assistant","content":"A1"},
                                  {"role":"user","content":"R"},{"role":"assistant","content":"A2"}]})";

}  // namespace

TEST_CASE("templates, and what of them is in the loss", "[sft]") {
  const ChatExample chatml = encoded(ChatFormat::chatml, kTalk);
  CHECK(
      kChat.decode_bytes(chatml.tokens, false) ==
      "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nR<|im_end|>\n"
      "<|im_start|>assistant\nA2<|im_end|>\n");
  CHECK(in_loss(chatml) == "A1<|im_end|>A2<|im_end|>");
  const ChatExample llama = encoded(ChatFormat::llama3, kTalk);
  CHECK(kChat.decode_bytes(llama.tokens, false)
            .rfind("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user", 0) == 0);
  CHECK(in_loss(llama) == "A1<|eot_id|>A2<|eot_id|>");
  const ChatExample plain = encoded(ChatFormat::plain, kTalk);
  CHECK(kChat.decode_bytes(plain.tokens, false) == "system: S\nuser: Q\nassistant: A1<|endoftext|>\nuser: R\nassistant: A2<|endoftext|>\n");
  CHECK(in_loss(plain) == "A1<|endoftext|>A2<|endoftext|>");
  const ChatExample completion = encoded(ChatFormat::chatml, R"({"prompt":"2+2=","completion":" 4","source":"x"})");
  CHECK(kChat.decode_bytes(completion.tokens, false) == "2+2= 4<|endoftext|>");
  CHECK(in_loss(completion) == " 4<|endoftext|>");
}

TEST_CASE("an answer of weight 0 is read and not learned", "[sft]") {
  const char* talk = R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A1","weight":0},
                                     {"role":"user","content":"R"},{"role":"assistant","content":"A2","weight":1}]})";
  for (const ChatFormat style : {ChatFormat::chatml, ChatFormat::llama3, ChatFormat::plain})
    CHECK(in_loss(encoded(style, talk)).rfind("A2<|", 0) == 0);
  CHECK(kChat.decode_bytes(encoded(ChatFormat::plain, talk).tokens, false) ==
        "user: Q\nassistant: A1<|endoftext|>\nuser: R\nassistant: A2<|endoftext|>\n");
}

TEST_CASE("examples of another shape, and tokenizers without the tokens, are named", "[sft]") {
  for (const auto& [json, message] : std::map<std::string, std::string>{
           {"[]", "is array, expected an object"},
           {"{}", "has neither \"messages\" nor \"prompt\""},
           {R"({"prompt":1,"completion":"x"})", "\"prompt\" is number, expected a string"},
           {R"({"prompt":"x"})", "has no \"completion\""},
           {R"({"messages":{}})", "\"messages\" is object"},
           {R"({"messages":[]})", "no message of role \"assistant\""},
           {R"({"messages":["x"]})", "a message is string"},
           {R"({"messages":[],"tools":[{"type":"function"}]})", "the example has \"tools\""},
           {R"({"messages":[{"role":"assistant","content":"x","reasoning_content":"y"}]})", "a message has \"reasoning_content\""},
           {R"({"messages":[{"role":"assistant","content":"x","weight":0.5}]})", "\"weight\" is 0.5, expected 0 or 1"},
           {R"({"messages":[{"role":"assistant","content":"x","weight":0}]})", "nothing to learn"},
           {R"({"messages":[{"role":"user"}]})", "has no \"content\""},
           {R"({"messages":[{"role":"bot","content":"x"}]})", "role \"bot\", expected system"}}) {
    CHECK_THROWS_WITH(encoded(ChatFormat::chatml, json), ContainsSubstring(message));
    CHECK_THROWS_AS(encoded(ChatFormat::chatml, json), InputError);
  }
  const BytesAndMore few({"<|endoftext|>", "<|im_start|>"});
  const nlohmann::json talk = nlohmann::json::parse(kTalk), completion = {{"prompt", "2+2="}, {"completion", " 4"}};
  CHECK_THROWS_WITH(ChatTemplate(ChatFormat::chatml, few, 256).encode(talk),
                    ContainsSubstring("needs the token <|im_end|>, which the tokenizer lacks"));
  CHECK_THROWS_WITH(ChatTemplate(ChatFormat::plain, few, std::nullopt).encode(talk), ContainsSubstring("set dataset.eod_token_id"));
  CHECK_THROWS_WITH(ChatTemplate(ChatFormat::chatml, few, std::nullopt).encode(completion), ContainsSubstring("set dataset.eod_token_id"));
  CHECK(in_loss(ChatTemplate(ChatFormat::chatml, few, 256).encode(completion)) == " 4<|endoftext|>");  // whatever the template
}

TEST_CASE("packing keeps examples whole and fills rows", "[sft]") {
  const std::vector<int32_t> lengths{6, 5, 0, 4, 2, 10, 3};
  const Packing first = pack_first_fit(lengths, 10);
  CHECK(first.items == std::vector<int32_t>{0, 3, 1, 4, 6, 5});
  CHECK(first.first == std::vector<int64_t>{0, 2, 5, 6});
  const Packing sequential = pack_sequentially(lengths, 10);
  CHECK(sequential.items == std::vector<int32_t>{0, 1, 3, 4, 5, 6});
  CHECK(sequential.first == std::vector<int64_t>{0, 1, 3, 4, 5, 6});
  const std::vector<int32_t> exact{4, 6, 7, 3, 10, 5, 5};  // two items that fill a row to its end, thrice, and one that does
  for (const Packing& full : {pack_first_fit(exact, 10), pack_sequentially(exact, 10)}) {
    CHECK(full.items == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6});
    CHECK(full.first == std::vector<int64_t>{0, 2, 4, 5, 7});
  }
  CHECK(pack_first_fit({}, 10).rows() == 0);
  CHECK(pack_sequentially({}, 10).rows() == 0);
  std::mt19937 random(1);
  std::vector<int32_t> many(20000);
  for (int32_t& l : many) l = static_cast<int32_t>(random() % 513);
  for (const Packing& p : {pack_first_fit(many, 512), pack_sequentially(many, 512)}) {
    std::vector<int> seen(many.size());
    int64_t fullest = 0;
    for (int64_t r = 0; r < p.rows(); ++r) {
      int64_t used = 0;
      for (int64_t i = p.first[static_cast<size_t>(r)]; i < p.first[static_cast<size_t>(r) + 1]; ++i) {
        const auto item = static_cast<size_t>(p.items[static_cast<size_t>(i)]);
        ++seen[item];
        used += many[item];
      }
      REQUIRE((used > 0 && used <= 512));
      fullest += used;
    }
    for (size_t i = 0; i < many.size(); ++i) REQUIRE(seen[i] == (many[i] > 0));
  }
  CHECK(pack_first_fit(many, 512).rows() < pack_sequentially(many, 512).rows());
}

TEST_CASE("a packed row: documents, positions, targets of answers, fillers", "[sft]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.jsonl", "{\"prompt\":\"ab\",\"completion\":\"c\"}\n\n{\"prompt\":\"d\",\"completion\":\"ef\"}\n");
  const SftDataset made({path}, kChat, options_of(folder, 10));
  REQUIRE(made.num_samples(Split::train) == 1);
  Sample sample(10);
  made.sample(Split::train, 0, sample);
  CHECK(kChat.decode_bytes(sample.tokens, false) == "abc<|endoftext|>def<|endoftext|><|endoftext|><|endoftext|><|endoftext|>");
  CHECK(sample.loss_mask == std::vector<float>{0, 1, 1, 0, 1, 1, 1, 0, 0, 0});
  CHECK(sample.document_start == std::vector<int32_t>{0, 0, 0, 0, 4, 4, 4, 4, 8, 9});
  CHECK_THAT(
      made.describe(),
      ContainsSubstring(
          "2 examples (plain), 8 tokens, 0 too long and truncated, 0 too long and dropped; packed into 1 + 0 + 0 samples of 10 tokens"));
  const int calls = kChat.calls;
  CHECK(SftDataset({path}, kChat, options_of(folder, 20)).num_samples(Split::train) == 1);
  CHECK(kChat.calls <= calls + 1);  // from the cache
}

TEST_CASE("long examples are truncated or dropped as told, and counted", "[sft]") {
  const TemporaryFolder folder;
  const std::string path =
      folder.file("x.jsonl",
                  "{\"prompt\":\"ab\",\"completion\":\"cdefgh\"}\n{\"prompt\":\"only a prompt\",\"completion\":\"c\"}\n"
                  "{\"prompt\":\"x\",\"completion\":\"y\"}\n");
  SftOptions o = options_of(folder, 4);
  const SftDataset truncated({path}, kChat, o);
  CHECK_THAT(truncated.describe(), ContainsSubstring("1 too long and truncated, 1 too long and dropped; packed into 2 + 0 + 0"));
  o.long_examples = LongExamples::drop;
  CHECK_THAT(SftDataset({path}, kChat, o).describe(),
             ContainsSubstring("0 too long and truncated, 2 too long and dropped; packed into 1 + 0 + 0"));
  o.seq_length = 1;
  CHECK_THROWS_WITH(SftDataset({path}, kChat, o), ContainsSubstring("which make no sample"));
}

TEST_CASE("lines that are no examples are named by file and line", "[sft]") {
  const TemporaryFolder folder;
  const auto refuse = [&](const std::string& content, const std::string& message) {
    const std::string path = folder.file("bad.jsonl", content);
    CHECK_THROWS_WITH(SftDataset({path}, kChat, options_of(folder, 8)), ContainsSubstring(message));
    CHECK_THROWS_AS(SftDataset({path}, kChat, options_of(folder, 8)), InputError);
  };
  const std::string good = "{\"prompt\":\"a\",\"completion\":\"b\"}\n";
  refuse(good + "{\"prompt\":\"a\"}\n", "bad.jsonl:2: has no \"completion\"");
  refuse(good + good + "{\"prompt\":", "bad.jsonl:3: ");
  refuse(good + "{\"prompt\":\"\xff\",\"completion\":\"b\"}\n", "bad.jsonl:2: ");
  refuse(good + std::string(2000, 'x') + "\n", "bad.jsonl:2: is larger than 1000 bytes");
  refuse("", "0 of 0 examples for training");
}

TEST_CASE("text through a tokenizer is made into a pair once, and again when the file changes", "[sft]") {
  const TemporaryFolder folder;
  DataSource source;
  source.kind = DataKind::jsonl;
  source.path = folder.file("x.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"\"}\n{\"text\":\"de\"}\n");
  source.files = {source.path};
  const TokenizedOptions options{"text", 1000, 256, {folder.path("cache"), false}};
  const std::string prefix = tokenized_pair(source, kChat, options);
  const IndexedReader reader(prefix);
  REQUIRE(reader.num_documents() == 2);  // an empty text is none
  CHECK(empty_texts_of(prefix) == 1);
  std::vector<int32_t> tokens(4);
  reader.read(0, 0, 4, tokens.data());
  CHECK(tokens == std::vector<int32_t>{'a', 'b', 'c', 256});
  const int calls = kChat.calls;
  CHECK(tokenized_pair(source, kChat, options) == prefix);
  CHECK(kChat.calls == calls);
  folder.file("x.jsonl", "{\"text\":\"abcd\"}\n");
  const std::string other = tokenized_pair(source, kChat, options);
  CHECK(other != prefix);
  CHECK(IndexedReader(other).num_tokens() == 5);
  folder.file("x.jsonl", "{\"txt\":\"abcd\"}\n");
  CHECK_THROWS_WITH(tokenized_pair(source, kChat, options),
                    ContainsSubstring("x.jsonl:1: has no key \"text\"") && ContainsSubstring("dataset.json_key"));
  folder.file("file", "");
  CHECK_THROWS_WITH(tokenized_pair(source, kChat, {"text", 1000, 256, {folder.path("file/cache"), false}}),
                    ContainsSubstring("name another folder as dataset.path_to_cache"));
}

TEST_CASE("tokens in the cache that are missing, cut or longer are made again", "[sft]") {
  const TemporaryFolder folder;
  DataSource source;
  source.kind = DataKind::jsonl;
  source.path = folder.file("x.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"de\"}\n");
  source.files = {source.path};
  const TokenizedOptions options{"text", 1000, 256, {folder.path("cache"), false}};
  const std::string examples =
      folder.file("y.jsonl", "{\"prompt\":\"ab\",\"completion\":\"c\"}\n{\"prompt\":\"d\",\"completion\":\"ef\"}\n");
  const auto pair_tokens = [&] { return IndexedReader(tokenized_pair(source, kChat, options)).num_tokens(); };
  const auto sft_samples = [&] { return SftDataset({examples}, kChat, options_of(folder, 8)).num_samples(Split::train); };
  const int64_t tokens = pair_tokens(), samples = sft_samples();
  CHECK(tokens == 7);
  std::vector<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
    if (entry.path().extension() == ".bin" || entry.path().extension() == ".idx" || entry.path().string().ends_with(".source.json"))
      paths.push_back(entry.path().string());
  CHECK(paths.size() == 2 + 4 + 2);
  for (const std::string& path : paths) {
    INFO(path);
    const std::string good = read_text_file(path);
    const auto is_made_again = [&] {
      const int calls = kChat.calls;
      CHECK(pair_tokens() == tokens);
      CHECK(sft_samples() == samples);
      CHECK(read_text_file(path) == good);
      return kChat.calls > calls;
    };
    CHECK_FALSE(is_made_again());
    fs::remove(path);
    CHECK(is_made_again());
    for (const size_t size : {size_t{0}, good.size() - 3}) {
      fs::resize_file(path, size);
      CHECK(is_made_again());
    }
    if (path.ends_with(".json")) continue;
    fs::resize_file(path, good.size() + 4);
    CHECK(is_made_again());
  }
  for (const std::string& path : paths) {
    if (!path.ends_with(".json")) continue;
    for (const char* sizes : {R"("x")", R"({".bin": "7"})", R"([1])", "-1", "{}"}) {
      const std::string good = read_text_file(path);
      nlohmann::json changed = nlohmann::json::parse(good);
      changed["sizes"] = nlohmann::json::parse(sizes);
      folder.file(fs::relative(path, folder.path()).string(), changed.dump());
      CHECK(pair_tokens() == tokens);
      CHECK(sft_samples() == samples);
      CHECK(read_text_file(path) == good);
    }
  }
}

TEST_CASE("from the config: JSON Lines as bytes, and packed examples with their masks", "[sft]") {
  const TemporaryFolder folder;
  DatasetConfig config;
  config.split = "1,0,0";
  config.path = folder.file("x.jsonl", "{\"text\":\"abcdefgh\"}\n{\"text\":\"ijklmnop\"}\n");
  CHECK(make_dataset_of(config, 4, 1)->num_samples(Split::train) >= 4);
  std::filesystem::create_directory(folder.path("texts"));
  folder.file("texts/a.txt", "abcdefghijklmnopqrstuvwxyz");
  for (const char* ending : {"", "/"}) {  // as a shell completes it
    config.path = folder.path("texts") + ending;
    CHECK(make_dataset_of(config, 4, 1)->num_samples(Split::train) >= 4);
  }
  config.kind = DatasetKind::sft;
  config.path = folder.file("y.jsonl", "{\"prompt\":\"ab\",\"completion\":\"c\"}\n{\"prompt\":\"d\",\"completion\":\"ef\"}\n");
  const std::string completions = config.path;
  config.path = folder.file("z.jsonl", R"({"messages":[{"role":"assistant","content":"x"}]})");
  CHECK_THROWS_WITH(make_dataset_of(config, 10, 1),
                    ContainsSubstring("z.jsonl:1: dataset.chat_template chatml needs the token <|im_start|>"));
  config.path = completions;
  CHECK_THROWS_WITH(make_dataset_of(config, 10, 1), ContainsSubstring("set dataset.eod_token_id"));
  config.eod_token_id = 0;
  const auto data = make_dataset_of(config, 10, 1);
  const Batch batch = BatchLoader(*data, Split::train, 1, 1).get(0);
  CHECK(batch.document_start == std::vector<int32_t>{0, 0, 0, 0, 4, 4, 4, 4, 8, 9});
  CHECK(batch.positions == std::vector<int32_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 0});
}

}  // namespace mbt::test::sft_test
