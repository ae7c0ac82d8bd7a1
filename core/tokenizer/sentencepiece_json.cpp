#include "core/tokenizer/sentencepiece_json.h"

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/strings.h"
#include "core/tokenizer/bpe/hf_tokenizer_file.h"
#include "core/tokenizer/bpe/json_fields.h"
#include "core/tokenizer/sentencepiece_model.h"

namespace mbt {
namespace {

using nlohmann::json;

constexpr const char* kJsonBlank = "\xE2\x96\x81";

JsonDocument parse_file(const std::string& content, const std::string& source) {
  return parse_json(content, source, {.max_bytes = int64_t{256} << 20, .record_lines = false});
}

const char* const kModelAloneHint = "; to take the tokens of tokenizer.model alone, move it to a folder of its own";

void compare_vocab(JsonFields& model, const std::string& proto) {
  const json& vocab = model.object("vocab");
  const std::optional<SentencePieceFacts> facts = read_sentencepiece_facts(proto);
  const size_t pieces = facts ? facts->pieces.size() : 0;
  if (vocab.size() != pieces)
    model.refuse("vocab", fmt::format("{} tokens, but the tokenizer.model beside it has {}{}", vocab.size(), pieces, kModelAloneHint));
  for (size_t i = 0; i < pieces; ++i) {
    const std::string& piece = facts->pieces[i].text;
    const auto found = vocab.find(piece);
    if (found == vocab.end() || *found != i)
      model.refuse("vocab", fmt::format("has not {} as {}, as the tokenizer.model beside it has{}", shown(piece), i, kModelAloneHint));
  }
}

void check_model(JsonFields model, const std::string& proto) {
  if (const json* dropout = model.find("dropout"); dropout != nullptr && *dropout != 0.0)
    model.refuse("dropout", shown_json(*dropout) + "; merges left out at random are not supported, expected null");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.string(key, "").empty()) model.refuse(key, shown(model.string(key)) + "; expected null");
  if (model.flag("ignore_merges", false)) model.refuse("ignore_merges", "true; expected false");
  for (const char* key : {"type", "byte_fallback", "merges", "fuse_unk", "unk_token", "cache_capacity"}) model.ignore(key);
  compare_vocab(model, proto);
  model.refuse_others();
}

/// The pre-tokenizer Metaspace: each blank becomes the letter of blanks, and one is put in front.
DummyBlank of_metaspace(JsonFields fields) {
  if (fields.type() != "Metaspace") fields.refuse("type", shown(fields.type()) + "; expected Metaspace");
  if (fields.string("replacement") != kJsonBlank)
    fields.refuse("replacement", shown(fields.string("replacement")) + "; expected " + kJsonBlank);
  if (fields.flag("split", true)) fields.refuse("split", "true, cuts at blanks, is not supported; expected false");
  const bool older = fields.flag("add_prefix_space", true);
  const std::string scheme = fields.string("prepend_scheme", older ? "always" : "never");
  fields.ignore("str_rep");
  fields.refuse_others();
  if (scheme == "never") return DummyBlank::never;
  if (scheme == "first") return DummyBlank::first;
  if (scheme != "always") fields.refuse("prepend_scheme", shown(scheme) + "; expected first, always or never");
  return DummyBlank::each;
}

/// The normalizer of older files: Prepend, then Replace, or Replace alone.
DummyBlank of_normalizer(const json& normalizer, const std::string& where) {
  const json prepend{{"type", "Prepend"}, {"prepend", kJsonBlank}};
  const json replace{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kJsonBlank}};
  if (normalizer == json{{"type", "Sequence"}, {"normalizers", {prepend, replace}}}) return DummyBlank::each_always;
  if (normalizer == replace || normalizer == json{{"type", "Sequence"}, {"normalizers", json::array({replace})}}) return DummyBlank::never;
  throw InputError(where + ": is not Prepend and Replace as Llama 2 has them, which is not supported" + kModelAloneHint);
}

}  // namespace

bool is_sentencepiece_json(const std::string& content, const std::string& source) {
  try {
    const json root = parse_file(content, source).root;
    const json model = root.value("model", json()), pre_tokenizer = root.value("pre_tokenizer", json());
    const bool has_words = pre_tokenizer.is_null() || (pre_tokenizer.is_object() && pre_tokenizer.value("type", "") == "Metaspace");
    return model.is_object() && model.value("type", "BPE") == "BPE" && model.value("byte_fallback", false) && has_words;
  } catch (const std::exception&) {
    return false;  // whoever reads it for good says what is wrong
  }
}

SentencePieceRules read_sentencepiece_json(const std::string& content, const std::string& source, const std::string& model,
                                           const TokenizerSettings& settings) {
  const JsonDocument document = parse_file(content, source);
  const std::string where = source + ": ";
  JsonFields root(document.root, where);
  refuse_cutting(root);
  check_model(JsonFields(root.object("model"), where + "model"), model);
  SentencePieceRules rules;
  if (const json* added = root.find("added_tokens")) rules.added = read_added_tokens(*added, where + "added_tokens");
  const bool by_class =
      settings.class_name == "LlamaTokenizer" || settings.class_name == "CodeLlamaTokenizer" || settings.class_name == "GemmaTokenizer";
  const json *normalizer = root.find("normalizer"), *pre_tokenizer = root.find("pre_tokenizer");
  for (const char* key : {"version", "post_processor", "decoder"}) root.ignore(key);
  root.refuse_others();
  if (by_class) {  // transformers makes these from the class
    rules.blank = sentencepiece_rules(settings).blank;
  } else if (settings.add_prefix_space) {
    throw InputError(settings.prefix_where + ": versions of transformers differ in whether it counts beside a tokenizer.json; remove it");
  } else if (pre_tokenizer != nullptr) {
    if (normalizer != nullptr) root.refuse("normalizer", fmt::format("together with a pre_tokenizer is not supported{}", kModelAloneHint));
    rules.blank = of_metaspace(JsonFields(*pre_tokenizer, where + "pre_tokenizer"));
  } else {
    rules.blank = normalizer == nullptr ? DummyBlank::never : of_normalizer(*normalizer, where + "normalizer");
  }
  return rules;
}

}  // namespace mbt
