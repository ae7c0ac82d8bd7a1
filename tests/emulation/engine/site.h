// Where in a kernel's source a device function is called; errors name it.
#pragma once

#include <cstring>

namespace mbt::emulation {

/// std::source_location in short: clang 14 has the builtins but not the class.
struct Site {
  const char* file = "";
  int line = 0;

  /// As a default argument: the place of the call.
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
  friend bool operator==(const Site& a, const Site& b) {
    return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
  }
};

}  // namespace mbt::emulation
