#include "apps/mbtrain/text_table.h"

#include <algorithm>
#include <cstdio>

namespace mbt {
namespace {

/// `value` in the largest unit that leaves at least 1, with two decimals, one or none: three digits.
std::string scaled(double value, double base, const std::vector<const char*>& units) {
  size_t unit = 0;
  for (; unit + 1 < units.size() && value >= base; ++unit) value /= base;
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f %s", unit == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0, value, units[unit]);
  return buffer;
}

}  // namespace

std::string TextTable::str(const std::string& indent) const {
  std::vector<size_t> widths(alignment_.size(), 0);
  for (const Row& row : rows_)
    for (size_t i = 0; i < row.cells.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], row.cells[i].size());
  std::string out;
  for (const Row& row : rows_) {
    std::string line = indent + row.line;
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const std::string padding(widths[i] - row.cells[i].size(), ' ');
      line += (i > 0 ? "  " : "") + (alignment_[i] == 'r' ? padding + row.cells[i] : row.cells[i] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string with_commas(int64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string formatted(const char* format, double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

std::string human_bytes(int64_t bytes) { return scaled(static_cast<double>(bytes), 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}); }
std::string human_number(double value) { return scaled(value, 1000, {"", "k", "M", "G", "T", "P", "E"}); }

}  // namespace mbt
