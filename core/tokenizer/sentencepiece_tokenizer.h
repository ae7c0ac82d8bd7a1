// SentencePiece models (Llama 2, Mistral, Gemma: tokenizer.model), by the library where the build has it.
#pragma once

#include <memory>
#include <string>

#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// Which special tokens add_special_tokens adds. The model file does not say; Llama 2 and Mistral have the first alone.
struct SentencePieceAdds {
  bool bos = true, eos = false;
};

/// `content` is that of the file `source`. InputError: no model of SentencePiece, or a build without the library.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::string& content, const std::string& source,
                                                        const SentencePieceAdds& adds);

}  // namespace mbt
