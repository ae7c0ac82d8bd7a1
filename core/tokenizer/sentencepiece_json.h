// A tokenizer.json that says what the tokenizer.model beside it says, in the words of the `tokenizers` package (Llama 2, Mistral).
#pragma once

#include <string>

#include "core/tokenizer/sentencepiece_tokenizer.h"

namespace mbt {

/// Whether it is of that kind: BPE over characters with bytes as a fallback. false also when it is none at all.
bool is_sentencepiece_json(const std::string& content, const std::string& source);

/// How texts are treated, with the tokens that it adds; the pieces are the model's. InputError: it is no translation of `model`, or has
/// settings that are not done here.
SentencePieceRules read_sentencepiece_json(const std::string& content, const std::string& source, const std::string& model,
                                           const TokenizerSettings& settings);

}  // namespace mbt
