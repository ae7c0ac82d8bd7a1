// Files that hold text only after another program has unpacked them.
#pragma once

#include <string>
#include <string_view>

namespace mbt {

/// InputError when a file begins as compressed or columnar ones do: its kind, and the command that makes text of it. `head`: its first
/// bytes.
void refuse_compressed(std::string_view head, const std::string& path);
/// The same of the file, where it can be read at all.
void refuse_compressed(const std::string& path);

}  // namespace mbt
