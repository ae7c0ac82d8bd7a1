#include "core/data/data_source.h"

#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/data/megatron/indexed_format.h"
#include "core/data/text/compressed.h"
#include "core/data/text/document_source.h"
#include "core/data/token_file.h"
#include "core/io/files.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code none;
  return fs::exists(path, none);
}

bool is_folder(const std::string& path) {
  std::error_code none;
  return fs::is_directory(path, none);
}

std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> files;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::sort(files.begin(), files.end());
  return files;
}

bool ends_with_any(const std::string& path, std::initializer_list<const char*> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(), [&](const char* s) { return path.ends_with(s); });
}

DataKind kind_of_file(const std::string& path) {
  if (is_json_lines_name(path)) return DataKind::jsonl;
  if (path.ends_with(".bin") || TokenFile::recognizes(path)) return DataKind::tokens;
  return DataKind::text;
}

/// A folder is of a kind when all of its files are: a stray .jsonl or .idx in a folder of sources changes nothing.
DataKind kind_of_files(const std::string& path, const std::vector<std::string>& files) {
  const auto all = [&](auto is_of_kind) { return !files.empty() && std::all_of(files.begin(), files.end(), is_of_kind); };
  if (all([](const std::string& f) { return kind_of_file(f) == DataKind::jsonl; })) return DataKind::jsonl;
  if (all([](const std::string& f) { return TokenFile::recognizes(f); })) return DataKind::tokens;
  if (all([](const std::string& f) { return ends_with_any(f, {".bin", ".idx"}); })) {
    throw InputError(
        fmt::format("dataset.path {}: a folder of .bin and .idx files; name pairs of Megatron data by their prefix, such as {}, several of "
                    "them as dataset.blend",
                    path, IndexedPaths(files.front()).prefix));
  }
  return DataKind::text;
}

std::optional<DataKind> asked_kind(DatasetKind kind) {
  switch (kind) {
    case DatasetKind::text: return DataKind::text;
    case DatasetKind::jsonl: return DataKind::jsonl;
    case DatasetKind::megatron: return DataKind::megatron;
    case DatasetKind::tokens: return DataKind::tokens;
    case DatasetKind::nanogpt: return DataKind::nanogpt;
    case DatasetKind::automatic:
    case DatasetKind::synthetic:
    case DatasetKind::sft: break;
  }
  return std::nullopt;
}

/// Of a folder or pattern, the files that a kind can be about. JSON Lines are told from other files by their names, where some have one.
void keep_files_of(DataKind kind, std::vector<std::string>& files) {
  const auto is_other = [&](const std::string& f) {
    if (kind == DataKind::jsonl) return !is_json_lines_name(f) && !ends_with_any(f, {".json", ".JSON"});
    return kind == DataKind::tokens && !TokenFile::recognizes(f);
  };
  if (kind == DataKind::jsonl && std::all_of(files.begin(), files.end(), is_other)) return;
  files.erase(std::remove_if(files.begin(), files.end(), is_other), files.end());
}

/// What nanoGPT's prepare.py leaves in a folder.
std::vector<std::string> nanogpt_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const char* name : kNanogptNames)
    if (const std::string file = (fs::path(folder) / name).string(); exists(file)) files.push_back(file);
  if (!files.empty()) return files;
  throw InputError(
      fmt::format("dataset.path {}: has no train.bin and no val.bin, expected the folder in which nanoGPT's prepare.py has "
                  "written them, or one such file",
                  folder));
}

}  // namespace

DataSource find_source(const std::string& path, DatasetKind kind, bool has_json_key) {
  DataSource source;
  source.path = path;
  const std::optional<DataKind> named = asked_kind(kind);
  const bool is_pair = exists(IndexedPaths(path).idx) && !is_folder(path) && (!exists(path) || ends_with_any(path, {".bin", ".idx"}));
  if (named == DataKind::megatron || (!named && is_pair)) {
    source.kind = DataKind::megatron;
    source.files = {IndexedPaths(path).prefix};
    return source;
  }
  const bool is_pattern = !exists(path) && path.find_first_of("*?[") != path.npos;
  if (is_pattern) source.files = matches_of(path);
  else if (is_folder(path) && named == DataKind::nanogpt) source.files = nanogpt_files(path);
  else if (is_folder(path)) source.files = list_files_recursive(path);
  else source.files = {path};
  if (is_pattern && source.files.empty()) throw InputError(fmt::format("dataset.path {}: no file matches", path));
  if (!source.files.empty() && named != DataKind::nanogpt) refuse_compressed(source.files.front());  // raw tokens may begin in any way
  const bool is_one = source.files.size() == 1 && source.files.front() == path;
  if (named) {
    source.kind = *named;
    if (!is_one && !(is_pattern && named == DataKind::jsonl)) keep_files_of(*named, source.files);
    if (source.files.empty())
      throw InputError(fmt::format("dataset.path {}: holds no file that dataset.kind {} can read", path, name_of(kind)));
  } else if (is_one) {
    source.kind = kind_of_file(path);
    if (source.kind == DataKind::text && !has_json_key) refuse_unclear_json(path, "--dataset.kind text");
  } else {
    source.kind = kind_of_files(path, source.files);
  }
  if (!named && has_json_key && source.kind == DataKind::text) source.kind = DataKind::jsonl;
  return source;
}

namespace {

/// Numbers in a list that is not weighted: a weight is missing or one too many, or they are no weights.
void refuse_numbers(const std::vector<std::string>& items, const std::string& field) {
  for (const std::string& item : items) {
    double unused = 0;
    char* end = nullptr;
    std::strtod(item.c_str(), &end);  // also nan and inf
    const bool is_number = parse_number(item, unused) != ParseResult::malformed || (!item.empty() && *end == '\0');
    if (!is_number || exists(item) || exists(IndexedPaths(item).idx)) continue;
    throw InputError(
        fmt::format("{}: {} is no file, and as a weight it does not fit: the list has {} items, expected weight, path, weight, path, ... "
                    "with finite weights above 0, or only paths",
                    field, shown(item), items.size()));
  }
}

}  // namespace

std::vector<WeightedPath> parse_blend(const std::vector<std::string>& items, const std::string& field) {
  double weight = 0;
  bool is_weighted = !items.empty() && items.size() % 2 == 0;
  for (size_t i = 0; i < items.size() && is_weighted; i += 2) is_weighted = parse_number(items[i], weight) == ParseResult::ok;
  if (!is_weighted) refuse_numbers(items, field);
  std::vector<WeightedPath> paths;
  for (size_t i = is_weighted ? 1 : 0; i < items.size(); i += is_weighted ? 2 : 1) {
    if (is_weighted) parse_number(items[i - 1], weight);
    if (is_weighted && !(weight > 0))
      throw InputError(fmt::format("{}: the weight of {} is {}, expected more than 0; leave the path out if it should not be used", field,
                                   items[i], items[i - 1]));
    if (items[i].empty()) throw InputError(fmt::format("{}: an empty path", field));
    paths.push_back({is_weighted ? weight : 0, items[i]});
  }
  if (paths.empty()) throw InputError(fmt::format("{}: no path", field));
  constexpr size_t kMost = std::numeric_limits<int16_t>::max();
  if (paths.size() > kMost) throw InputError(fmt::format("{}: {} paths, expected at most {}", field, paths.size(), kMost));
  return paths;
}

}  // namespace mbt
