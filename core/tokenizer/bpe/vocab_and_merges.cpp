#include "core/tokenizer/bpe/vocab_and_merges.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/tokenizer/bpe/json_fields.h"
#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

using nlohmann::json;

/// Of transformers' Qwen2Tokenizer.
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// One merge per line, two tokens with a blank between them. Lines that begin with "#version" are none, as in the `tokenizers` package.
json read_merges_file(std::string_view text, const std::string& path) {
  if (const size_t wrong = find_invalid_utf8(text); wrong != std::string_view::npos)
    throw InputError(fmt::format("{}: byte {} is not UTF-8: {}", path, wrong, shown(text.substr(wrong, 4))));
  json merges = json::array();
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n');
    std::string_view merge = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (merge.ends_with('\r')) merge.remove_suffix(1);
    if (merge.starts_with("#version")) continue;
    const size_t blank = merge.find(' ');
    if (blank == std::string_view::npos || merge.find(' ', blank + 1) != std::string_view::npos)
      throw InputError(fmt::format("{}:{}: {}; expected two tokens with a blank between them", path, line, shown(merge)));
    merges.push_back(json::array({std::string(merge.substr(0, blank)), std::string(merge.substr(blank + 1))}));
  }
  return merges;
}

}  // namespace

std::string vocab_and_merges_json(std::string_view vocab, const std::string& vocab_path, std::string_view merges,
                                  const std::string& merges_path, const std::string& class_name, const std::string& class_where) {
  const bool is_qwen = class_name == "Qwen2Tokenizer";
  if (!is_qwen && !class_name.empty() && class_name != "GPT2Tokenizer")
    throw InputError(fmt::format("{}: {}; with vocab.json and merges.txt, GPT2Tokenizer and Qwen2Tokenizer are supported", class_where,
                                 shown(class_name)));
  json tokens = parse_json(vocab, vocab_path, {.max_bytes = int64_t{256} << 20, .record_lines = false}).root;
  if (!tokens.is_object())
    throw InputError(fmt::format("{}: {}; expected an object of tokens and their ids", vocab_path, shown_json(tokens)));
  const json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", !is_qwen}};
  json file;
  file["model"] = {{"type", "BPE"}, {"vocab", std::move(tokens)}, {"merges", read_merges_file(merges, merges_path)}};
  file["pre_tokenizer"] = byte_level;
  file["decoder"] = byte_level;
  if (is_qwen) {
    const json split{{"type", "Split"}, {"pattern", {{"Regex", kQwen2Pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", json::array({split, byte_level})}};
    file["normalizer"] = {{"type", "NFC"}};
  }
  return json_text(file);
}

}  // namespace mbt
