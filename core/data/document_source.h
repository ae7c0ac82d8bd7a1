// Documents of text files, JSONL files and folders, one after the other, in memory that does not grow with the files.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/io/files.h"

namespace mbt {

enum class DocumentKind {
  file,   ///< a document is a whole file
  line,   ///< a line of a file, without its end
  jsonl,  ///< a line of a file, which is JSON
};

struct DocumentSourceOptions {
  std::vector<std::string> inputs;                  ///< files, and folders, whose files come in byte order of their paths
  std::optional<DocumentKind> kind = std::nullopt;  ///< of all files; absent: jsonl for .jsonl and .ndjson, file for all others
  int64_t max_document_bytes = int64_t{256} << 20;
  DocumentKind plain = DocumentKind::file;    ///< of files that are no JSONL by their name, where `kind` is absent
  std::string limit_hint = "raise --max-document-bytes, or cut it into smaller documents (--document line)";
};

/// As it stands in the file.
struct RawDocument {
  std::string bytes;
  DocumentKind kind = DocumentKind::file;
  const std::string* path = nullptr;  ///< lives as long as the source
  int64_t line = 0;                   ///< from 1; 0: the whole file

  /// "notes.txt", "cases.jsonl:12"
  std::string where() const;
};

/// The object of a line of JSONL. InputError: what parse_json refuses, or no object.
nlohmann::json object_of(const RawDocument& document);
/// The string under `key` of that object. InputError: it has none.
const std::string& text_under(const nlohmann::json& object, const std::string& key, const RawDocument& document);

class DocumentSource {
 public:
  /// InputError: an input that is missing, no file and no folder, or a folder without files.
  explicit DocumentSource(const DocumentSourceOptions& options);

  /// The next one; nothing after the last. Empty lines of JSONL are left out. InputError: a file that cannot be read, or a document larger
  /// than max_document_bytes.
  std::optional<RawDocument> next();

  int64_t total_bytes() const { return total_bytes_; }
  /// Thread safe, unlike next().
  int64_t bytes_read() const { return bytes_read_; }
  size_t num_files() const { return paths_.size(); }

 private:
  DocumentKind kind_of(const std::string& path) const;
  RawDocument whole_file();
  std::optional<RawDocument> next_line();
  bool fill();
  [[noreturn]] void refuse_size(const std::string& what) const;

  DocumentSourceOptions options_;
  std::vector<std::string> paths_;
  int64_t total_bytes_ = 0;
  std::atomic<int64_t> bytes_read_ = 0;
  size_t file_ = 0;                   ///< in paths_
  std::unique_ptr<FileReader> open_;  ///< the file whose lines are read
  int64_t offset_ = 0, line_ = 0;
  std::string buffer_;  ///< read of it, from `begin_` on not yet given
  size_t begin_ = 0;
};

}  // namespace mbt
