// Whether two tokenizers have the same tokens under the same ids.
#pragma once

#include <string>

#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// The first difference, in words: sizes, or a token that is another text; empty: the same vocabulary. How text is cut into tokens is not
/// compared (Tokenizer::fingerprint does).
std::string vocabulary_difference(const Tokenizer& one, const Tokenizer& other);

}  // namespace mbt
