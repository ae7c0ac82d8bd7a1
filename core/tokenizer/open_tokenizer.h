// Which files make a tokenizer, and which of its tokens begin and end texts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// `path`: a tokenizer.json, a SentencePiece model, or a folder with a tokenizer.json or else a tokenizer.model (with both: the .json,
/// unless it is of a kind that is not done here). Beside it, tokenizer_config.json and special_tokens_map.json say which tokens are bos and
/// eos. InputError: anything in the files that would change the tokens and is not done here, by its name.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path);

/// What tokenizer.tokenizer_type is for this tokenizer's file or folder, by its first bytes or its names; nothing: there is none.
/// InputError: it cannot be read.
std::optional<TokenizerType> tokenizer_type_in(const std::string& path);

/// Name and content of the files that make a tokenizer: itself first, then those that name its special tokens.
using TokenizerFiles = std::vector<std::pair<std::string, std::string>>;
/// Those of `path`, for a checkpoint to carry. InputError: none there, unreadable.
TokenizerFiles read_tokenizer_files(const std::string& path);
/// The same tokenizer from them; `folder` stands before their names in messages. Other files among them are left alone.
std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerFiles& files, const std::string& folder);
/// Whether a tokenizer is among the files.
bool has_tokenizer(const TokenizerFiles& files);

}  // namespace mbt
