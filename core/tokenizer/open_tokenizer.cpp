#include "core/tokenizer/open_tokenizer.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"
#include "core/io/files.h"
#include "core/tokenizer/bpe/hf_tokenizer.h"
#include "core/tokenizer/bpe/vocab_and_merges.h"
#include "core/tokenizer/files_beside.h"
#include "core/tokenizer/sentencepiece_json.h"
#include "core/tokenizer/sentencepiece_tokenizer.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxModelBytes = int64_t{256} << 20;
constexpr std::array kTokenizers{"tokenizer.json", "tokenizer.model"};  // the first that is there
constexpr const char *kVocab = "vocab.json", *kMerges = "merges.txt";   // the two together, where there is none of the former
constexpr std::array kBeside{"special_tokens_map.json", "tokenizer_config.json", "added_tokens.json"};
constexpr const char* kNoTokenizer = "has neither a tokenizer.json nor a tokenizer.model, nor vocab.json and merges.txt";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

const std::string* find_file(const TokenizerFiles& files, std::string_view name) {
  const auto found = std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.first == name; });
  return found == files.end() ? nullptr : &found->second;
}

std::string join_path(const std::string& folder, const std::string& name) { return (fs::path(folder) / name).string(); }

/// A name that is no token is refused.
void take_name(const Tokenizer& tokenizer, const std::optional<NamedToken>& named, std::optional<int32_t>& id) {
  if (!named) return;
  id = tokenizer.token_id(named->token.content);
  if (!id) throw InputError(fmt::format("{} {} is no token of {}", named->where, shown(named->token.content), tokenizer.describe()));
}

std::optional<int32_t> first_token(const Tokenizer& tokenizer, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const auto id = tokenizer.token_id(name)) return id;
  return std::nullopt;
}

