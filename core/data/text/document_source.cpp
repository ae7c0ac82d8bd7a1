#include "core/data/text/document_source.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "core/base/strings.h"
#include "core/data/text/compressed.h"
#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kReadBytes = 1 << 20;
constexpr int64_t kPieceBytes = 16 << 20;  // of files too large for one document: some for each thread fit into memory

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\n") == std::string_view::npos; }

std::string lower_suffix(const std::string& path) {
  std::string suffix = fs::path(path).extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix;
}

/// The character at `at`; nothing when that is no UTF-8 or the end cuts it.
std::optional<uint32_t> character_at(std::string_view text, size_t at) {
  if (at >= text.size()) return std::nullopt;
  const auto first = static_cast<unsigned char>(text[at]);
  const size_t width = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (at + width > text.size() || find_invalid_utf8(text.substr(at, width)) != std::string_view::npos) return std::nullopt;
  return code_point_at(text, at);
}

bool is_black(std::optional<uint32_t> c) { return c && (char_table().bits[*c] & kIsSpace) == 0; }

/// Whether text[at - 1] ends a line between two words. A "/" may belong to what ends the line before it, in o200k's pattern.
bool is_between_lines(std::string_view text, size_t at) {
  if (at < 2 || text[at - 1] != '\n' || text[at] == '/') return false;
  return is_black(character_at(text, at)) && is_black(character_at(text, previous_start(text, at - 1)));
}

/// Whether the last one of some white space stands there, a blank or tab.
bool is_last_blank(std::string_view text, size_t at) {
  return (text[at] == ' ' || text[at] == '\t') && is_black(character_at(text, at + 1));
}

/// Where a text is best cut, in its second half. Patterns of pre-tokenizers take white space together, but for the last before a word, and
/// that of line ends: they cut behind a line between two words, and before the last blank of some. Else behind any line; else before a
/// character.
size_t place_to_cut(std::string_view text) {
  size_t after_line = 0, last_blank = 0;
  for (size_t at = text.size() - 1; at > text.size() / 2; --at) {
    if (is_between_lines(text, at)) return at;
    if (after_line == 0 && text[at - 1] == '\n') after_line = at;
    if (last_blank == 0 && is_last_blank(text, at)) last_blank = at;
  }
  if (last_blank > 0) return last_blank;
  if (after_line > 0) return after_line;
  size_t at = text.size() - 1;
  for (int back = 0; back < 3 && at > 1 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; ++back) --at;
  return at;
}

/// The command that makes JSON Lines of a file that is JSON as a whole.
std::string jq_command(const RawDocument& document, const char* filter) {
  const std::string& path = *document.path;
  return path == "-" ? fmt::format("jq -c {}", filter)
                     : fmt::format("jq -c {} {} > {}", filter, path, fs::path(path).replace_extension(".lines.jsonl").string());
}

/// A line that is no JSON by itself, as json.dump(..., indent=2) writes them.
[[noreturn]] void refuse_line(const RawDocument& document, const std::string& why) {
  const std::string_view line = trim(document.bytes);
  const auto refuse_whole = [&](const char* what, const char* filter) {
    throw InputError(
        fmt::format("{}: begins {} that goes over several lines, expected JSON Lines: an object in each line; make them so: {}",
                    document.where(), what, jq_command(document, filter)));
  };
  if (line.starts_with('[')) refuse_whole("a JSON array", "'.[]'");
  if (line == "{") refuse_whole("a JSON object", ".");
  if (document.line == 1 && !is_json_lines_name(*document.path) && *document.path != "-")
    throw InputError(fmt::format("{} (JSON Lines are expected because the kind of the data or the key of its text was given)", why));
  throw InputError(why);
}

}  // namespace

std::string RawDocument::where() const {
  const std::string name = *path == "-" ? "standard input" : *path;
  return line > 0 ? fmt::format("{}:{}", name, line) : offset > 0 ? fmt::format("{}, from byte {} on", name, offset) : name;
}

