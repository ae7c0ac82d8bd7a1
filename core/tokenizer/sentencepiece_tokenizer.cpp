#include "core/tokenizer/sentencepiece_tokenizer.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"
#include "core/tokenizer/sentencepiece_model.h"
#include "core/tokenizer/unicode/unicode.h"

#if MBT_HAVE_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

namespace mbt {

SentencePieceRules sentencepiece_rules(const TokenizerSettings& settings) {
  const std::string& name = settings.class_name;
  const bool no_blank = settings.add_prefix_space == false;
  if (name == "LlamaTokenizer" || name == "CodeLlamaTokenizer") {
    if (no_blank) return {.blank = DummyBlank::never, .added = {}};
    return {.blank = settings.legacy.value_or(false) ? DummyBlank::each : DummyBlank::first, .added = {}};
  }
  if (name == "GemmaTokenizer") return {.blank = DummyBlank::never, .added = {}};
  if (name.empty() || name == "PreTrainedTokenizerFast" || name == "TokenizersBackend") {
    if (settings.add_prefix_space)
      throw InputError(settings.prefix_where +
                       ": counts only with a tokenizer_class that is not given; expected \"LlamaTokenizer\" beside it");
    return {.blank = settings.legacy.value_or(true) ? DummyBlank::by_model : DummyBlank::by_model_first, .added = {}};
  }
  throw InputError(
      fmt::format("{}: {}, whose tokens may be others than those of tokenizer.model; expected LlamaTokenizer, CodeLlamaTokenizer or "
                  "GemmaTokenizer. For "
                  "the model's own tokens move tokenizer.model to a folder of its own",
                  settings.class_where, shown(name)));
}

#if MBT_HAVE_SENTENCEPIECE
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kPieceBlank = "\xE2\x96\x81";  // as pieces write it

/// Special pieces are found in the text as they are, before all else; and user-defined ones, unless they are left to the library.
std::vector<AddedToken> found_pieces(const SentencePieceFacts& facts, bool with_user_defined) {
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < facts.pieces.size(); ++i) {
    const auto& [text, kind] = facts.pieces[i];
    const bool is_special = kind == PieceKind::control || kind == PieceKind::unknown;
    if (!is_special && !(with_user_defined && kind == PieceKind::user_defined)) continue;
    tokens.emplace_back();
    tokens.back().content = text;
    tokens.back().id = static_cast<int32_t>(i);
    tokens.back().special = is_special;
  }
  return tokens;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& content, const std::string& source, const TokenizerSettings& settings,
                         const SentencePieceRules& rules)
      : source_(source), blank_(rules.blank), add_bos_(settings.add_bos), add_eos_(settings.add_eos) {
    const std::optional<SentencePieceFacts> facts = read_sentencepiece_facts(content);
    if (!facts || !plain_.LoadFromSerializedProto(without_dummy_prefix(content, false)).ok() ||
        (normalizes() &&
         !(own_.LoadFromSerializedProto(content).ok() &&
           own_inside_.LoadFromSerializedProto(without_dummy_prefix(content, true)).ok())))  // its words are about its sources
      throw InputError(fmt::format("{}: {} bytes that begin with {}, expected a SentencePiece model or a tokenizer.json", source_,
                                   content.size(), shown(content, 20)));
    strips_blank_ = normalizes() ? facts->add_dummy_prefix : blank_ != DummyBlank::never;
    keeps_blanks_ = !facts->remove_extra_whitespaces;
    set_added(*facts, settings, rules);
    fingerprint_ =
        xxhash64(fmt::format("{};{};{}", hash_text(xxhash64(content)), static_cast<int>(blank_), added_tokens_text(added_.tokens())));
    SpecialIds ids;
    const auto known = [](int id) { return id >= 0 ? std::optional<int32_t>(id) : std::nullopt; };
    ids.bos = known(plain_.bos_id());
    ids.eos = known(plain_.eos_id());
    ids.eod = ids.eos;
    set_special_ids(ids);
  }

  int64_t vocab_size() const override { return vocab_size_; }

  void encode(std::string_view text, std::vector<int32_t>& ids, bool add_special_tokens) const override {
    if (add_special_tokens && add_bos_ && bos_id()) ids.push_back(*bos_id());
    encode_parts(added_, text, false, ids);
    if (add_special_tokens && add_eos_ && eos_id()) ids.push_back(*eos_id());
  }

  void encode_content(std::string_view text, std::vector<int32_t>& ids, bool goes_on) const override {
    encode_parts(added_to_content_, text, goes_on, ids);
  }

  std::string decode_bytes(std::span<const int32_t> ids, bool skip_special_tokens) const override {
    std::string out;
    std::vector<int> pieces;
    const auto flush = [&] {
      std::string text;
      if (!pieces.empty()) check(plain_.Decode(pieces, &text), "cannot decode");
      pieces.clear();
      out += text;
    };
    for (const int32_t id : ids) {
      const auto added = by_id_.find(id);
      if (id < 0 || (id >= plain_.GetPieceSize() && added == by_id_.end()))
        throw InputError(fmt::format("token {} is none of {}, which has {}", id, source_, vocab_size_));
      const bool is_special = added != by_id_.end() && added->second->special;
      if (is_special && skip_special_tokens) continue;
      if (id < plain_.GetPieceSize() && !is_special) {
        pieces.push_back(id);
        continue;
      }
      flush();
      out += added->second->content;
    }
    flush();
    if (strips_blank_ && out.starts_with(' ')) out.erase(0, 1);
    return out;
  }

  std::optional<int32_t> token_id(std::string_view name) const override {
    for (const AddedToken& t : added_.tokens())
      if (t.content == name) return t.id;
    return piece_id(name);
  }
  bool takes_white_space(int32_t id) const override { return added_.take_white_space(id); }
  TokenizerType type() const override { return TokenizerType::sentencepiece; }
  std::string describe() const override {
    const int64_t more = vocab_size_ - plain_.GetPieceSize();
    return fmt::format("SentencePiece {}: {} tokens{}", source_, vocab_size_,
                       more > 0 ? fmt::format(", {} of them by the files beside it", more) : "");
  }
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  bool normalizes() const { return blank_ == DummyBlank::by_model || blank_ == DummyBlank::by_model_first; }

  void check(const sentencepiece::util::Status& status, const char* what) const {
    if (!status.ok()) throw InputError(fmt::format("{}: {}: {}", source_, what, status.ToString()));
  }

  std::optional<int32_t> piece_id(std::string_view name) const {
    const int id = plain_.PieceToId({name.data(), name.size()});
    return plain_.IdToPiece(id) == name ? std::optional<int32_t>(id) : std::nullopt;  // a name that is no piece gives the unknown token
  }

  void set_added(const SentencePieceFacts& facts, const TokenizerSettings& settings, const SentencePieceRules& rules) {
    TokenizerSettings named = settings;
    for (const AddedToken& t : rules.added) {  // its flags, and the ids that it gives the others
      NamedToken token{.token = t, .id = t.id, .sets_flags = true, .where = source_ + ": tokenizer.json's added_tokens"};
      named.tokens.insert(named.tokens.begin() + (&t - rules.added.data()), std::move(token));
    }
    std::vector<AddedToken> tokens = found_pieces(facts, !normalizes()), in_content;
    add_named_tokens(
        named, plain_.GetPieceSize(), [&](const std::string& name) { return piece_id(name); }, tokens);
    vocab_size_ = plain_.GetPieceSize();
    for (const AddedToken& t : tokens) {
      vocab_size_ = std::max(vocab_size_, int64_t{t.id} + 1);
      if (!t.special) in_content.push_back(t);
      else if (static_cast<size_t>(t.id) < facts.pieces.size() && facts.pieces[static_cast<size_t>(t.id)].kind == PieceKind::user_defined)
        user_defined_special_.add(t.content, 0);
    }
    added_ = AddedTokens(std::move(tokens), Normalizer());
    added_to_content_ = AddedTokens(std::move(in_content), Normalizer());
    for (const AddedToken& t : added_.tokens()) by_id_[t.id] = &t;
  }

  enum class Place { first, behind_token, inside };  ///< of a part: in its text, or where a text goes on after a template's token

  void encode_parts(const AddedTokens& added, std::string_view text, bool goes_on, std::vector<int32_t>& ids) const {
    const size_t wrong = find_invalid_utf8(text);
    if (wrong != std::string_view::npos)
      throw InputError(fmt::format("text to tokenize: byte {} of {} is not UTF-8: {}", wrong, text.size(), shown(text.substr(wrong, 4))));
    added.split(
        text, Normalizer(),
        [&](std::string_view part) {
          const bool is_at_begin = part.data() == text.data();
          const Place place = !is_at_begin ? Place::behind_token : goes_on ? Place::inside : Place::first;
          if (&added == &added_) encode_part(part, place, ids);
          else encode_letters(part, place, ids);
        },
        [&](int32_t id) { ids.push_back(id); });
  }

  /// The library finds user-defined pieces by itself; a special one must be letters, so its first is encoded apart from the others.
  void encode_letters(std::string_view part, Place place, std::vector<int32_t>& ids) const {
    size_t done = 0;
    while (const auto match = user_defined_special_.find(part, done)) {
      size_t end = match->begin;
      next_code_point(part, end);
      if (done == 0) encode_part(part.substr(0, end), place, ids);
      else run(plain_, part.substr(done, end - done), ids);
      done = end;
    }
    if (done == 0) encode_part(part, place, ids);
    else run(plain_, part.substr(done), ids);
  }

  void encode_part(std::string_view part, Place place, std::vector<int32_t>& ids) const {
    if (part.empty()) return;
    const bool begins_with_blank = part[0] == ' ' || part.starts_with(kPieceBlank);
    const auto with_blank = [&] { run(plain_, " " + std::string(part), ids); };
    switch (blank_) {
      case DummyBlank::by_model: return run(place == Place::inside ? own_inside_ : own_, part, ids);
      case DummyBlank::by_model_first:
        return run(place == Place::first && !(keeps_blanks_ && begins_with_blank) ? own_ : own_inside_, part, ids);
      case DummyBlank::never: break;
      case DummyBlank::first:
        if (place == Place::first && !begins_with_blank) return with_blank();
        break;
      case DummyBlank::each:
        if (!begins_with_blank) return with_blank();
        break;
      case DummyBlank::each_always: return with_blank();
    }
    run(plain_, part, ids);
  }

  void run(const SentencePieceProcessor& model, std::string_view text, std::vector<int32_t>& ids) const {
    std::vector<int> found;
    check(model.Encode({text.data(), text.size()}, &found), "cannot encode a text");
    ids.insert(ids.end(), found.begin(), found.end());
  }

  SentencePieceProcessor plain_;             ///< changes nothing in a text
  SentencePieceProcessor own_, own_inside_;  ///< as the model is, and without its blank; loaded where the rules ask for them
  std::string source_;
  uint64_t fingerprint_ = 0;
  int64_t vocab_size_ = 0;
  DummyBlank blank_;
  bool add_bos_, add_eos_, strips_blank_ = false, keeps_blanks_ = false;
  AddedTokens added_, added_to_content_;        ///< the latter without special ones
  std::map<int32_t, const AddedToken*> by_id_;  ///< of added_
  TokenFinder user_defined_special_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::string& content, const std::string& source,
                                                        const TokenizerSettings& settings, const SentencePieceRules& rules) {
  return std::make_unique<SentencePieceTokenizer>(content, source, settings, rules);
}
#else
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::string&, const std::string& source, const TokenizerSettings&,
                                                        const SentencePieceRules&) {
  throw InputError(
      source +
      ": is no tokenizer.json, and this build is without SentencePiece; install libsentencepiece-dev (scripts/setup.sh does) and "
      "build with -DMBT_SENTENCEPIECE=ON");
}
#endif

}  // namespace mbt
