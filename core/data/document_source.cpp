#include "core/data/document_source.h"

#include <algorithm>
#include <filesystem>

#include "core/base/json_reader.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kReadBytes = 1 << 20;

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\n") == std::string_view::npos; }

}  // namespace

std::string RawDocument::where() const { return line == 0 ? *path : text(*path, ":", line); }

nlohmann::json object_of(const RawDocument& document) {
  JsonLimits limits;
  limits.max_bytes = INT64_MAX;  // the source has a limit of its own
  limits.record_lines = false;
  limits.first_line = document.line;
  nlohmann::json object = parse_json(document.bytes, *document.path, limits).root;
  if (!object.is_object()) throw InputError(text(document.where(), ": expected an object on each line"));
  return object;
}

const std::string& text_under(const nlohmann::json& object, const std::string& key, const RawDocument& document) {
  const auto found = object.find(key);
  if (found == object.end()) {
    std::vector<std::string> keys;
    for (const auto& [name, value] : object.items()) keys.push_back(shown(name));
    throw InputError(text(document.where(), ": has no key ", shown(key), ", only ", join(keys, ", "), "; give --json-key"));
  }
  if (!found->is_string()) throw InputError(text(document.where(), ": ", shown(key), " is ", found->type_name(), ", expected a string"));
  return found->get_ref<const std::string&>();
}

DocumentSource::DocumentSource(const DocumentSourceOptions& options) : options_(options) {
  for (const std::string& input : options.inputs) {
    std::error_code ignored;
    if (!fs::is_directory(input, ignored)) {
      paths_.push_back(input);
      continue;
    }
    const std::vector<std::string> files = list_files_recursive(input);
    if (files.empty()) throw InputError(input + ": has no files");
    paths_.insert(paths_.end(), files.begin(), files.end());
  }
  for (const std::string& path : paths_) total_bytes_ += FileReader(path).size();
}

DocumentKind DocumentSource::kind_of(const std::string& path) const {
  if (options_.kind) return *options_.kind;
  const std::string suffix = fs::path(path).extension().string();
  return suffix == ".jsonl" || suffix == ".ndjson" ? DocumentKind::jsonl : options_.plain;
}

void DocumentSource::refuse_size(const std::string& what) const {
  throw InputError(text(what, ": is larger than ", options_.max_document_bytes, " bytes; ", options_.limit_hint));
}

std::optional<RawDocument> DocumentSource::next() {
  while (file_ < paths_.size()) {
    if (kind_of(paths_[file_]) == DocumentKind::file) return whole_file();
    if (auto line = next_line()) return line;
    open_.reset();
    ++file_;
  }
  return std::nullopt;
}

RawDocument DocumentSource::whole_file() {
  const std::string& path = paths_[file_++];
  const FileReader file(path);
  if (file.size() > options_.max_document_bytes) refuse_size(path);
  RawDocument document{std::string(static_cast<size_t>(file.size()), '\0'), DocumentKind::file, &path, 0};
  file.read_at(0, document.bytes.data(), file.size());
  bytes_read_ += file.size();
  return document;
}

/// Reads on; false at the end of the file.
bool DocumentSource::fill() {
  const int64_t count = std::min(kReadBytes, open_->size() - offset_);
  if (count <= 0) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t had = buffer_.size();
  buffer_.resize(had + static_cast<size_t>(count));
  open_->read_at(offset_, buffer_.data() + had, count);
  offset_ += count;
  bytes_read_ += count;
  return true;
}

std::optional<RawDocument> DocumentSource::next_line() {
  const std::string& path = paths_[file_];
  const DocumentKind kind = kind_of(path);
  if (!open_) {
    open_ = std::make_unique<FileReader>(path);
    buffer_.clear();
    begin_ = 0;
    offset_ = line_ = 0;
  }
  size_t searched = 0;  // of what begins at begin_
  while (true) {
    const size_t end = buffer_.find('\n', begin_ + searched);
    const bool is_whole = end != std::string::npos;
    if (!is_whole) {
      searched = buffer_.size() - begin_;
      if (static_cast<int64_t>(searched) > options_.max_document_bytes) refuse_size(text(path, ":", line_ + 1));
      if (fill()) continue;
      if (searched == 0) return std::nullopt;
    }
    std::string line = buffer_.substr(begin_, is_whole ? end - begin_ : std::string::npos);
    begin_ += line.size() + (is_whole ? 1 : 0);
    searched = 0;
    ++line_;
    if (static_cast<int64_t>(line.size()) > options_.max_document_bytes) refuse_size(text(path, ":", line_));
    if (kind == DocumentKind::jsonl && is_blank(line)) continue;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return RawDocument{std::move(line), kind, &path, line_};
  }
}

}  // namespace mbt
