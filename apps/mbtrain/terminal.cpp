#include "apps/mbtrain/terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace mbt {
namespace {

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) != 0 && std::getenv("OMPI_COMM_WORLD_RANK") == nullptr; }

bool takes_overwriting(int fd) { return is_terminal(fd) && variable("TERM") != "dumb"; }

bool takes_color(int fd) { return takes_overwriting(fd) && variable("NO_COLOR").empty() && !variable("TERM").empty(); }

}  // namespace mbt
