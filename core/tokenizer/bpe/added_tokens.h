// Tokens that are found in the text as they are, before anything is split: "added_tokens" of a tokenizer.json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/function_ref.h"
#include "core/tokenizer/unicode/normalizer.h"

namespace mbt {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  ///< not found beside a word character
  bool lstrip = false;       ///< takes in white space before
  bool rstrip = false;       ///< and behind
  bool normalized = false;   ///< is found after the text is normalized, in its own normalized form
  bool special = false;      ///< left out when decoding
};

/// The section, in its order. InputError: a field missing or of another type, or contents that come twice.
std::vector<AddedToken> read_added_tokens(const nlohmann::json& section, const std::string& where);

/// Finds the longest of some strings at each place, leftmost first.
class TokenFinder {
 public:
  TokenFinder() : nodes_(1) {}
  /// The first of equal contents counts. `token` is what matches() hands on.
  void add(std::string_view content, uint32_t token);
  bool is_empty() const { return nodes_.size() == 1; }

  struct Match {
    size_t begin, end;
    uint32_t token;
  };
  /// The leftmost match at or after `from`, the longest of those.
  std::optional<Match> find(std::string_view text, size_t from) const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Node {
    std::vector<std::pair<unsigned char, uint32_t>> children;
    uint32_t token = kNone;
  };
  uint32_t child(uint32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;
  bool can_begin_[256] = {};
};

/// Cuts texts at added tokens.
class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  using TextSink = FunctionRef<void(std::string_view)>;
  using TokenSink = FunctionRef<void(int32_t)>;
  /// Everything in order: tokens by their ids, what is between them normalized.
  void split(std::string_view text, const Normalizer& normalizer, TextSink on_text, TokenSink on_token) const;
  bool take_white_space(int32_t id) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  void cut(const TokenFinder& finder, std::string_view text, TextSink on_text, TokenSink on_token) const;

  std::vector<AddedToken> tokens_;
  TokenFinder in_text_, in_normalized_;
};

}  // namespace mbt
