#include "apps/mbtrain/program.h"

#include <utility>

#include "core/base/error.h"

namespace mbt {

extern const char* const git_commit;  // cmake/commit.cmake

namespace {

std::vector<std::string> words_of_main;

}  // namespace

const char* program_version() { return MBT_VERSION; }
const char* program_commit() { return git_commit; }
std::string program_text() { return fmt::format("mbtrain {} (commit {})", program_version(), program_commit()); }

void set_command_line(std::vector<std::string> words) { words_of_main = std::move(words); }
const std::vector<std::string>& command_line() { return words_of_main; }

}  // namespace mbt
