// Errors of the library. core and kernels throw; only apps print and choose the exit code.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace mbt {

/// A run that cannot go on (exit code 1): out of memory, a NaN loss under the abort policy, an internal contract broken.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A backend does not have enough memory for a request (exit code 1).
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// Something the user gave cannot be used (exit code 2): a config field, a file, a folder, a flag.
/// The text says what came, what was expected, where (file, line, field) and what to do.
class InputError : public Error {
 public:
  using Error::Error;
};

/// Output that could not be written once it was begun (exit code 1): a full disk, a quota, a reader that went away.
class WriteError : public Error {
 public:
  using Error::Error;
};

/// An error that all ranks have agreed on and that each of them throws. One rank reports it, and all exit cleanly with this exit code.
class AgreedError : public Error {
 public:
  AgreedError(const std::string& what, int code) : Error(what), exit_code(code) {}
  int exit_code;
};

}  // namespace mbt

/// Internal contract: throws mbt::Error with the condition, the place and a message when it does not hold: MBT_CHECK(n > 0, "{} rows", n).
#define MBT_CHECK(condition, ...)                                                                                                    \
  do {                                                                                                                               \
    if (!(condition)) {                                                                                                              \
      throw ::mbt::Error(::fmt::format("check failed: {} ({}:{}): {}", #condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__))); \
    }                                                                                                                                \
  } while (false)
