// Aligned columns of text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mbt {

class TextTable {
 public:
  /// One letter a column: 'l' left, 'r' right.
  explicit TextTable(std::string alignment) : alignment_(std::move(alignment)) {}

  void add(std::vector<std::string> cells) { rows_.push_back({std::move(cells), ""}); }
  /// A line of text across all columns, under the row before it.
  void add_line(std::string line) { rows_.push_back({{}, std::move(line)}); }

  /// Two blanks between columns, none at the end of a line.
  std::string str(const std::string& indent = "  ") const;

 private:
  struct Row {
    std::vector<std::string> cells;  ///< empty: a line
    std::string line;
  };
  std::string alignment_;
  std::vector<Row> rows_;
};

/// As printf writes one number.
std::string formatted(const char* format, double value);
/// 1234567 as "1,234,567".
std::string with_commas(int64_t n);
/// Bytes as "1.50 GiB", three digits.
std::string human_bytes(int64_t bytes);
/// 51470402560 as "51.47 G".
std::string human_number(double value);

}  // namespace mbt
