// Which optional parts this build has, as CMake reported them when it was configured (cmake/options.cmake writes the list).
#pragma once

#include <string>
#include <vector>

namespace mbt {

struct BuildPart {
  std::string name;  ///< the CMake option, "MBT_ONEDNN"
  bool is_built_in;
  std::string said;  ///< "using oneDNN 2.6.0", or why not and what is lost without it
};
const std::vector<BuildPart>& build_parts();

}  // namespace mbt
