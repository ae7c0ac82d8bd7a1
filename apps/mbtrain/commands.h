// The verbs of mbtrain. Each lives in cmd_<verb>.cpp, takes the arguments after its name and returns the exit code (0 done, 1 the run
// failed); bad usage and bad input are thrown as InputError, which main() turns into exit code 2.
#pragma once

#include <string>
#include <vector>

namespace mbt {

int cmd_config(const std::vector<std::string>& args);

struct Verb {
  const char* name;
  const char* doc;  ///< one line of `mbtrain --help`
  int (*run)(const std::vector<std::string>& args);
};

/// In the order of `mbtrain --help`. "train" is also run when no verb is named.
const std::vector<Verb>& verbs();

}  // namespace mbt
