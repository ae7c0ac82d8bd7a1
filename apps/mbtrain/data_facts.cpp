// mbtrain data inspect FILE: the header of a file of tokens, or what a file of text holds.
#include <algorithm>
#include <filesystem>
#include <map>

#include "apps/mbtrain/cmd_data.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/data/data_source.h"
#include "core/data/megatron/indexed_reader.h"
#include "core/data/sft/example_forms.h"
#include "core/data/text/document_source.h"
#include "core/data/token_file.h"
#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int64_t kPiece = 1 << 20;  // tokens that are looked at together

ordered_json facts_of_pair(const std::string& path) {
  const IndexedReader r(path);
  const int64_t sequences = r.num_sequences();
  ordered_json facts = {{"format", "Megatron indexed"},
                        {"prefix", r.paths().prefix},
                        {"dtype", name_of(r.dtype())},
                        {"documents", r.num_documents()},
                        {"sequences", sequences},
                        {"tokens", r.num_tokens()},
                        {"longest_sequence", r.longest_sequence()},
                        {"mean_sequence", sequences > 0 ? static_cast<double>(r.num_tokens()) / static_cast<double>(sequences) : 0.0},
                        {"bin_bytes", r.bin_bytes()},
                        {"bytes_behind_last_sequence", r.bytes_behind_last_sequence()},
                        {"modes", r.has_modes()}};
  int32_t largest = -1;
  std::vector<int32_t> buffer(kPiece);
  for (int64_t s = 0; s < sequences; ++s) {  // all of it: this is the look that training does not take before it begins
    for (int64_t at = 0; at < r.length(s); at += kPiece) {
      const int64_t count = std::min(kPiece, r.length(s) - at);
      r.read(s, at, count, buffer.data());
      largest = std::max(largest, *std::max_element(buffer.begin(), buffer.begin() + count));
    }
  }
  facts["largest_token"] = largest;
  return facts;
}

ordered_json facts_of_tokens(const std::string& path, TokenLayout layout = TokenLayout::with_header) {
  const TokenFile f(path, int64_t{1} << 31, layout);
  int32_t largest = -1;
  int64_t in_loss = 0;
  std::vector<int32_t> buffer(kPiece);
  for (int64_t at = 0; at < f.num_tokens(); at += kPiece) {
    const int64_t count = std::min(kPiece, f.num_tokens() - at);
    f.read(at, count, buffer.data());
    largest = std::max(largest, *std::max_element(buffer.begin(), buffer.begin() + count));
    for (int64_t t = 0; t < count; ++t) in_loss += f.is_in_loss(at + t);
  }
  return {{"format", f.format()},      {"path", f.path()},        {"tokens", f.num_tokens()}, {"vocab_size", f.header_vocab_size()},
          {"tokens_in_loss", in_loss}, {"largest_token", largest}};
}

/// Keys with how many objects have them, and as what: {"text": "9 string, 1 null"}.
ordered_json facts_of_jsonl(const DataSource& source) {
  DocumentSource lines({.inputs = source.files, .kind = DocumentKind::jsonl});
  std::map<std::string, std::map<std::string, int64_t>> keys;
  int64_t objects = 0, longest = 0, examples = 0;
  constexpr size_t kMostKeys = 100;
  while (const auto line = lines.next()) {
    const JsonDocument document = object_of(*line);
    const nlohmann::json& object = document.root;
    ++objects;
    longest = std::max(longest, static_cast<int64_t>(line->bytes.size()));
    examples += has_example_form(object);
    for (const auto& [key, value] : object.items())
      if (keys.size() < kMostKeys || keys.contains(key)) ++keys[key][value.type_name()];
  }
  ordered_json facts = {{"format", "JSON Lines"},          {"path", source.path}, {"files", source.files.size()},
                        {"bytes", lines.bytes_read()},     {"objects", objects},  {"longest_line_bytes", longest},
                        {"fine_tuning_examples", examples}};
  for (const auto& [key, types] : keys) {
    std::vector<std::string> counts;
    for (const auto& [type, count] : types) counts.push_back(fmt::format("{} {}", count, type));
    facts["key " + shown(key)] = join(counts, ", ");
  }
  return facts;
}

