#include "core/tokenizer/bpe/hf_tokenizer.h"

#include <set>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/tokenizer/bpe/byte_letters.h"

namespace mbt {

namespace {

std::vector<AddedToken> without_special(std::vector<AddedToken> tokens) {
  std::erase_if(tokens, [](const AddedToken& t) { return t.special; });
  return tokens;
}

}  // namespace

HfTokenizer::HfTokenizer(HfTokenizerParts parts)
    : parts_(std::move(parts)),
      added_(parts_.added, parts_.normalizer),
      added_to_content_(without_special(parts_.added), parts_.normalizer),
      bpe_(make_bpe()) {
  for (const auto& [name, id] : parts_.vocab) set_token(name, id);
  std::set<std::string> special;
  for (const AddedToken& t : parts_.added)
    if (t.special) special.insert(t.content);
  for (const AddedToken& t : parts_.added) {
    // The package decodes a normalized token to its normalized form, and leaves out what then still has the name of a special token.
    const std::string name = t.normalized ? parts_.normalizer.apply(t.content) : t.content;
    set_token(name, t.id);
    tokens_[static_cast<size_t>(t.id)].is_special = special.count(name) > 0;
  }
}

Bpe HfTokenizer::make_bpe() const {
  std::vector<std::pair<std::string, int32_t>> tokens;
  for (const auto& [name, id] : parts_.vocab)
    if (auto bytes = bytes_of_letters(name)) tokens.emplace_back(std::move(*bytes), id);
  return Bpe(tokens, parts_.merges, parts_.options);
}

/// What the ByteLevel decoder makes of a token: its bytes when all its characters are letters of bytes, else the characters themselves.
void HfTokenizer::set_token(const std::string& name, int32_t id) {
  if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(static_cast<size_t>(id) + 1);
  Token& token = tokens_[static_cast<size_t>(id)];
  token.is_there = true;
  token.bytes = bytes_of_letters(name).value_or(name);
}

std::unique_ptr<PieceCache> HfTokenizer::take_cache() const {
  const std::lock_guard lock(mutex_);
  if (caches_.empty()) return std::make_unique<PieceCache>();
  auto cache = std::move(caches_.back());
  caches_.pop_back();
  return cache;
}

void HfTokenizer::encode(std::string_view text, std::vector<int32_t>& ids, bool add_special_tokens) const {
  if (add_special_tokens) ids.insert(ids.end(), parts_.before.begin(), parts_.before.end());
  encode_parts(added_, text, ids);
  if (add_special_tokens) ids.insert(ids.end(), parts_.after.begin(), parts_.after.end());
}

void HfTokenizer::encode_parts(const AddedTokens& added, std::string_view text, std::vector<int32_t>& ids) const {
  const size_t wrong = find_invalid_utf8(text);
  if (wrong != std::string_view::npos) {
    throw InputError(fmt::format("text to tokenize: byte {} of {} is not UTF-8: {}", wrong, text.size(), shown(text.substr(wrong, 4))));
  }
  auto cache = take_cache();
  const auto on_piece = [&](std::string_view piece) { bpe_.encode(piece, *cache, ids); };
  added.split(
      text, parts_.normalizer, [&](std::string_view part) { parts_.pre_tokenizer->split(part, on_piece); },
      [&](int32_t id) { ids.push_back(id); });
  const std::lock_guard lock(mutex_);
  caches_.push_back(std::move(cache));
}

std::string HfTokenizer::decode_bytes(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::string out;
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= tokens_.size() || !tokens_[static_cast<size_t>(id)].is_there)
      throw InputError(fmt::format("token {} is none of {}, which has ids below {}", id, parts_.source, tokens_.size()));
    const Token& token = tokens_[static_cast<size_t>(id)];
    if (!token.is_special || !skip_special_tokens) out += token.bytes;
  }
  return out;
}

std::optional<int32_t> HfTokenizer::token_id(std::string_view name) const {
  for (const AddedToken& t : parts_.added)
    if (t.content == name) return t.id;
  const auto found = parts_.vocab.find(std::string(name));
  return found == parts_.vocab.end() ? std::nullopt : std::optional(found->second);
}

std::string HfTokenizer::describe() const {
  std::string result =
      fmt::format("byte-level BPE of {}: {} tokens, {} merges; split by ", parts_.source, tokens_.size(), parts_.merges.size());
  result += join(parts_.pre_tokenizer->description(), ", ");
  if (bpe_.missing_bytes() > 0 && parts_.options.unk_id < 0)
    result += fmt::format("; {} of 256 bytes have no token and are left out", bpe_.missing_bytes());
  return result;
}

}  // namespace mbt
