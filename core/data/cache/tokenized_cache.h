// Text and JSON Lines as tokens: made once, kept in the cache as a Megatron pair, and memory mapped from then on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/function_ref.h"
#include "core/data/cache/index_cache.h"
#include "core/data/data_source.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// What a text becomes tokens by. Names, sizes and times of the files, all of this and the tokenizer's fingerprint make the key of the
/// pair.
struct TokenizedOptions {
  std::string json_key;
  int64_t max_document_bytes = 0;  ///< of a line of JSON Lines; larger texts are read in pieces
  std::optional<int32_t> eod;      ///< put behind each document
  CacheFolder cache;
};

/// The prefix under which `make(prefix)` puts Megatron pairs, PREFIX + each of `pairs`, unless they are there already, from the same files,
/// settings and tokenizer, and of the sizes in which they were made. One process makes them while others wait. InputError: a cache that
/// cannot be written; what `make` throws.
std::string cached_prefix(const std::vector<std::string>& files, const std::string& settings, const CacheFolder& cache,
                          const std::string& name, const std::vector<std::string>& pairs, FunctionRef<void(const std::string&)> make);

/// The prefix of the pair: a document for each file of text, or for each line of JSON Lines; behind each the end-of-document token.
std::string tokenized_pair(const DataSource& source, const Tokenizer& tokenizer, const TokenizedOptions& options);

}  // namespace mbt