bool is_json_lines_name(const std::string& path) {
  const std::string suffix = lower_suffix(path);
  return suffix == ".jsonl" || suffix == ".ndjson";
}

void refuse_unclear_json(const std::string& path, const char* as_text) {
  if (lower_suffix(path) != ".json") return;
  const FileReader file(path);
  std::string head(static_cast<size_t>(std::min<int64_t>(64, file.size())), '\0');
  file.read_at(0, head.data(), static_cast<int64_t>(head.size()));
  const size_t begin = head.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos || (head[begin] != '{' && head[begin] != '[')) return;
  throw InputError(fmt::format(
      "{}: begins with {}, and the name does not say whether its lines are objects that hold texts (JSON Lines) or the file is a "
      "text itself: give --json-key KEY, such as text, for the former, {} for the latter",
      path, head[begin], as_text));
}

JsonDocument json_of(const RawDocument& document) {
  JsonLimits limits;
  limits.max_bytes = INT64_MAX;  // the source has a limit of its own
  limits.record_lines = false;
  limits.is_of_others = true;
  limits.first_line = document.line;
  try {
    return parse_json(document.bytes, *document.path == "-" ? "standard input" : *document.path, limits);
  } catch (const InputError& error) {
    refuse_line(document, error.what());
  }
}

JsonDocument object_of(const RawDocument& document) {
  JsonDocument object = json_of(document);
  if (object.root.is_object()) return object;
  const std::string hint = object.root.is_array() ? "; make lines of an array so: " + jq_command(document, "'.[]'") : "";
  throw InputError(fmt::format("{}: is {}, expected an object on each line, such as {{\"text\": \"...\"}}{}", document.where(),
                               object.root.type_name(), hint));
}

const std::string& text_under(const JsonDocument& line, const std::string& key, const RawDocument& document, const char* option) {
  const nlohmann::json& object = line.root;
  const auto found = object.find(key);
  if (found == object.end()) {
    std::vector<std::string> keys;
    for (const auto& [name, value] : object.items()) keys.push_back(shown(name));
    throw InputError(fmt::format("{}: has no key {}, only {}; name the key of the text with {}", document.where(), shown(key),
                                 keys.empty() ? "none" : join(keys, ", "), option));
  }
  line.refuse_flaws("/" + json_pointer_member(key), false);
  if (!found->is_string()) {
    const std::string value = found->is_structured() || found->is_null() ? "" : " " + found->dump();
    throw InputError(fmt::format("{}: {} is {}{}, expected a string; leave the line out, or name another key with {}", document.where(),
                                 shown(key), found->type_name(), value, option));
  }
  return found->get_ref<const std::string&>();
}

DocumentSource::DocumentSource(const DocumentSourceOptions& options) : options_(options) {
  for (const std::string& input : options.inputs) {
    std::error_code ignored;
    if (!fs::is_directory(input, ignored)) {
      paths_.push_back(input);
      if (!options.kind && input != "-" && fs::is_regular_file(input, ignored)) refuse_unclear_json(input, "another name, such as .txt,");
      continue;
    }
    const std::vector<std::string> files = list_files_recursive(input);
    if (files.empty()) throw InputError(input + ": has no files");
    paths_.insert(paths_.end(), files.begin(), files.end());
  }
  for (const std::string& path : paths_) {
    static_cast<void>(kind_of(path));
    if (options_.takes_streams && is_stream(path)) total_bytes_.reset();
    else if (const FileReader file(path); total_bytes_) *total_bytes_ += file.size();
  }
}

DocumentKind DocumentSource::kind_of(const std::string& path) const {
  if (options_.kind) return *options_.kind;
  if (is_json_lines_name(path)) return DocumentKind::jsonl;
  if (!options_.takes_streams || !is_stream(path)) return options_.plain;
  if (options_.stream_kind) return *options_.stream_kind;
  throw InputError(fmt::format("--input {}: the format of a stream is not known from its name; give --document jsonl, line or file", path));
}

