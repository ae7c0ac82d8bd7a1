#include "core/tokenizer/bpe/hf_tokenizer_file.h"

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"
#include "core/tokenizer/bpe/byte_letters.h"
#include "core/tokenizer/bpe/json_fields.h"

namespace mbt {
namespace {

using nlohmann::json;

constexpr int64_t kMaxBytes = int64_t{256} << 20;
constexpr int32_t kMaxId = (1 << 24) - 1;  // tables have an entry for each id up to the largest

void read_vocab(const json& vocab, const std::string& where, HfTokenizerParts& parts) {
  std::vector<bool> taken;
  for (const auto& [name, value] : vocab.items()) {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kMaxId)
      throw InputError(fmt::format("{}[{}]: {}; expected an integer from 0 to {}", where, shown(name), shown_json(value), kMaxId));
    const auto id = value.get<size_t>();
    if (id >= taken.size()) taken.resize(id + 1);
    if (taken[id]) throw InputError(fmt::format("{}[{}]: {} is the id of another token too", where, shown(name), id));
    taken[id] = true;
    parts.vocab.emplace(name, static_cast<int32_t>(id));
  }
}

/// ["a", "b"] or "a b"; nothing when it is neither.
std::optional<std::pair<std::string, std::string>> read_merge(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) return std::pair(merge[0], merge[1]);
  if (!merge.is_string()) return std::nullopt;
  const std::string& both = merge.get_ref<const std::string&>();
  const size_t blank = both.find(' ');
  if (blank == std::string::npos || both.find(' ', blank + 1) != std::string::npos) return std::nullopt;
  return std::pair(both.substr(0, blank), both.substr(blank + 1));
}

void read_merges(const json& merges, const std::string& where, HfTokenizerParts& parts) {
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto refuse = [&](const std::string& what) { throw InputError(fmt::format("{}[{}]: {}", where, i, what)); };
    const auto merge = read_merge(merges[i]);
    if (!merge) refuse(shown_json(merges[i]) + "; expected [\"a\", \"b\"] or \"a b\"");
    const auto id = [&](const std::string& token) {
      const auto found = parts.vocab.find(token);
      if (found == parts.vocab.end()) refuse(shown(token) + " is not in the vocabulary");
      return found->second;
    };
    parts.merges.push_back({id(merge->first), id(merge->second), id(merge->first + merge->second)});
  }
}

bool has_all_bytes(const HfTokenizerParts& parts) {
  for (const uint32_t letter : byte_letters()) {
    std::string token;
    append_utf8(letter, token);
    if (parts.vocab.count(token) == 0) return false;
  }
  return true;
}

void read_model(const json& section, const std::string& where, HfTokenizerParts& parts) {
  JsonFields fields(section, where);
  const std::string type = fields.string("type", "BPE");
  if (type != "BPE") fields.refuse("type", shown(type) + "; expected BPE. Of a SentencePiece model give its tokenizer.model instead");
  read_vocab(fields.object("vocab"), fields.where("vocab"), parts);
  read_merges(fields.array("merges"), fields.where("merges"), parts);
  if (const json* dropout = fields.find("dropout"); dropout != nullptr && *dropout != 0.0)
    fields.refuse("dropout", shown_json(*dropout) + "; dropout of merges is not supported, expected null");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!fields.string(key, "").empty()) fields.refuse(key, shown(fields.string(key)) + "; expected null, as byte-level BPE has it");
  parts.options.ignore_merges = fields.flag("ignore_merges", false);
  parts.options.fuse_unk = fields.flag("fuse_unk", false);
  const bool byte_fallback = fields.flag("byte_fallback", false);
  const std::string unk = fields.string("unk_token", "");
  fields.ignore("cache_capacity");
  fields.refuse_others();
  if (has_all_bytes(parts)) return;  // then no byte is unknown, and neither of the two is asked
  if (byte_fallback) fields.refuse("byte_fallback", "true, in a vocabulary that lacks bytes, is not supported");
  if (unk.empty()) return;
  const auto found = parts.vocab.find(unk);
  if (found == parts.vocab.end()) fields.refuse("unk_token", shown(unk) + " is not in the vocabulary");
  parts.options.unk_id = found->second;
}

/// The package does not use the file's ids but counts on from the vocabulary: a file that says otherwise means another tokenizer.
void check_ids(const HfTokenizerParts& parts, const std::string& where) {
  const auto size = static_cast<int64_t>(parts.vocab.size());
  int64_t next = size;
  for (size_t i = 0; i < parts.added.size(); ++i) {
    const AddedToken& t = parts.added[i];
    const auto found = parts.vocab.find(t.content);
    const int64_t expected = found != parts.vocab.end() ? found->second : next;
    if (t.id != expected) {
      throw InputError(
          fmt::format("{}[{}].id: {} for {}; expected {}{}", where, i, t.id, shown(t.content), expected,
                      found != parts.vocab.end() ? ", its id in model.vocab" : ", the next after model.vocab and the added tokens before"));
    }
    next = std::max(next, expected + 1);
  }
}

/// Which of two such tokens the package finds depends on their order, their kinds and their number.
void check_normalized(const HfTokenizerParts& parts, const std::string& where) {
  std::unordered_map<std::string, size_t> seen;
  for (size_t i = 0; i < parts.added.size(); ++i) {
    if (!parts.added[i].normalized) continue;
    const auto [other, is_new] = seen.emplace(parts.normalizer.apply(parts.added[i].content), i);
    if (is_new) continue;
    throw InputError(fmt::format(
        "{}[{}].content: {} is the same as that of {}[{}] when both are normalized; keep one of them, or give one \"normalized\": false",
        where, i, shown(parts.added[i].content), where, other->second));
  }
}

