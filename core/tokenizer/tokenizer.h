// Text to tokens and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/tokenizer_config.h"

namespace mbt {

/// Tokens with a meaning of their own; absent where the tokenizer has none.
struct SpecialIds {
  std::optional<int32_t> bos;  ///< begins a text
  std::optional<int32_t> eos;  ///< ends an answer
  std::optional<int32_t> eod;  ///< between documents of training data
};

/// Made by make_tokenizer or open_tokenizer (open_tokenizer.h); any number of threads may use one at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// One more than the largest id.
  virtual int64_t vocab_size() const = 0;
  /// Appends the tokens of `text`, with add_special_tokens those that the tokenizer puts around a text too. InputError: the text is not
  /// UTF-8 (any bytes are good for `bytes`).
  virtual void encode(std::string_view text, std::vector<int32_t>& ids, bool add_special_tokens = false) const = 0;
  /// The same without special tokens: their names in the text are encoded as plain text. For untrusted text, which must not begin or end a
  /// turn of a conversation. goes_on: other tokens stand before the text, which so gets nothing that only a beginning gets.
  virtual void encode_content(std::string_view text, std::vector<int32_t>& ids, bool /*goes_on*/ = false) const { encode(text, ids); }
  /// The bytes that the tokens stand for; the end may be within a character. InputError: an id that is none of the vocabulary's.
  virtual std::string decode_bytes(std::span<const int32_t> ids, bool skip_special_tokens = true) const = 0;
  /// The same as text: what is not UTF-8 becomes U+FFFD.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;
  /// The id of a token by its name in the vocabulary ("<|endoftext|>"), if there is one.
  virtual std::optional<int32_t> token_id(std::string_view name) const = 0;

  /// Whether the token, found in a text, takes in the white space before or behind it (lstrip, rstrip).
  virtual bool takes_white_space(int32_t /*id*/) const { return false; }

  std::optional<int32_t> bos_id() const { return special_.bos; }
  std::optional<int32_t> eos_id() const { return special_.eos; }
  std::optional<int32_t> eod_id() const { return special_.eod; }
  void set_special_ids(const SpecialIds& ids) { special_ = ids; }

  /// As tokenizer.tokenizer_type calls it.
  virtual TokenizerType type() const = 0;
  /// One line for people: kind, vocabulary, where it is from.
  virtual std::string describe() const = 0;
  /// XXH64 of all that determines the tokens: equal for equal tokenizers, on every machine.
  virtual uint64_t fingerprint() const = 0;

 private:
  SpecialIds special_;
};

/// 256 tokens, one a byte.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

/// As the section "tokenizer" of a run config says. InputError: as open_tokenizer; a type and a file that do not go together.
std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerConfig& config);

}  // namespace mbt
