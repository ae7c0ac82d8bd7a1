#include "core/tokenizer/sentencepiece_tokenizer.h"

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"
#include "core/tokenizer/unicode/unicode.h"

#if MBT_HAVE_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

namespace mbt {

#if MBT_HAVE_SENTENCEPIECE
namespace {

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& content, const std::string& source, const SentencePieceAdds& adds)
      : source_(source), fingerprint_(xxhash64(content)), adds_(adds) {
    if (!model_.LoadFromSerializedProto(content).ok())  // the library's words are about its own sources
      throw InputError(fmt::format("{}: {} bytes that begin with {}, expected a SentencePiece model or a tokenizer.json", source_,
                                   content.size(), shown(content, 20)));
    SpecialIds ids;
    const auto known = [](int id) { return id >= 0 ? std::optional<int32_t>(id) : std::nullopt; };
    ids.bos = known(model_.bos_id());
    ids.eos = known(model_.eos_id());
    ids.eod = ids.eos;
    set_special_ids(ids);
  }

  int64_t vocab_size() const override { return model_.GetPieceSize(); }

  void encode(std::string_view text, std::vector<int32_t>& ids, bool add_special_tokens) const override {
    const size_t wrong = find_invalid_utf8(text);
    if (wrong != std::string_view::npos)
      throw InputError(fmt::format("text to tokenize: byte {} of {} is not UTF-8: {}", wrong, text.size(), shown(text.substr(wrong, 4))));
    std::vector<int> found;
    check(model_.Encode({text.data(), text.size()}, &found), "cannot encode a text");
    if (add_special_tokens && adds_.bos && bos_id()) ids.push_back(*bos_id());
    ids.insert(ids.end(), found.begin(), found.end());
    if (add_special_tokens && adds_.eos && eos_id()) ids.push_back(*eos_id());
  }

  std::string decode_bytes(std::span<const int32_t> ids, bool skip_special_tokens) const override {
    std::vector<int> kept;
    for (const int32_t id : ids) {
      if (id < 0 || id >= model_.GetPieceSize())
        throw InputError(fmt::format("token {} is none of {}, which has {}", id, source_, model_.GetPieceSize()));
      if (!(skip_special_tokens && model_.IsControl(id))) kept.push_back(id);
    }
    std::string out;
    check(model_.Decode(kept, &out), "cannot decode");
    return out;
  }

  std::optional<int32_t> token_id(std::string_view name) const override {
    const int id = model_.PieceToId({name.data(), name.size()});
    return model_.IdToPiece(id) == name ? std::optional<int32_t>(id) : std::nullopt;  // a name that is no piece gives the unknown token
  }
  TokenizerType type() const override { return TokenizerType::sentencepiece; }
  std::string describe() const override { return fmt::format("SentencePiece {}: {} tokens", source_, vocab_size()); }
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  void check(const sentencepiece::util::Status& status, const char* what) const {
    if (!status.ok()) throw InputError(fmt::format("{}: {}: {}", source_, what, status.ToString()));
  }

  sentencepiece::SentencePieceProcessor model_;
  std::string source_;
  uint64_t fingerprint_;
  SentencePieceAdds adds_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::string& content, const std::string& source,
                                                        const SentencePieceAdds& adds) {
  return std::make_unique<SentencePieceTokenizer>(content, source, adds);
}
#else
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::string&, const std::string& source, const SentencePieceAdds&) {
  throw InputError(
      source +
      ": is no tokenizer.json, and this build is without SentencePiece; install libsentencepiece-dev (scripts/setup.sh does) and "
      "build with -DMBT_SENTENCEPIECE=ON");
}
#endif

}  // namespace mbt
