// Names with their explanations, as --help shows them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace mbt {

/// A line per row, indented by two blanks: name, then its text wrapped so that no line is longer than `width`. A name that is too long for
/// its column has the text below it. Only a single word that does not fit makes a longer line.
std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows, size_t width);

}  // namespace mbt
