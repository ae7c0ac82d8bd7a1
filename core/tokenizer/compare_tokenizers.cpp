#include "core/tokenizer/compare_tokenizers.h"

#include <array>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

/// Twice: a blank that a decoder drops at the beginning is there the second time. nullopt: no token has this id.
std::optional<std::string> text_of(const Tokenizer& tokenizer, int32_t id) {
  const std::array<int32_t, 2> twice{id, id};
  try {
    return tokenizer.decode_bytes(twice, false);
  } catch (const InputError&) {
    return std::nullopt;
  }
}

std::string name_of_token(const Tokenizer& tokenizer, int32_t id) {
  const std::array<int32_t, 1> one{id};
  return text_of(tokenizer, id) ? shown(tokenizer.decode_bytes(one, false)) : "no token";
}

}  // namespace

std::string vocabulary_difference(const Tokenizer& one, const Tokenizer& other) {
  if (one.fingerprint() == other.fingerprint()) return "";
  if (one.vocab_size() != other.vocab_size()) return fmt::format("{} tokens there, {} here", one.vocab_size(), other.vocab_size());
  for (int32_t id = 0; id < one.vocab_size(); ++id)
    if (text_of(one, id) != text_of(other, id))
      return fmt::format("token {} is {} there, {} here", id, name_of_token(one, id), name_of_token(other, id));
  return "";
}

}  // namespace mbt
