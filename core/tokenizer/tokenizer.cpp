#include "core/tokenizer/tokenizer.h"

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  int64_t vocab_size() const override { return 256; }
  void encode(std::string_view text, std::vector<int32_t>& ids, bool) const override {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  }
  std::string decode_bytes(std::span<const int32_t> ids, bool) const override {
    std::string out;
    for (const int32_t id : ids) {
      if (id < 0 || id > 255) throw InputError(fmt::format("token {} is no byte; expected 0 to 255", id));
      out += static_cast<char>(id);
    }
    return out;
  }
  std::optional<int32_t> token_id(std::string_view name) const override {
    return name.size() == 1 ? std::optional<int32_t>(static_cast<unsigned char>(name[0])) : std::nullopt;
  }
  TokenizerType type() const override { return TokenizerType::bytes; }
  std::string describe() const override { return "bytes: 256 tokens"; }
  uint64_t fingerprint() const override { return xxhash64("bytes"); }
};

}  // namespace

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return replace_invalid_utf8(decode_bytes(ids, skip_special_tokens));
}

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerConfig& config) {
  if (config.tokenizer_type == TokenizerType::bytes) {
    if (!config.tokenizer_model.empty()) {
      throw InputError(
          fmt::format("tokenizer.tokenizer_model is {}, but tokenizer.tokenizer_type is \"bytes\", which reads no file; expected "
                      "HuggingFaceTokenizer or SentencePieceTokenizer",
                      shown(config.tokenizer_model)));
    }
    if (!config.merge_file.empty())
      throw InputError(
          fmt::format("tokenizer.merge_file is {}, but tokenizer.tokenizer_type is \"bytes\", which reads no file; expected "
                      "HuggingFaceTokenizer and the vocabulary as tokenizer.tokenizer_model",
                      shown(config.merge_file)));
    return make_byte_tokenizer();
  }
  if (config.tokenizer_type == TokenizerType::none) {
    throw InputError(
        "tokenizer.tokenizer_type is none, as it is for a model whose Hugging Face folder has no tokenizer: text cannot become the tokens "
        "that the model knows. Name its tokenizer with --tokenizer-model FILE_OR_FOLDER; --tokenizer-type bytes reads text as bytes");
  }
  if (config.tokenizer_model.empty())
    throw InputError(
        fmt::format("tokenizer.tokenizer_type {} needs tokenizer.tokenizer_model, a file or a folder", name_of(config.tokenizer_type)));
  auto tokenizer = open_tokenizer(config.tokenizer_model, config.merge_file);
  if (config.tokenizer_type != tokenizer->type()) {
    throw InputError(fmt::format("tokenizer.tokenizer_model {} is a {}, but tokenizer.tokenizer_type is {}", shown(config.tokenizer_model),
                                 name_of(tokenizer->type()), name_of(config.tokenizer_type)));
  }
  return tokenizer;
}

}  // namespace mbt
