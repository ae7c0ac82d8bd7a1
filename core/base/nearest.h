// The valid name that a user may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mbt {

/// Edits (insert, delete, replace, swap neighbors) from one word to the other; case and '-' against '_' cost nothing.
int edit_distance(std::string_view a, std::string_view b);

/// The name with the least distance to `word`, the first of several; empty when none is near (more than a third of the letters differ).
std::string nearest(std::string_view word, const std::vector<std::string>& names);

/// `; did you mean "hidden_size"?`, or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& names);

}  // namespace mbt
