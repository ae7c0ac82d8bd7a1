// What Python's json writes and reads although JSON does not have it, or a number cannot hold it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

/// A token of a text that nlohmann's parser refuses: NaN, Infinity, -Infinity, a number beyond double.
struct OddToken {
  size_t at = 0;
  std::string text;
  double value = 0;  ///< what Python's json reads
};

/// A text of the same length in the same lines, which the parser takes: the odd tokens stand as 0 in it, and halves of surrogate pairs,
/// which Python and JavaScript write where a text was cut inside a character, as U+FFFD.
struct MendedJson {
  std::string text;           ///< empty: the text needs no mending
  std::vector<OddToken> odd;  ///< in the order of the text
};

MendedJson mend_json(std::string_view json);

/// `json` with what no number of nlohmann's holds exactly (odd tokens, integers beyond 64 bits) as marked strings: it can be parsed,
/// changed and written again, and without_marks then has each as it was.
std::string with_marks(std::string_view json);
std::string without_marks(std::string_view json);

}  // namespace mbt
