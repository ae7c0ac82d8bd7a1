// A tokenizer_config.json for a tokenizer that has none.
#pragma once

#include <cstdint>
#include <string>

#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// What transformers needs beside tokenizer.json or tokenizer.model to load them: the class, and which tokens begin and end texts.
/// is_vocab_and_merges: they are vocab.json and merges.txt. longest: tokens of the model's longest sequence.
std::string tokenizer_config_text(const Tokenizer& tokenizer, int64_t longest, bool is_vocab_and_merges = false);

}  // namespace mbt
