// A strict reader for JSON text that people write. It records the line of every value.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mbt {

struct JsonLimits {
  int64_t max_bytes = 16 << 20;
  int64_t max_depth = 100;
  bool record_lines = true;   ///< false: for large machine-written headers
  bool is_of_others = false;  ///< true: another program wrote the file and few of its values matter. A value that would be refused becomes
                              ///< a flaw of the document instead, and half a surrogate pair is read as U+FFFD
  int64_t first_line = 1;     ///< where the text is part of a file: the line that it begins in
};

/// A value that Python's json reads, and that is refused where it is needed: NaN, Infinity, integers outside int64, numbers outside double,
/// a key that appears twice, nesting deeper than max_depth.
struct JsonFlaw {
  std::string pointer;
  int64_t line = 0;
  std::string what;
  bool is_left_out = false;  ///< an empty object or array stands in its place
};

struct JsonDocument {
  nlohmann::json root;
  std::string source;                              ///< the file's path, or what else the text is: for messages
  std::unordered_map<std::string, int64_t> lines;  ///< JSON pointer ("" is the root, "/model/lr") to line, from 1; of a member: its key's
  std::vector<JsonFlaw> flaws;                     ///< with JsonLimits::is_of_others: as Python reads them in `root` (of keys the last one)

  /// "run.json:12" for the value at `pointer`, or `source` when its line is not known.
  std::string where(const std::string& pointer) const;
  /// To be called before the value at `pointer` is used: InputError when it, what it is part of, or (with_parts) a part of it has a flaw.
  void refuse_flaws(const std::string& pointer, bool with_parts = true) const;
};

/// One member of a JSON pointer: '~' and '/' escaped.
std::string json_pointer_member(std::string_view key);

/// Refuses beside syntax errors (but see JsonLimits::is_of_others): duplicate keys, nesting deeper than max_depth, NaN and Infinity,
/// integers outside int64, numbers outside double, bytes that are not UTF-8, more than max_bytes. Throws InputError "source:line: what
/// came, what was expected".
JsonDocument parse_json(std::string_view text, const std::string& source, const JsonLimits& limits = {});

/// The whole file. Throws InputError when it is missing, a folder, unreadable or larger than max_bytes, and as parse_json.
JsonDocument read_json_file(const std::string& path, const JsonLimits& limits = {});

}  // namespace mbt
