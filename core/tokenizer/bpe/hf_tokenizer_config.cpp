#include "core/tokenizer/bpe/hf_tokenizer_config.h"

#include <array>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/tokenizer/sentencepiece_tokenizer.h"

namespace mbt {
namespace {

std::optional<std::string> name_of(const Tokenizer& tokenizer, int32_t id) {
  std::string as_text = tokenizer.decode_bytes(std::array{id}, false);
  return tokenizer.token_id(as_text) == id ? std::optional(std::move(as_text)) : std::nullopt;
}

}  // namespace

std::string tokenizer_config_text(const Tokenizer& tokenizer, int64_t longest, bool is_vocab_and_merges) {
  const bool is_sentencepiece = tokenizer.type() == TokenizerType::sentencepiece;
  const char* const of_json = is_vocab_and_merges ? "GPT2Tokenizer" : "PreTrainedTokenizerFast";
  nlohmann::ordered_json j{{"tokenizer_class", is_sentencepiece ? "LlamaTokenizer" : of_json},
                           {"model_max_length", longest},
                           {"clean_up_tokenization_spaces", false}};
  const auto add = [&](const char* key, std::optional<int32_t> id) {
    if (const auto name = id ? name_of(tokenizer, *id) : std::nullopt) j[key] = *name;
  };
  add("bos_token", tokenizer.bos_id());
  add("eos_token", tokenizer.eos_id());
  if (is_sentencepiece) {
    add("unk_token", tokenizer.token_id("<unk>"));
    j["add_bos_token"] = TokenizerSettings{}.add_bos;
    j["add_eos_token"] = TokenizerSettings{}.add_eos;
    j["legacy"] = true;  // a blank before each part of a text, as the model by itself puts it
  }
  return json_text(j, {.indent = 2}) + "\n";
}

}  // namespace mbt
