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

/// How text is tokenized. The key of a cached pair consists of these options, the tokenizer's fingerprint, and the names, sizes and times
/// of the files.
struct TokenizedOptions {
  std::string json_key;
  int64_t max_document_bytes = 0;  ///< of a line of JSON Lines; larger texts are read in pieces
  std::optional<int32_t> eod;      ///< put behind each document
  CacheFolder cache;
};

/// Returns the prefix of cached Megatron pairs, PREFIX + each of `pairs`. Calls `make(prefix)` to write them, unless they are already there
/// with the same files, settings, tokenizer and recorded sizes; it returns how many empty texts it left out. One process makes them while
/// the others wait. Throws InputError when the cache cannot be written, and whatever `make` throws.
std::string cached_prefix(const std::vector<std::string>& files, const std::string& settings, const CacheFolder& cache,
                          const std::string& name, const std::vector<std::string>& pairs, FunctionRef<int64_t(const std::string&)> make);

/// Returns the prefix of the pair. It has one document per text file or per line of JSON Lines, each followed by the end-of-document token.
/// An empty text is no document (see empty_texts_of).
std::string tokenized_pair(const DataSource& source, const Tokenizer& tokenizer, const TokenizedOptions& options);

}  // namespace mbt
