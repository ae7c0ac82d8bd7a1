// Which files make a tokenizer, and which of its tokens begin and end texts.
#include <filesystem>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/strings.h"
#include "core/io/files.h"
#include "core/tokenizer/hf_tokenizer.h"
#include "core/tokenizer/sentencepiece_tokenizer.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMaxModelBytes = int64_t{256} << 20;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// "eos_token": "</s>", or {"content": "</s>", ...}.
std::string token_name(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  if (found->is_string()) return *found;
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) return (*found)["content"];
  return "";
}

/// What the files beside the tokenizer call bos and eos; a name that is no token is refused.
void read_names(const Tokenizer& tokenizer, const fs::path& folder, SpecialIds& ids) {
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    const fs::path path = folder / name;
    if (!is_file(path)) continue;
    const JsonDocument document = read_json_file(path.string());
    if (!document.root.is_object()) throw InputError(path.string() + ": expected an object");
    const auto take = [&](const char* key, std::optional<int32_t>& id) {
      const std::string token = token_name(document.root, key);
      if (token.empty()) return;
      id = tokenizer.token_id(token);
      if (!id)
        throw InputError(
            text(document.where(std::string("/") + key), ": ", key, " ", shown(token), " is no token of ", tokenizer.describe()));
    };
    take("bos_token", ids.bos);
    take("eos_token", ids.eos);
  }
}

std::optional<int32_t> first_token(const Tokenizer& tokenizer, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const auto id = tokenizer.token_id(name)) return id;
  return std::nullopt;
}

SpecialIds find_special_ids(const Tokenizer& tokenizer, const fs::path& folder) {
  SpecialIds ids{tokenizer.bos_id(), tokenizer.eos_id(), std::nullopt};
  if (!ids.bos) ids.bos = first_token(tokenizer, {"<|begin_of_text|>", "<s>", "<bos>"});
  if (!ids.eos) ids.eos = first_token(tokenizer, {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"});
  read_names(tokenizer, folder, ids);
  // A chat model's eos ends an answer (<|im_end|>, <|eot_id|>), while its base model was trained with another token between documents.
  ids.eod = first_token(tokenizer, {"<|endoftext|>", "<|end_of_text|>"});
  if (!ids.eod) ids.eod = ids.eos;
  return ids;
}

SentencePieceAdds read_adds(const fs::path& folder) {
  SentencePieceAdds adds;
  const fs::path path = folder / "tokenizer_config.json";
  if (!is_file(path)) return adds;
  const json config = read_json_file(path.string()).root;
  const auto take = [&](const char* key, bool& to) {
    if (config.is_object() && config.contains(key) && config[key].is_boolean()) to = config[key];
  };
  take("add_bos_token", adds.bos);
  take("add_eos_token", adds.eos);
  return adds;
}

std::string find_model(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (is_file(fs::path(path) / name)) return (fs::path(path) / name).string();
  throw InputError(path + ": has neither a tokenizer.json nor a tokenizer.model");
}

bool looks_like_json(const std::string& content) {
  const size_t at = content.find_first_not_of(" \t\r\n");
  return at != std::string::npos && (content[at] == '{' || content.compare(0, 4, "\xEF\xBB\xBF{") == 0);
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path) {
  const std::string file = find_model(path);
  const std::string content = read_text_file(file, kMaxModelBytes);
  std::unique_ptr<Tokenizer> tokenizer;
  if (looks_like_json(content))
    tokenizer = std::make_unique<HfTokenizer>(parse_hf_tokenizer(content, file));
  else
    tokenizer = make_sentencepiece_tokenizer(content, file, read_adds(fs::path(file).parent_path()));
  tokenizer->set_special_ids(find_special_ids(*tokenizer, fs::path(file).parent_path()));
  return tokenizer;
}

}  // namespace mbt