ordered_json facts_of_text(const DataSource& source) {
  DocumentSource pieces({.inputs = source.files, .kind = DocumentKind::file, .max_document_bytes = 16 << 20, .splits_files = true});
  int64_t lines = 0, not_utf8 = 0, with_zeros = 0;
  bool is_whole = true, has_zero = false, is_utf8 = true;
  while (const auto piece = pieces.next()) {
    lines += std::count(piece->bytes.begin(), piece->bytes.end(), '\n');
    is_utf8 = (is_whole || is_utf8) && find_invalid_utf8(piece->bytes) == std::string::npos;
    has_zero = (!is_whole && has_zero) || piece->bytes.find('\0') != std::string::npos;
    is_whole = !piece->continues;
    not_utf8 += is_whole && !is_utf8;
    with_zeros += is_whole && has_zero;
  }
  return {{"format", "text"}, {"path", source.path},        {"files", source.files.size()},       {"bytes", pieces.bytes_read()},
          {"lines", lines},   {"files_not_utf8", not_utf8}, {"files_with_zero_bytes", with_zeros}};
}

/// Of several files, only how many tokens each has.
ordered_json facts_of_token_files(const std::vector<std::string>& files, TokenLayout layout) {
  if (files.size() == 1) return facts_of_tokens(files.front(), layout);
  ordered_json all;
  for (const std::string& file : files) all[file] = facts_of_tokens(file, layout)["tokens"];
  return all;
}

/// As dataset.kind says: examples are lines of JSON, and made-up data says nothing of a file.
DatasetKind kind_to_inspect(DatasetKind kind) {
  if (kind == DatasetKind::sft) return DatasetKind::jsonl;
  return kind == DatasetKind::synthetic ? DatasetKind::automatic : kind;
}

/// What users confuse with training data, and the verb that shows it.
void refuse_other_things(const fs::path& path) {
  const auto refuse = [&](const char* what, const char* verb) {
    throw InputError(fmt::format("{}: is {}, not training data; see it with `mbtrain {}`", path.string(), what, verb));
  };
  const std::string name = path.filename().string();
  std::error_code none;
  const auto has = [&](const char* file) { return fs::exists(path / file, none); };
  if (name == "tokenizer.json" || name.ends_with(".model")) refuse("a tokenizer", fmt::format("tokenizer show {}", path.string()).c_str());
  if (name.ends_with(".safetensors") || has("model.safetensors") || has("model.safetensors.index.json"))
    refuse("a model", "convert --help");
  if (has("metadata.json") || has("latest_checkpointed_iteration.txt")) refuse("a checkpoint", "generate --help");
  if (has("tokenizer.json") || has("tokenizer.model")) refuse("a tokenizer", fmt::format("tokenizer show {}", path.string()).c_str());
}

}  // namespace

ordered_json data_facts(const std::string& path, const DatasetConfig& config) {
  refuse_other_things(path);
  std::error_code none;
  if (!fs::exists(path, none) && path.find_first_of("*?[") == path.npos) {
    const IndexedPaths pair(path);
    if (!fs::exists(pair.bin, none) && !fs::exists(pair.idx, none))
      throw InputError(fmt::format("{}: no such file or folder, and no pair {} and {} with this prefix", path, pair.bin, pair.idx));
    return facts_of_pair(path);
  }
  const DatasetKind kind = kind_to_inspect(config.kind);
  if (kind == DatasetKind::automatic && TokenFile::recognizes(path)) return facts_of_tokens(path);
  const DataSource source = find_source(path, kind, config.json_key.has_value());
  switch (source.kind) {
    case DataKind::megatron: return facts_of_pair(path);
    case DataKind::jsonl: return facts_of_jsonl(source);
    case DataKind::text: return facts_of_text(source);
    case DataKind::nanogpt: return facts_of_token_files(source.files, TokenLayout::nanogpt);
    case DataKind::tokens: break;
  }
  return facts_of_token_files(source.files, TokenLayout::with_header);
}

}  // namespace mbt
