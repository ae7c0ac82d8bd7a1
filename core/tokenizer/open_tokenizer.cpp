#include "core/tokenizer/open_tokenizer.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/strings.h"
#include "core/io/files.h"
#include "core/tokenizer/bpe/hf_tokenizer.h"
#include "core/tokenizer/sentencepiece_tokenizer.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMaxModelBytes = int64_t{256} << 20;
constexpr std::array kTokenizers{"tokenizer.json", "tokenizer.model"};                 // the first that is there
constexpr std::array kTokenNames{"special_tokens_map.json", "tokenizer_config.json"};  // the later one counts

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

const std::string* find_file(const TokenizerFiles& files, std::string_view name) {
  const auto found = std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.first == name; });
  return found == files.end() ? nullptr : &found->second;
}

std::string join_path(const std::string& folder, const std::string& name) { return (fs::path(folder) / name).string(); }

/// What the files beside the tokenizer call bos and eos; a name that is no token is refused.
void read_names(const Tokenizer& tokenizer, const TokenizerFiles& files, const std::string& folder, SpecialIds& ids) {
  for (const char* name : kTokenNames) {
    const std::string* const content = find_file(files, name);
    if (content == nullptr) continue;
    const std::string path = join_path(folder, name);
    const JsonDocument document = parse_json(*content, path, {.is_of_others = true});
    if (!document.root.is_object()) throw InputError(path + ": expected an object");
    const auto take = [&](const char* key, std::optional<int32_t>& id) {
      document.refuse_flaws(std::string("/") + key);
      const std::string token = token_name(document.root, key);
      if (token.empty()) return;
      id = tokenizer.token_id(token);
      if (!id)
        throw InputError(
            fmt::format("{}: {} {} is no token of {}", document.where(std::string("/") + key), key, shown(token), tokenizer.describe()));
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

SpecialIds find_special_ids(const Tokenizer& tokenizer, const TokenizerFiles& files, const std::string& folder) {
  SpecialIds ids{tokenizer.bos_id(), tokenizer.eos_id(), std::nullopt};
  if (!ids.bos) ids.bos = first_token(tokenizer, {"<|begin_of_text|>", "<s>", "<bos>"});
  if (!ids.eos) ids.eos = first_token(tokenizer, {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"});
  read_names(tokenizer, files, folder, ids);
  // A chat model's eos ends an answer (<|im_end|>, <|eot_id|>), while its base model was trained with another token between documents.
  ids.eod = first_token(tokenizer, {"<|endoftext|>", "<|end_of_text|>"});
  if (!ids.eod) ids.eod = ids.eos;
  return ids;
}

SentencePieceAdds find_adds(const TokenizerFiles& files, const std::string& folder) {
  SentencePieceAdds adds;
  const std::string* const content = find_file(files, "tokenizer_config.json");
  if (content == nullptr) return adds;
  const JsonDocument document = parse_json(*content, join_path(folder, "tokenizer_config.json"), {.is_of_others = true});
  const json& config = document.root;
  const auto take = [&](const char* key, bool& to) {
    document.refuse_flaws(std::string("/") + key);
    if (config.is_object() && config.contains(key) && config[key].is_boolean()) to = config[key];
  };
  take("add_bos_token", adds.bos);
  take("add_eos_token", adds.eos);
  return adds;
}

bool looks_like_json(const std::string& content) {
  const size_t at = content.find_first_not_of(" \t\r\n");
  return at != std::string::npos && (content[at] == '{' || content.compare(0, 4, "\xEF\xBB\xBF{") == 0);
}

std::string read_head(const std::string& path, int64_t most) {
  const FileReader file(path);
  std::string head(static_cast<size_t>(std::min(most, file.size())), '\0');
  file.read_at(0, head.data(), static_cast<int64_t>(head.size()));
  return head;
}

/// The file `source`, with what lies beside it.
std::unique_ptr<Tokenizer> build(const std::string& content, const std::string& source, const TokenizerFiles& files,
                                 const std::string& folder) {
  std::unique_ptr<Tokenizer> tokenizer;
  if (content.empty()) throw InputError(source + ": is empty; expected a tokenizer.json or a SentencePiece model");
  if (source.ends_with(".json") && !looks_like_json(content))
    throw InputError(fmt::format("{}: begins with {}, expected a JSON object, which begins with {{", source, shown(content, 20)));
  if (looks_like_json(content)) tokenizer = std::make_unique<HfTokenizer>(parse_hf_tokenizer(content, source));
  else tokenizer = make_sentencepiece_tokenizer(content, source, find_adds(files, folder));
  tokenizer->set_special_ids(find_special_ids(*tokenizer, files, folder));
  return tokenizer;
}

}  // namespace

std::optional<TokenizerType> tokenizer_type_in(const std::string& path) {
  if (is_file(path)) return looks_like_json(read_head(path, 64)) ? TokenizerType::hugging_face : TokenizerType::sentencepiece;
  const bool has_json = is_file(fs::path(path) / kTokenizers[0]), has_model = is_file(fs::path(path) / kTokenizers[1]);
  if (has_json && has_model) return open_tokenizer(path)->type();
  if (has_json) return TokenizerType::hugging_face;
  return has_model ? std::optional(TokenizerType::sentencepiece) : std::nullopt;
}

TokenizerFiles read_tokenizer_files(const std::string& path) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(path, ignored);
  const fs::path folder = is_folder ? fs::path(path) : fs::path(path).parent_path();
  TokenizerFiles files;
  const auto add = [&](const char* name) {
    if (is_file(folder / name)) files.emplace_back(name, read_text_file((folder / name).string(), kMaxModelBytes));
  };
  if (is_folder) {
    for (const char* name : kTokenizers) add(name);
    if (files.empty()) throw InputError(path + ": has neither a tokenizer.json nor a tokenizer.model");
  } else {  // under a name that open_tokenizer finds again, whatever the user calls it
    std::string content = read_text_file(path, kMaxModelBytes);
    files.emplace_back(kTokenizers[looks_like_json(content) ? 0 : 1], std::move(content));
  }
  for (const char* name : kTokenNames) add(name);
  add("chat_template.jinja");  // no part of the tokens, but of what a trained model is exported with
  return files;
}

bool has_tokenizer(const TokenizerFiles& files) {
  return std::any_of(kTokenizers.begin(), kTokenizers.end(), [&](const char* name) { return find_file(files, name) != nullptr; });
}

std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerFiles& files, const std::string& folder) {
  const auto open = [&](const char* name) { return build(*find_file(files, name), join_path(folder, name), files, folder); };
  if (!has_tokenizer(files)) throw InputError(folder + ": has neither a tokenizer.json nor a tokenizer.model");
  if (find_file(files, kTokenizers[0]) == nullptr) return open(kTokenizers[1]);
  if (find_file(files, kTokenizers[1]) == nullptr) return open(kTokenizers[0]);
  try {
    return open(kTokenizers[0]);
  } catch (const InputError&) {  // Llama 2 and Mistral: the .json is a translation of the .model, of a kind that is not done here
    return open(kTokenizers[1]);
  }
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path) {
  const TokenizerFiles files = read_tokenizer_files(path);
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return open_tokenizer(files, path);
  return build(files.front().second, path, files, fs::path(path).parent_path().string());
}

}  // namespace mbt
