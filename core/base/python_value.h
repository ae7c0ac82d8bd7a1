// Values as Python and Hydra write them on a command line: 'text', "text", [a, 'b'], (1, 2), [[a, b], None].
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace mbt {

/// Without the quotes around the whole of it: 'a' and "a" are a. Text without them, or with others inside, stays as it is.
std::string_view unquoted(std::string_view text);

/// A list or tuple as a JSON array, with True, False and None (also null), numbers, texts in quotes or bare, and lists inside.
/// is_discarded() where `text` is none.
nlohmann::json parse_python_list(std::string_view text);

}  // namespace mbt
