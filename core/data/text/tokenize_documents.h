// Documents to tokens on several threads, in the order of the documents.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/function_ref.h"
#include "core/data/text/document_source.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {

struct TokenizeOptions {
  std::vector<std::string> json_keys = {"text"};  ///< whose strings are taken from each object of JSONL
  bool add_special_tokens = false;
  std::optional<int32_t> eod = std::nullopt;   ///< put behind each document; an empty text is none
  bool leaves_out_empty = false;               ///< an empty text has no tokens, though add_special_tokens
  const char* json_key_option = "--json-key";  ///< how the user names json_keys: for messages
  int workers = 1;
};

/// Tokens of some documents in a row: text k of document d is ids[ends[d * keys + k - 1] .. ends[d * keys + k]), the first from 0.
struct TokenBatch {
  std::vector<int32_t> ids;
  std::vector<size_t> ends;
  std::vector<bool> continues;  ///< of each text: the next one is of the same document (DocumentSourceOptions::splits_files)
  int64_t text_bytes = 0;       ///< of the texts
};

/// Calls on_batch for all batches in order, one call at a time, on any thread. `stop` ends it early with an Error. Throws InputError for
/// whatever the source rejects, JSON without one of the keys or without a string under it, and text that is not UTF-8. Of several bad
/// documents it reports the first.
void tokenize_documents(DocumentSource& source, const Tokenizer& tokenizer, const TokenizeOptions& options, const std::atomic<bool>& stop,
                        FunctionRef<void(const TokenBatch&)> on_batch);

}  // namespace mbt
