// Which program this is, and how it was started.
#pragma once

#include <string>
#include <vector>

namespace mbt {

const char* program_version();  ///< "0.1.0"
/// The git commit that it was built from: "abc1234", with "-dirty" where files differed from it, "unknown" where the sources were no clone.
const char* program_commit();
/// "mbtrain 0.1.0 (commit abc1234)".
std::string program_text();

/// main()'s words, the program first.
void set_command_line(std::vector<std::string> words);
const std::vector<std::string>& command_line();

}  // namespace mbt
