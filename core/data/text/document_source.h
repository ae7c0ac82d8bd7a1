// Documents of text files, JSONL files and folders, one after the other, in memory that does not grow with the files.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json_reader.h"
#include "core/io/input_stream.h"

namespace mbt {

enum class DocumentKind {
  file,   ///< a document is a whole file
  line,   ///< a line of a file, without its end
  jsonl,  ///< a line of a file, which is JSON
};

struct DocumentSourceOptions {
  std::vector<std::string> inputs;                  ///< files; folders, whose files come in byte order of their paths; "-" and pipes
  std::optional<DocumentKind> kind = std::nullopt;  ///< of all files; absent: jsonl for .jsonl and .ndjson, file for all others
  int64_t max_document_bytes = int64_t{256} << 20;
  DocumentKind plain = DocumentKind::file;  ///< of files not named as JSONL, when `kind` is absent
  std::string limit_hint = "raise --max-document-bytes, or cut it into smaller documents (--document line)";
  bool splits_files = false;   ///< a file that is larger than max_document_bytes comes in pieces, instead of being refused
  bool takes_streams = false;  ///< "-" is standard input, and pipes are read
  std::optional<DocumentKind> stream_kind = std::nullopt;  ///< of a stream whose name does not show its kind; absent: InputError
  const std::atomic<bool>* stop = nullptr;                 ///< ends waiting for a stream with an Error
};

/// As it stands in the file.
struct RawDocument {
  std::string bytes;
  DocumentKind kind = DocumentKind::file;
  const std::string* path = nullptr;  ///< lives as long as the source
  int64_t line = 0;                   ///< from 1; 0: the whole file, or a piece of it
  int64_t offset = 0;                 ///< of a piece, in the file
  bool continues = false;             ///< the next one is of the same document

  /// "notes.txt", "cases.jsonl:12", "notes.txt, from byte 16777216 on"
  std::string where() const;
};

/// Returns whether the name is one of JSON Lines: .jsonl or .ndjson, in upper or lower case.
bool is_json_lines_name(const std::string& path);
/// InputError for a .json file, named by itself, that begins with an object or an array: lines of objects, or a text that is JSON? Says how
/// the user tells, as_text for the latter.
void refuse_unclear_json(const std::string& path, const char* as_text);

/// Parses a line of JSONL as another program's JSON (JsonLimits::is_of_others): call refuse_flaws before using a value. Throws InputError
/// for whatever parse_json rejects, and says what to do where one array or object goes over several lines.
JsonDocument json_of(const RawDocument& document);
/// The same, which must be an object.
JsonDocument object_of(const RawDocument& document);
/// The string under `key` of that object. InputError: it has none; `option` is how the user names another key.
const std::string& text_under(const JsonDocument& line, const std::string& key, const RawDocument& document, const char* option);

class DocumentSource {
 public:
  /// InputError: an input that is missing, no file and no folder, a folder without files, or compressed.
  explicit DocumentSource(const DocumentSourceOptions& options);

  /// Returns the next document; nullopt after the last one. Skips empty lines of JSONL. Throws InputError for a file that cannot be read or
  /// a document larger than max_document_bytes. Pieces end where the usual pre-tokenizers cut (see docs/data.md), so they have the same
  /// tokens as the whole document, except with tokenizers that treat the start of a text specially.
  std::optional<RawDocument> next();

  /// Absent: not known, with streams among the inputs.
  std::optional<int64_t> total_bytes() const { return total_bytes_; }
  /// Thread safe, unlike next().
  int64_t bytes_read() const { return bytes_read_; }
  size_t num_files() const { return paths_.size(); }

 private:
  DocumentKind kind_of(const std::string& path) const;
  void open();
  void close();
  RawDocument file_or_piece();
  std::optional<RawDocument> next_line();
  bool fill();
  [[noreturn]] void refuse_size(const std::string& what) const;

  DocumentSourceOptions options_;
  std::vector<std::string> paths_;
  std::optional<int64_t> total_bytes_ = 0;
  std::atomic<int64_t> bytes_read_ = 0;
  size_t file_ = 0;                    ///< in paths_
  std::unique_ptr<InputStream> open_;  ///< the one that is read
  int64_t line_ = 0, offset_ = 0;      ///< lines and bytes of it that are given
  bool is_in_pieces_ = false;
  std::string buffer_;  ///< read of it, from `begin_` on not yet given
  size_t begin_ = 0;
};

}  // namespace mbt
