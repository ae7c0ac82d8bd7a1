// Detects compressed files, which another program must unpack first.
#pragma once

#include <string>
#include <string_view>

namespace mbt {

/// Throws InputError when `head`, the first bytes of a file, are those of a compressed or columnar file. The message names the format and
/// the command that converts the file to text.
void refuse_compressed(std::string_view head, const std::string& path);
/// The same of the file, where it can be read at all.
void refuse_compressed(const std::string& path);

}  // namespace mbt