void DocumentSource::refuse_size(const std::string& what) const {
  throw InputError(fmt::format("{}: is larger than {} bytes; {}", what, options_.max_document_bytes, options_.limit_hint));
}

std::optional<RawDocument> DocumentSource::next() {
  while (file_ < paths_.size()) {
    if (!open_) open();
    if (kind_of(paths_[file_]) == DocumentKind::file) return file_or_piece();
    if (auto line = next_line()) return line;
    close();
  }
  return std::nullopt;
}

void DocumentSource::open() {
  open_ = std::make_unique<InputStream>(paths_[file_], options_.takes_streams, options_.stop);
  buffer_.clear();
  begin_ = 0;
  offset_ = line_ = 0;
  is_in_pieces_ = options_.splits_files && open_->size().value_or(0) > options_.max_document_bytes;
  fill();
  refuse_compressed(buffer_, paths_[file_]);
}

void DocumentSource::close() {
  open_.reset();
  ++file_;
}

RawDocument DocumentSource::file_or_piece() {
  const std::string& path = paths_[file_];
  const auto left = [&] { return static_cast<int64_t>(buffer_.size() - begin_); };
  if (!is_in_pieces_) {
    if (open_->size().value_or(0) > options_.max_document_bytes) refuse_size(path);
    while (left() <= options_.max_document_bytes && fill()) {
    }
    is_in_pieces_ = left() > options_.max_document_bytes;
    if (is_in_pieces_ && !options_.splits_files) refuse_size(path);
  }
  RawDocument document{.bytes = {}, .kind = DocumentKind::file, .path = &path, .offset = offset_};
  const int64_t most = is_in_pieces_ ? std::min(kPieceBytes, options_.max_document_bytes) : options_.max_document_bytes;
  while (left() <= most && fill()) {
  }
  document.continues = left() > most;
  if (document.continues) {
    document.bytes = buffer_.substr(begin_, place_to_cut(std::string_view(buffer_).substr(begin_, static_cast<size_t>(most) + 1)));
    begin_ += document.bytes.size();
    offset_ += static_cast<int64_t>(document.bytes.size());
    return document;
  }
  buffer_.erase(0, begin_);
  document.bytes = std::move(buffer_);
  close();
  return document;
}

/// Reads on; false at the end.
bool DocumentSource::fill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t had = buffer_.size();
  const int64_t wanted = std::min(kReadBytes, open_->left().value_or(kReadBytes));
  buffer_.resize(had + static_cast<size_t>(wanted));
  const int64_t count = open_->read(buffer_.data() + had, wanted);
  buffer_.resize(had + static_cast<size_t>(count));
  bytes_read_ += count;
  return count > 0;
}

std::optional<RawDocument> DocumentSource::next_line() {
  const std::string& path = paths_[file_];
  const DocumentKind kind = kind_of(path);
  size_t searched = 0;  // of what begins at begin_
  while (true) {
    const size_t end = buffer_.find('\n', begin_ + searched);
    const bool is_whole = end != std::string::npos;
    if (!is_whole) {
      searched = buffer_.size() - begin_;
      if (static_cast<int64_t>(searched) > options_.max_document_bytes) refuse_size(fmt::format("{}:{}", path, line_ + 1));
      if (fill()) continue;
      if (searched == 0) return std::nullopt;
    }
    std::string line = buffer_.substr(begin_, is_whole ? end - begin_ : std::string::npos);
    begin_ += line.size() + (is_whole ? 1 : 0);
    searched = 0;
    ++line_;
    if (static_cast<int64_t>(line.size()) > options_.max_document_bytes) refuse_size(fmt::format("{}:{}", path, line_));
    if (kind == DocumentKind::jsonl && is_blank(line)) continue;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return RawDocument{.bytes = std::move(line), .kind = kind, .path = &path, .line = line_};
  }
}

}  // namespace mbt
