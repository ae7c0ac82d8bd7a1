// Byte-level BPE from a Hugging Face tokenizer.json (GPT-2, Llama 3, Qwen, ...), token for token as the `tokenizers` package.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/tokenizer/bpe/added_tokens.h"
#include "core/tokenizer/bpe/bpe.h"
#include "core/tokenizer/bpe/hf_tokenizer_file.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {

class HfTokenizer : public Tokenizer {
 public:
  explicit HfTokenizer(HfTokenizerParts parts);

  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  void encode(std::string_view text, std::vector<int32_t>& ids, bool add_special_tokens = false) const override;
  void encode_content(std::string_view text, std::vector<int32_t>& ids, bool = false) const override {
    encode_parts(added_to_content_, text, ids);
  }
  std::string decode_bytes(std::span<const int32_t> ids, bool skip_special_tokens = true) const override;
  std::optional<int32_t> token_id(std::string_view name) const override;
  bool takes_white_space(int32_t id) const override { return added_.take_white_space(id); }
  TokenizerType type() const override { return TokenizerType::hugging_face; }
  std::string describe() const override;
  uint64_t fingerprint() const override { return parts_.fingerprint; }

 private:
  struct Token {
    std::string bytes;
    bool is_there = false, is_special = false;
  };
  Bpe make_bpe() const;
  void encode_parts(const AddedTokens& added, std::string_view text, std::vector<int32_t>& ids) const;
  void set_token(const std::string& name, int32_t id);
  std::unique_ptr<PieceCache> take_cache() const;

  HfTokenizerParts parts_;
  AddedTokens added_, added_to_content_;  ///< the latter without special ones
  Bpe bpe_;
  std::vector<Token> tokens_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<PieceCache>> caches_;  ///< those not in use
};

}  // namespace mbt