SpecialIds find_special_ids(const Tokenizer& tokenizer, const TokenizerSettings& settings) {
  SpecialIds ids{tokenizer.bos_id(), tokenizer.eos_id(), std::nullopt};
  if (!ids.bos) ids.bos = first_token(tokenizer, {"<|begin_of_text|>", "<s>", "<bos>"});
  if (!ids.eos) ids.eos = first_token(tokenizer, {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"});
  take_name(tokenizer, settings.bos, ids.bos);
  take_name(tokenizer, settings.eos, ids.eos);
  // A chat model's eos ends an answer (<|im_end|>, <|eot_id|>), while its base model was trained with another token between documents.
  ids.eod = first_token(tokenizer, {"<|endoftext|>", "<|end_of_text|>"});
  if (!ids.eod) ids.eod = ids.eos;
  return ids;
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

/// Of transformers' classes, those that make the text's cuts themselves ask tokenizer_config.json about the blank. Of the others, versions
/// of transformers differ in which of the two files counts.
void apply_prefix_space(const TokenizerSettings& settings, PreTokenizer& pre_tokenizer) {
  if (settings.class_name == "GPT2Tokenizer" || settings.class_name == "Qwen2Tokenizer")
    return pre_tokenizer.put_blank_in_front(settings.add_prefix_space.value_or(false));
  if (!settings.add_prefix_space || *settings.add_prefix_space == pre_tokenizer.puts_blank_in_front()) return;
  throw InputError(fmt::format("{}: {}, but the pre_tokenizer of tokenizer.json says {}; expected the same in both", settings.prefix_where,
                               *settings.add_prefix_space, !*settings.add_prefix_space));
}

std::unique_ptr<Tokenizer> build_bpe(const std::string& content, const std::string& source, const TokenizerSettings& settings) {
  HfTokenizerParts parts = parse_hf_tokenizer(content, source);
  const std::string added = added_tokens_text(parts.added);
  const bool has_blank = parts.pre_tokenizer->puts_blank_in_front();
  const auto id_in_vocab = [&](const std::string& name) {
    const auto found = parts.vocab.find(name);
    return found == parts.vocab.end() ? std::nullopt : std::optional(found->second);
  };
  add_named_tokens(settings, static_cast<int64_t>(parts.vocab.size()), id_in_vocab, parts.added);
  apply_prefix_space(settings, *parts.pre_tokenizer);
  if (added_tokens_text(parts.added) != added || parts.pre_tokenizer->puts_blank_in_front() != has_blank)
    parts.fingerprint = xxhash64(
        fmt::format("{};{};{}", hash_text(parts.fingerprint), parts.pre_tokenizer->puts_blank_in_front(), added_tokens_text(parts.added)));
  return std::make_unique<HfTokenizer>(std::move(parts));
}

/// The file `source` of a kind that its content tells.
std::unique_ptr<Tokenizer> build_file(const std::string& content, const std::string& source, const TokenizerSettings& settings) {
  if (content.empty()) throw InputError(source + ": is empty; expected a tokenizer.json or a SentencePiece model");
  if (source.ends_with(".json") && !looks_like_json(content))
    throw InputError(fmt::format("{}: begins with {}, expected a JSON object, which begins with {{", source, shown(content, 20)));
  if (looks_like_json(content)) return build_bpe(content, source, settings);
  return make_sentencepiece_tokenizer(content, source, settings, sentencepiece_rules(settings));
}

std::unique_ptr<Tokenizer> build_vocab_and_merges(const TokenizerFiles& files, const std::string& path, const std::string& merges,
                                                  TokenizerSettings settings) {
  const std::string content =
      vocab_and_merges_json(*find_file(files, kVocab), path, *find_file(files, kMerges), merges, settings.class_name, settings.class_where);
  if (settings.class_name.empty()) settings.class_name = "GPT2Tokenizer";
  return build_bpe(content, path, settings);
}

/// A tokenizer.json that is refused stays so: a tokenizer.model beside it may have other tokens.
std::unique_ptr<Tokenizer> build_folder(const TokenizerFiles& files, const std::string& folder, const TokenizerSettings& settings) {
  const std::string *const json = find_file(files, kTokenizers[0]), *const model = find_file(files, kTokenizers[1]);
  if (json == nullptr && model == nullptr)
    return build_vocab_and_merges(files, join_path(folder, kVocab), join_path(folder, kMerges), settings);
  const std::string json_path = join_path(folder, kTokenizers[0]), model_path = join_path(folder, kTokenizers[1]);
  if (json == nullptr) return build_file(*model, model_path, settings);
  if (model == nullptr || !is_sentencepiece_json(*json, json_path)) return build_file(*json, json_path, settings);
  return make_sentencepiece_tokenizer(*model, model_path, settings, read_sentencepiece_json(*json, json_path, *model, settings));
}

std::unique_ptr<Tokenizer> with_special_ids(std::unique_ptr<Tokenizer> tokenizer, const TokenizerSettings& settings) {
  tokenizer->set_special_ids(find_special_ids(*tokenizer, settings));
  return tokenizer;
}

}  // namespace

std::optional<TokenizerType> tokenizer_type_in(const std::string& path) {
  if (is_file(path)) return looks_like_json(read_head(path, 64)) ? TokenizerType::hugging_face : TokenizerType::sentencepiece;
  const fs::path folder = path;
  const auto has = [&](const char* name) { return is_file(folder / name) || is_file(folder / (std::string(kCarriedPrefix) + name)); };
  if (has(kTokenizers[0]) && has(kTokenizers[1])) return open_tokenizer(path)->type();
  if (has(kTokenizers[0]) || (!has(kTokenizers[1]) && has(kVocab) && has(kMerges))) return TokenizerType::hugging_face;
  return has(kTokenizers[1]) ? std::optional(TokenizerType::sentencepiece) : std::nullopt;
}

TokenizerFiles read_tokenizer_files(const std::string& path, const std::string& merges) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(path, ignored);
  if (is_folder && !merges.empty())
    throw InputError(
        fmt::format("tokenizer.merge_file is {}, but tokenizer.tokenizer_model {} is a folder; expected the file of the "
                    "vocabulary, or leave merge_file out",
                    shown(merges), shown(path)));
  const fs::path folder = is_folder ? fs::path(path) : fs::path(path).parent_path();
  TokenizerFiles files;
  const auto add = [&](const char* name) {
    const fs::path plain = folder / name, carried = folder / (std::string(kCarriedPrefix) + name);
    const fs::path file = is_folder && !is_file(plain) ? carried : plain;
    if (is_file(file)) files.emplace_back(name, read_text_file(file.string(), kMaxModelBytes));
  };
  if (is_folder) {
    for (const char* name : kTokenizers) add(name);
    if (files.empty())
      for (const char* name : {kVocab, kMerges}) add(name);
    if (!has_tokenizer(files)) throw InputError(fmt::format("{}: {}", path, kNoTokenizer));
  } else if (!merges.empty()) {
    files.emplace_back(kVocab, read_text_file(path, kMaxModelBytes));
    files.emplace_back(kMerges, read_text_file(merges, kMaxModelBytes));
  } else {  // under a name that open_tokenizer finds again, whatever the user calls it
    std::string content = read_text_file(path, kMaxModelBytes);
    files.emplace_back(kTokenizers[looks_like_json(content) ? 0 : 1], std::move(content));
  }
  for (const char* name : kBeside) add(name);
  add("chat_template.jinja");  // no part of the tokens, but of what a trained model is exported with
  return files;
}

bool has_tokenizer(const TokenizerFiles& files) {
  const auto has = [&](const char* name) { return find_file(files, name) != nullptr; };
  return std::any_of(kTokenizers.begin(), kTokenizers.end(), has) || (has(kVocab) && has(kMerges));
}

std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerFiles& files, const std::string& folder) {
  if (!has_tokenizer(files)) throw InputError(fmt::format("{}: {}", folder, kNoTokenizer));
  const TokenizerSettings settings = read_tokenizer_settings(files, folder);
  return with_special_ids(build_folder(files, folder, settings), settings);
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path, const std::string& merges) {
  const TokenizerFiles files = read_tokenizer_files(path, merges);
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return open_tokenizer(files, path);
  const TokenizerSettings settings = read_tokenizer_settings(files, fs::path(path).parent_path().string());
  if (!merges.empty()) return with_special_ids(build_vocab_and_merges(files, path, merges, settings), settings);
  return with_special_ids(build_file(files.front().second, path, settings), settings);
}

}  // namespace mbt
