// Trains a SentencePiece model on texts, with the library where the build has it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mbt {

/// Named as spm_train's options; the defaults are those of Llama 2's tokenizer.
struct SentencePieceTraining {
  int64_t vocab_size = 32000;
  std::string model_type = "bpe";      ///< bpe, unigram, char or word
  double character_coverage = 0.9995;  ///< share of the characters of the texts that get a piece; the others are made of bytes
  bool byte_fallback = true;
  bool split_digits = true;
  std::string normalization_rule_name = "identity";  ///< identity, nfkc, nmt_nfkc, nfkc_cf, nmt_nfkc_cf
  std::vector<std::string> user_defined_symbols = {};
  int64_t input_sentence_size = 5'000'000;  ///< lines that are kept in memory, chosen at random from all; 0: all
  int64_t max_sentence_length = 16384;      ///< longer lines are left out, bytes
  int num_threads = 1;
  bool log = false;  ///< the library's own messages on stderr
};

/// The content of a model file. `next_line` gives the texts line by line, nothing after the last. InputError: what the library refuses (too
/// little text for the vocabulary, ...), or a build without it. Exceptions of next_line pass through.
std::string train_sentencepiece(const SentencePieceTraining& training, const std::function<std::optional<std::string>()>& next_line);

}  // namespace mbt