/// What stands before and after the text in "single".
void read_template(JsonFields& fields, HfTokenizerParts& parts) {
  const json& special = fields.object("special_tokens");
  const json& single = fields.array("single");
  bool has_text = false;
  for (size_t i = 0; i < single.size(); ++i) {
    const std::string where = fmt::format("{}[{}]", fields.where("single"), i);
    JsonFields item(single[i], where);
    if (item.find("Sequence") != nullptr) {
      if (has_text || JsonFields(item.object("Sequence"), where).string("id") != "A") item.refuse("Sequence", "expected one, A");
      has_text = true;
      continue;
    }
    const std::string name = JsonFields(item.object("SpecialToken"), where + ".SpecialToken").string("id");
    const auto found = special.find(name);
    if (found == special.end()) item.refuse("SpecialToken", shown(name) + " is not in special_tokens");
    const json& ids = JsonFields(*found, fields.where("special_tokens")).array("ids");
    for (const json& id : ids) {
      if (!id.is_number_integer() || id < 0 || id > kMaxId) item.refuse("SpecialToken", "ids of " + shown(name) + ": expected integers");
      (has_text ? parts.after : parts.before).push_back(id);
    }
  }
  if (!has_text) fields.refuse("single", "lacks the Sequence A");
}

void read_post_processor(const json& section, const std::string& where, HfTokenizerParts& parts) {
  JsonFields fields(section, where);
  const std::string type = fields.type();
  if (type == "ByteLevel") {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(key);  // about offsets alone
  } else if (type == "Sequence") {
    const json& processors = fields.array("processors");
    for (size_t i = 0; i < processors.size(); ++i) read_post_processor(processors[i], fmt::format("{}.processors[{}]", where, i), parts);
  } else if (!parts.before.empty() || !parts.after.empty()) {
    fields.refuse("type", shown(type) + " is a second post-processor that adds tokens, which is not supported");
  } else if (type == "TemplateProcessing") {
    fields.ignore("pair");
    read_template(fields, parts);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    for (const char* key : {"add_prefix_space", "trim_offsets"}) fields.ignore(key);
    const auto id = [&](const char* key) {
      const json& pair = fields.array(key);
      if (pair.size() != 2 || !pair[1].is_number_integer() || pair[1] < 0 || pair[1] > kMaxId)
        fields.refuse(key, "expected [\"token\", id]");
      return pair[1].get<int32_t>();
    };
    parts.before = {id("cls")};
    parts.after = {id("sep")};
  } else {
    fields.refuse("type", shown(type) + "; expected ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing or Sequence");
  }
  fields.refuse_others();
}

/// What is put around texts must be tokens.
void check_template(const HfTokenizerParts& parts, const std::string& where) {
  std::vector<int32_t> around = parts.before;
  around.insert(around.end(), parts.after.begin(), parts.after.end());
  for (const int32_t id : around) {
    const bool is_token = std::any_of(parts.added.begin(), parts.added.end(), [&](const AddedToken& t) { return t.id == id; }) ||
                          std::any_of(parts.vocab.begin(), parts.vocab.end(), [&](const auto& t) { return t.second == id; });
    if (!is_token) throw InputError(fmt::format("{}: adds token {}, which is neither in model.vocab nor in added_tokens", where, id));
  }
}

void check_decoder(const json& section, const std::string& where) {
  JsonFields fields(section, where);
  const std::string type = fields.type();
  if (type == "Sequence") {
    const json& decoders = fields.array("decoders");
    if (decoders.size() != 1) fields.refuse("decoders", fmt::format("{} of them; expected ByteLevel alone", decoders.size()));
    check_decoder(decoders[0], where + ".decoders[0]");
  } else if (type == "ByteLevel") {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(key);
  } else {
    fields.refuse("type", shown(type) + "; expected ByteLevel");
  }
  fields.refuse_others();
}

}  // namespace

void refuse_cutting(JsonFields& root) {
  for (const char* key : {"truncation", "padding"}) {
    if (root.find(key) != nullptr)
      root.refuse(key, "the file makes the tokenizer truncate or pad every text, which training data must not have; set it to null");
  }
}

HfTokenizerParts parse_hf_tokenizer(std::string_view content, const std::string& source) {
  JsonLimits limits;
  limits.max_bytes = kMaxBytes;
  limits.record_lines = false;
  const JsonDocument document = parse_json(content, source, limits);
  const std::string where = source + ": ";
  HfTokenizerParts parts;
  parts.source = source;
  parts.fingerprint = xxhash64(content);
  JsonFields root(document.root, where);
  if (const std::string version = root.string("version", "1.0"); version != "1.0")
    root.refuse("version", shown(version) + "; expected \"1.0\"");
  refuse_cutting(root);
  read_model(root.object("model"), where + "model", parts);
  if (const json* added = root.find("added_tokens")) parts.added = read_added_tokens(*added, where + "added_tokens");
  check_ids(parts, where + "added_tokens");
  if (const json* normalizer = root.find("normalizer")) parts.normalizer = Normalizer(*normalizer, where + "normalizer");
  check_normalized(parts, where + "added_tokens");
  parts.pre_tokenizer = std::make_unique<PreTokenizer>(root.object("pre_tokenizer"), where + "pre_tokenizer");
  if (const json* post = root.find("post_processor")) read_post_processor(*post, where + "post_processor", parts);
  check_decoder(root.object("decoder"), where + "decoder");
  root.refuse_others();
  check_template(parts, where + "post_processor");
  return parts;
}

}  // namespace mbt
