// Which files make a tokenizer, and which of its tokens begin and end texts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/tokenizer/tokenizer.h"

namespace mbt {

/// Opens a tokenizer. `path` is a tokenizer.json, a SentencePiece model, or a folder with a tokenizer.json, a tokenizer.model, or
/// vocab.json and merges.txt; the first of these counts; also a checkpoint that carries such files. A tokenizer.json that says the same as
/// the tokenizer.model beside it is read together with it. What tokenizer_config.json, special_tokens_map.json and added_tokens.json say
/// about the tokens counts as in transformers (files_beside.h). Throws InputError, naming the setting, for any setting that would change
/// the tokens and is not supported.
/// merges: where `path` is GPT-2's vocabulary, vocab.json under any name, the file of its merges.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path, const std::string& merges = "");

/// Returns the tokenizer.tokenizer_type of a file or folder, from its first bytes or its file names; nullopt when it holds no tokenizer.
/// Throws InputError when it cannot be read.
std::optional<TokenizerType> tokenizer_type_in(const std::string& path);

/// Before the names of a tokenizer's files in a checkpoint that carries them.
inline constexpr const char* kCarriedPrefix = "tokenizer-";

/// Name and content of the files that make a tokenizer: itself first, then those that name its special tokens.
using TokenizerFiles = std::vector<std::pair<std::string, std::string>>;
/// Those of `path`, for a checkpoint to carry. InputError: none there, unreadable.
TokenizerFiles read_tokenizer_files(const std::string& path, const std::string& merges = "");
/// The same tokenizer from them; `folder` stands before their names in messages. Other files among them are left alone.
std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerFiles& files, const std::string& folder);
/// Whether a tokenizer is among the files.
bool has_tokenizer(const TokenizerFiles& files);

}  // namespace mbt
