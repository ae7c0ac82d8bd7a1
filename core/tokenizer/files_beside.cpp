#include "core/tokenizer/files_beside.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/strings.h"
#include "core/tokenizer/bpe/json_fields.h"

namespace mbt {
namespace {

using nlohmann::json;

/// In the order in which transformers adds those that the vocabulary lacks.
constexpr std::array kNames{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
constexpr const char *kConfig = "tokenizer_config.json", *kMap = "special_tokens_map.json", *kAdded = "added_tokens.json";
constexpr const char *kDecoder = "added_tokens_decoder", *kExtra = "extra_special_tokens", *kAdditional = "additional_special_tokens";

struct ClassToken {
  const char *class_name, *key, *token;
};
/// What transformers' classes call tokens that no file names.
constexpr const char* kEndOfText = "<|endoftext|>";
constexpr ClassToken kClassTokens[] = {
    {"GPT2Tokenizer", "bos_token", kEndOfText},  {"GPT2Tokenizer", "eos_token", kEndOfText},  {"GPT2Tokenizer", "unk_token", kEndOfText},
    {"Qwen2Tokenizer", "eos_token", kEndOfText}, {"Qwen2Tokenizer", "unk_token", kEndOfText}, {"Qwen2Tokenizer", "pad_token", kEndOfText},
    {"GemmaTokenizer", "bos_token", "<bos>"},    {"GemmaTokenizer", "eos_token", "<eos>"},    {"GemmaTokenizer", "unk_token", "<unk>"},
    {"GemmaTokenizer", "pad_token", "<pad>"},    {"GemmaTokenizer", "mask_token", "<mask>"}};

const char* default_of(std::string_view class_name, std::string_view key) {
  for (const ClassToken& t : kClassTokens)
    if (class_name == t.class_name && key == t.key) return t.token;
  return nullptr;
}

class SettingsReader {
 public:
  SettingsReader(const TokenizerFiles& files, const std::string& folder)
      : files_(files), folder_(folder), config_(read(kConfig)), map_(read(kMap)) {}

  TokenizerSettings settings() {
    read_config();
    if (has_decoder()) read_decoder();
    else if (find_file(kAdded) != nullptr) read_added(read(kAdded));
    for (const char* key : kNames) read_named(key);
    read_names_of_the_model();
    read_extra();
    if (settings_.class_name == "Qwen2Tokenizer") clear_flags();
    return std::move(settings_);
  }

 private:
  const std::string* find_file(std::string_view name) const {
    const auto found = std::find_if(files_.begin(), files_.end(), [&](const auto& file) { return file.first == name; });
    return found == files_.end() ? nullptr : &found->second;
  }

  JsonDocument read(const char* name) const {
    const std::string path = (std::filesystem::path(folder_) / name).string();
    const std::string* const content = find_file(name);
    if (content == nullptr) return {.root = json::object(), .source = path, .lines = {}, .flaws = {}};
    JsonDocument document = parse_json(*content, path, {.is_of_others = true});
    if (!document.root.is_object()) throw InputError(path + ": expected an object");
    return document;
  }

  bool has_decoder() const { return config_.root.contains(kDecoder); }

  static std::string where(const JsonDocument& document, const std::string& key) {
    return fmt::format("{}: {}", document.where("/" + json_pointer_member(key)), key);
  }

  /// The value of a key that counts, or null where it is absent; flaws in it are refused, those of other keys are not.
  static const json* find(const JsonDocument& document, const std::string& key) {
    const auto found = document.root.find(key);
    if (found == document.root.end()) return nullptr;
    document.refuse_flaws("/" + json_pointer_member(key));
    return &*found;
  }

  std::optional<bool> flag(const char* key) const {
    const json* const found = find(config_, key);
    if (found == nullptr || found->is_null()) return std::nullopt;
    if (!found->is_boolean()) throw InputError(fmt::format("{}: {}; expected true or false", where(config_, key), shown_json(*found)));
    return found->get<bool>();
  }

  void read_config() {
    if (const json* const found = find(config_, "tokenizer_class"); found != nullptr && found->is_string()) {
      settings_.class_name = found->get<std::string>();
      if (settings_.class_name.ends_with("Fast") && settings_.class_name != "PreTrainedTokenizerFast")
        settings_.class_name.resize(settings_.class_name.size() - 4);
      settings_.class_where = where(config_, "tokenizer_class");
    }
    settings_.add_prefix_space = flag("add_prefix_space");
    settings_.prefix_where = where(config_, "add_prefix_space");
    settings_.legacy = flag("legacy");
    settings_.add_bos = flag("add_bos_token").value_or(true);
    settings_.add_eos = flag("add_eos_token").value_or(false);
    if (flag("split_special_tokens").value_or(false))
      throw InputError(where(config_, "split_special_tokens") +
                       ": true; names of special tokens as letters are not supported, expected false");
  }

  /// A name, or an object with the name and the flags.
  NamedToken token_of(const json& value, const std::string& at, bool is_special, bool is_normalized) const {
    NamedToken named;
    named.where = at;
    AddedToken& t = named.token;
    t.special = is_special;
    t.normalized = is_normalized;
    if (value.is_string()) {
      t.content = value;
      t.normalized = false;
    } else {
      if (!value.is_object()) throw InputError(fmt::format("{}: {}; expected a token's name", at, shown_json(value)));
      JsonFields fields(value, at);
      t.content = fields.string("content");
      t.single_word = fields.flag("single_word", false);
      t.lstrip = fields.flag("lstrip", false);
      t.rstrip = fields.flag("rstrip", false);
      t.special = fields.flag("special", is_special) || is_special;
      t.normalized = fields.flag("normalized", is_normalized);
      for (const char* key : {"__type", "id"}) fields.ignore(key);
      fields.refuse_others();
    }
    if (t.content.empty()) throw InputError(at + ": is empty; expected a token's name");
    return named;
  }

  void add_with_id(NamedToken named, int64_t id) {
    if (id < 0 || id > INT32_MAX) throw InputError(fmt::format("{}: id {}; expected 0 to {}", named.where, id, INT32_MAX));
    named.id = static_cast<int32_t>(id);
    named.sets_flags = true;
    by_name_[named.token.content] = named.token;
    settings_.tokens.push_back(std::move(named));
  }

  void sort_by_id() {
    std::sort(settings_.tokens.begin(), settings_.tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  }

  void read_decoder() {
    const json& decoder = *find(config_, kDecoder);
    if (!decoder.is_object()) throw InputError(fmt::format("{}: {}; expected an object", where(config_, kDecoder), shown_json(decoder)));
    for (const auto& [key, value] : decoder.items()) {
      const std::string at =
          fmt::format("{}: {}[{}]", config_.where(fmt::format("/{}/{}", kDecoder, json_pointer_member(key))), kDecoder, shown(key));
      int64_t id = 0;
      if (parse_integer(key, id) == ParseResult::malformed) throw InputError(at + ": expected an id, an integer, as the key");
      const bool is_special = value.is_object() && value.value("special", json(false)) == true;
      add_with_id(token_of(value, at, false, !is_special), id);
    }
    sort_by_id();
  }

  /// "name": id. Those that other files call special are.
  void read_added(const JsonDocument& added) {
    added.refuse_flaws("");
    std::set<std::string> special;
    const auto note = [&](const json& value) {
      if (value.is_string()) special.insert(value.get<std::string>());
      else if (value.is_object() && value.contains("content") && value["content"].is_string()) special.insert(value["content"]);
    };
    for (const char* key : kNames) note(named_value(key).first);
    for (const JsonDocument* file : {&config_, &map_})
      for (const char* key : {kExtra, kAdditional})
        if (const json* const found = find(*file, key); found != nullptr && found->is_array())
          for (const json& value : *found) note(value);
    for (const auto& [name, id] : added.root.items()) {
      const std::string at = fmt::format("{}: {}", added.where("/" + json_pointer_member(name)), shown(name));
      if (!id.is_number_integer()) throw InputError(fmt::format("{}: {}; expected an id, an integer", at, shown_json(id)));
      NamedToken named = token_of(name, at, special.count(name) > 0, false);
      named.token.normalized = !named.token.special;
      add_with_id(std::move(named), id.get<int64_t>());
    }
    sort_by_id();
  }

  /// Of the map where it counts, else of the config: the value (null: none) and its file.
  std::pair<json, const JsonDocument*> named_value(const char* key) const {
    for (const JsonDocument* file : {&map_, &config_}) {
      if (file == &map_ && has_decoder()) continue;
      if (const json* const found = find(*file, key)) return {*found, file};
    }
    return {json(), nullptr};
  }

  /// Qwen2Tokenizer adds its special tokens once more, by their names alone.
  void clear_flags() {
    for (NamedToken named : special_) {
      named.token = AddedToken{.content = named.token.content, .special = true};
      named.sets_flags = true;
      settings_.tokens.push_back(std::move(named));
    }
  }

  void add(NamedToken named) {
    special_.push_back(named);
    // A token that has an entry of its own elsewhere has that one's flags.
    if (const auto known = by_name_.find(named.token.content); known != by_name_.end()) named.token = known->second;
    settings_.tokens.push_back(std::move(named));
  }

  void read_named(const char* key) {
    auto [value, file] = named_value(key);
    const bool is_default = file == nullptr;
    if (is_default) {
      const char* const otherwise = default_of(settings_.class_name, key);
      if (otherwise == nullptr) return;
      value = otherwise;
      file = &config_;
    }
    if (value.is_null() || value == "") return;
    NamedToken named = token_of(value, where(*file, key), true, file == &config_);
    const bool begins = key == std::string_view("bos_token"), ends = key == std::string_view("eos_token");
    named.only_known = (begins || ends) && !is_default;
    if (begins && !is_default) settings_.bos = named;
    if (ends && !is_default) settings_.eos = named;
    add(std::move(named));
  }

  static bool is_name(const std::string& key) { return std::find(kNames.begin(), kNames.end(), key) != kNames.end(); }

  /// Keys such as image_token, and extra_special_tokens as an object: named tokens beside the usual ones.
  void read_names_of_the_model() {
    const auto take = [&](const json& value, const std::string& at) {
      NamedToken named = token_of(value, at, true, true);
      named.is_unordered = true;  // JSON's members have no order here
      add(std::move(named));
    };
    for (const auto& [key, value] : config_.root.items())
      if (key.ends_with("_token") && !is_name(key) && (value.is_string() || (value.is_object() && value.contains("content"))))
        take(*find(config_, key), where(config_, key));
    for (const JsonDocument* file : {&config_, &map_}) {
      if (file == &map_ && has_decoder()) continue;
      const json* const found = find(*file, kExtra);
      if (found == nullptr || !found->is_object()) continue;
      for (const auto& [key, value] : found->items()) take(value, fmt::format("{}[{}]", where(*file, kExtra), shown(key)));
    }
  }

  void take_list(const JsonDocument& file, const char* key) {
    const json* const found = find(file, key);
    if (found == nullptr || found->is_null() || found->is_object()) return;
    if (!found->is_array()) throw InputError(fmt::format("{}: {}; expected an array", where(file, key), shown_json(*found)));
    for (size_t i = 0; i < found->size(); ++i)
      add(token_of((*found)[i], fmt::format("{}[{}]", where(file, key), i), true, &file == &config_));
  }

  /// additional_special_tokens is the older name of extra_special_tokens, and counts where the newer is absent or empty.
  void read_extra() {
    const auto has = [](const JsonDocument& file, const char* key) { return file.root.contains(key); };
    const bool uses_older = has(config_, kAdditional) && (!has(config_, kExtra) || config_.root[kExtra].empty());
    take_list(config_, uses_older ? kAdditional : kExtra);
    if (has_decoder()) return;
    take_list(map_, kExtra);
    if (!has(config_, kAdditional) && !has(config_, kExtra) && !has(map_, kExtra)) take_list(map_, kAdditional);
  }

  const TokenizerFiles& files_;
  const std::string& folder_;
  JsonDocument config_, map_;
  std::map<std::string, AddedToken> by_name_;  ///< those with an id
  std::vector<NamedToken> special_;            ///< the others
  TokenizerSettings settings_;
};

}  // namespace

TokenizerSettings read_tokenizer_settings(const TokenizerFiles& files, const std::string& folder) {
  return SettingsReader(files, folder).settings();
}

void add_named_tokens(const TokenizerSettings& settings, int64_t vocab_size,
                      FunctionRef<std::optional<int32_t>(const std::string& name)> id_in_vocab, std::vector<AddedToken>& added) {
  int64_t next = vocab_size;
  for (const AddedToken& t : added) next = std::max(next, int64_t{t.id} + 1);
  const NamedToken* unordered = nullptr;
  for (const NamedToken& named : settings.tokens) {
    const auto found = std::find_if(added.begin(), added.end(), [&](const AddedToken& t) { return t.content == named.token.content; });
    const std::optional<int32_t> known = found != added.end() ? found->id : id_in_vocab(named.token.content);
    if (!known && named.only_known) continue;
    const int64_t id = known.value_or(static_cast<int32_t>(next));
    if (named.id && *named.id != id)
      throw InputError(fmt::format("{}: {} has the id {}; expected {}, {}", named.where, shown(named.token.content), *named.id, id,
                                   known ? "its id in the tokenizer" : "the next after the tokenizer's"));
    if (found != added.end()) {
      if (!named.sets_flags) continue;
      *found = named.token;
      found->id = static_cast<int32_t>(id);
      continue;
    }
    if (!known && named.is_unordered) {
      if (unordered != nullptr)
        throw InputError(
            fmt::format("{}: {} and {} ({}) are both new to the tokenizer, and which comes first is not read here; name them in "
                        "additional_special_tokens, in their order",
                        named.where, shown(named.token.content), shown(unordered->token.content), unordered->where));
      unordered = &named;
    }
    added.push_back(named.token);
    added.back().id = static_cast<int32_t>(id);
    next = std::max(next, id + 1);
  }
}

std::string added_tokens_text(const std::vector<AddedToken>& added) {
  std::string text;
  for (const AddedToken& t : added)
    text += fmt::format("{} {} {}{}{}{}{} {}\n", t.id, t.content.size(), t.single_word ? 1 : 0, t.lstrip ? 1 : 0, t.rstrip ? 1 : 0,
                        t.normalized ? 1 : 0, t.special ? 1 : 0, t.content);
  return text;
}

}  // namespace mbt
