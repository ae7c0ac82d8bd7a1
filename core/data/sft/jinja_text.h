// Layout of jinja texts.
#pragma once

#include <string>
#include <string_view>

namespace mbt {

/// Returns the text in a form of its own, equal for texts that differ only in layout: blanks and line ends between and within tags, kinds
/// of quotes, comments, `.name` for `['name']`, text outside of tags, strings and outputs in one piece or several. Blocks are trimmed as
/// transformers does (trim_blocks, lstrip_blocks). What is no jinja gives any text.
std::string plain_jinja(std::string_view jinja);

/// A string of jinja that stands for `text`, in quotes; and back, nothing where it is no such string.
std::string quoted_for_jinja(std::string_view text);
std::string unquoted_from_jinja(std::string_view quoted);

}  // namespace mbt
