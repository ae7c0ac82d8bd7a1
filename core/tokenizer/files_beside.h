// What the files beside a tokenizer say about its tokens, read as transformers' AutoTokenizer reads them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/function_ref.h"
#include "core/tokenizer/bpe/added_tokens.h"
#include "core/tokenizer/open_tokenizer.h"

namespace mbt {

/// A token that one of the files names.
struct NamedToken {
  AddedToken token;           ///< its id is not set
  std::optional<int32_t> id;  ///< the file's, where it gives one
  bool sets_flags = false;    ///< lstrip, rstrip, ... replace those that the tokenizer has
  bool only_known = false;    ///< is not added when the vocabulary lacks it
  bool is_unordered = false;  ///< its place among others of its kind is not known
  std::string where;          ///< "DIR/tokenizer_config.json:7: pad_token"
};

struct TokenizerSettings {
  std::string class_name;   ///< tokenizer_class without "Fast"; empty: none is given
  std::string class_where;  ///< for messages
  std::optional<bool> add_prefix_space, legacy;
  std::string prefix_where;  ///< of add_prefix_space
  bool add_bos = true, add_eos = false;
  std::vector<NamedToken> tokens;      ///< in the order in which those that are new get their ids
  std::optional<NamedToken> bos, eos;  ///< where a file names them
};

/// Reads tokenizer_config.json, special_tokens_map.json and added_tokens.json. As in transformers, the latter two count only where the
/// first has no added_tokens_decoder. InputError: what cannot be read; settings that would change the tokens and are not supported.
TokenizerSettings read_tokenizer_settings(const TokenizerFiles& files, const std::string& folder);

/// Adds the named tokens to `added`: under their id in the vocabulary, or the next free one. InputError: a file gives another id.
void add_named_tokens(const TokenizerSettings& settings, int64_t vocab_size,
                      FunctionRef<std::optional<int32_t>(const std::string& name)> id_in_vocab, std::vector<AddedToken>& added);

/// Equal for equal tokens, for fingerprints.
std::string added_tokens_text(const std::vector<AddedToken>& added);

}  // namespace mbt
