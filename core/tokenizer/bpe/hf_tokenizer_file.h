// Reads tokenizer.json, section by section. A setting that would change the tokens is either implemented or rejected with its JSON path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/tokenizer/bpe/added_tokens.h"
#include "core/tokenizer/bpe/bpe.h"
#include "core/tokenizer/pattern/pre_tokenizer.h"
#include "core/tokenizer/unicode/normalizer.h"

namespace mbt {

/// What a tokenizer.json says, read and checked.
struct HfTokenizerParts {
  std::string source;                              ///< path, for messages
  uint64_t fingerprint = 0;                        ///< of the file
  std::unordered_map<std::string, int32_t> vocab;  ///< of the model, as written
  std::vector<Bpe::Merge> merges;
  Bpe::Options options;
  std::vector<AddedToken> added;
  Normalizer normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::vector<int32_t> before, after;  ///< what the post-processor puts around a text
};

class JsonFields;
/// InputError: the file has every text cut to a length, or filled up to one.
void refuse_cutting(JsonFields& root);

/// InputError: as open_tokenizer (core/tokenizer/open_tokenizer.h); the text names the file and the field.
HfTokenizerParts parse_hf_tokenizer(std::string_view json, const std::string& source);

}  // namespace mbt
