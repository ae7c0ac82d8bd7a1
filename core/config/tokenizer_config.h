// Section "tokenizer": text to tokens.
#pragma once

#include "core/base/fields.h"

namespace mbt {

enum class TokenizerType : uint8_t { bytes, hugging_face, sentencepiece, none };
template <>
struct EnumNames<TokenizerType> {
  using enum TokenizerType;
  static constexpr EnumName all[] = {
      {bytes, "bytes"}, {hugging_face, "HuggingFaceTokenizer"}, {sentencepiece, "SentencePieceTokenizer"}, {none, "none"}};
  static constexpr EnumName others[] = {{sentencepiece, "SentencePiece"},
                                        {sentencepiece, "GPTSentencePieceTokenizer"},
                                        {sentencepiece, "Llama2Tokenizer"},
                                        {hugging_face, "GPT2BPETokenizer"},
                                        {bytes, "NullTokenizer"}};
};

struct TokenizerConfig {
  TokenizerType tokenizer_type = TokenizerType::bytes;
  std::string tokenizer_model;
  std::string merge_file = {};

  bool operator==(const TokenizerConfig&) const = default;
  bool has_files() const { return tokenizer_type != TokenizerType::bytes && tokenizer_type != TokenizerType::none; }

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.tokenizer_type,
      FieldInfo{.name = "tokenizer_type",
                .doc = "bytes: one token per byte; HuggingFaceTokenizer: byte-level BPE of a tokenizer.json; SentencePieceTokenizer: a "
                       "SentencePiece model; none: text is rejected, only token files are read. Default: by tokenizer_model's file; a "
                       "model from a Hugging Face folder uses that folder's tokenizer, unless another is named"});
    v(s.tokenizer_model, FieldInfo{.name = "tokenizer_model",
                                   .doc = "The tokenizer's file, or a folder with a tokenizer.json or tokenizer.model; empty for bytes",
                                   .holds = Holds::path});
    v(s.merge_file, FieldInfo{.name = "merge_file",
                              .doc = "The merges, where tokenizer_model is GPT-2's vocabulary: vocab.json and merges.txt under any names",
                              .alias = kNoAlias,
                              .holds = Holds::path});
  }
};

}  // namespace mbt
