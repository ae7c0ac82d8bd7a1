// SentencePiece models (Llama 2, Mistral, Gemma: tokenizer.model), by the library where the build has it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/tokenizer/files_beside.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// A text is cut at special and added tokens. Each part between them may get a blank in front that is not in the text.
enum class DummyBlank : uint8_t {
  by_model,        ///< each part is a text to the library: the model's own normalization and blank (none where a text goes on)
  by_model_first,  ///< the same, with the blank before the first part of a text only
  never,           ///< from here on, text is not normalized, as LlamaTokenizer has it
  first,           ///< before the first part, unless it begins with a blank
  each,            ///< before each part, unless it begins with a blank
  each_always      ///< before each part
};

struct SentencePieceRules {
  DummyBlank blank = DummyBlank::by_model;
  std::vector<AddedToken> added;  ///< by a tokenizer.json
};

/// What transformers does for the class in tokenizer_config.json. InputError: a class that is not supported.
SentencePieceRules sentencepiece_rules(const TokenizerSettings& settings);

/// `content` is that of the file `source`. InputError: no model of SentencePiece, or a build without the library; ids in the settings
/// that are not those of the tokens.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::string& content, const std::string& source,
                                                        const TokenizerSettings& settings, const SentencePieceRules& rules);

}  // namespace mbt
