#include "core/tokenizer/bpe/added_tokens.h"

#include <algorithm>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/tokenizer/bpe/json_fields.h"
#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

bool has(std::string_view text, size_t at, int bit) { return (char_table().bits[code_point_at(text, at)] & bit) != 0; }

size_t space_before(std::string_view text, size_t at) {
  while (at > 0 && has(text, previous_start(text, at), kIsSpace)) at = previous_start(text, at);
  return at;
}

size_t space_behind(std::string_view text, size_t at) {
  while (at < text.size() && has(text, at, kIsSpace)) next_code_point(text, at);
  return at;
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const nlohmann::json& section, const std::string& where) {
  if (!section.is_array()) throw InputError(fmt::format("{}: {}; expected an array", where, shown_json(section)));
  std::vector<AddedToken> tokens;
  std::unordered_map<std::string, size_t> seen;
  for (size_t i = 0; i < section.size(); ++i) {
    JsonFields fields(section[i], fmt::format("{}[{}]", where, i));
    AddedToken t;
    t.content = fields.string("content");
    const int64_t id = fields.integer("id");
    if (id < 0 || id > INT32_MAX) fields.refuse("id", fmt::format("{}; expected 0 to {}", id, INT32_MAX));
    t.id = static_cast<int32_t>(id);
    t.single_word = fields.flag("single_word", false);
    t.lstrip = fields.flag("lstrip", false);
    t.rstrip = fields.flag("rstrip", false);
    t.special = fields.flag("special", false);
    t.normalized = fields.flag("normalized", !t.special);
    fields.refuse_others();
    if (t.content.empty()) fields.refuse("content", "is empty");
    const auto [other, is_new] = seen.emplace(t.content, i);
    if (!is_new)
      fields.refuse("content", fmt::format("{} is that of {}[{}] too; keep one of them", shown(t.content), where, other->second));
    tokens.push_back(std::move(t));
  }
  return tokens;
}

uint32_t TokenFinder::child(uint32_t node, unsigned char byte) const {
  for (const auto& [b, to] : nodes_[node].children)
    if (b == byte) return to;
  return kNone;
}

void TokenFinder::add(std::string_view content, uint32_t token) {
  if (content.empty()) return;
  can_begin_[static_cast<unsigned char>(content[0])] = true;
  uint32_t node = 0;
  for (const char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t to = child(node, byte);
    if (to == kNone) {
      to = static_cast<uint32_t>(nodes_.size());
      nodes_[node].children.emplace_back(byte, to);
      nodes_.emplace_back();
    }
    node = to;
  }
  if (nodes_[node].token == kNone) nodes_[node].token = token;
}

std::optional<TokenFinder::Match> TokenFinder::find(std::string_view text, size_t from) const {
  if (is_empty()) return std::nullopt;
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!can_begin_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Match> longest;
    uint32_t node = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      node = child(node, static_cast<unsigned char>(text[at]));
      if (node == kNone) break;
      if (nodes_[node].token != kNone) longest = Match{begin, at + 1, nodes_[node].token};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& t = tokens_[i];
    if (t.normalized) in_normalized_.add(normalizer.apply(t.content), static_cast<uint32_t>(i));
    else in_text_.add(t.content, static_cast<uint32_t>(i));
  }
}

void AddedTokens::cut(const TokenFinder& finder, std::string_view text, TextSink on_text, TokenSink on_token) const {
  size_t done = 0, from = 0;
  while (const auto match = finder.find(text, from)) {
    from = match->end;
    const AddedToken& token = tokens_[match->token];
    size_t begin = match->begin, end = match->end;
    if (token.single_word) {
      const bool word_before = begin > 0 && has(text, previous_start(text, begin), kIsWord);
      const bool word_behind = end < text.size() && has(text, end, kIsWord);
      if (word_before || word_behind) continue;
    }
    if (token.lstrip) begin = std::max(space_before(text, begin), done);
    if (token.rstrip) end = space_behind(text, end);
    if (done < begin) on_text(text.substr(done, begin - done));
    if (begin < end) on_token(token.id);  // else a token before has taken all of it in
    done = end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

bool AddedTokens::take_white_space(int32_t id) const {
  return std::any_of(tokens_.begin(), tokens_.end(), [&](const AddedToken& t) { return t.id == id && (t.lstrip || t.rstrip); });
}

void AddedTokens::split(std::string_view text, const Normalizer& normalizer, TextSink on_text, TokenSink on_token) const {
  cut(
      in_text_, text,
      [&](std::string_view part) {
        if (normalizer.is_empty()) return cut(in_normalized_, part, on_text, on_token);
        cut(in_normalized_, normalizer.apply(part), on_text, on_token);
      },
      on_token);
}

}  // namespace mbt
