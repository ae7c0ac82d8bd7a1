// libFuzzer: any bytes as a run-config file either give assignments that apply, or problems; never a crash, a hang or another exception.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/config/assign.h"
#include "core/config/config_file.h"
#include "core/config/config_input.h"
#include "core/config/config_json.h"
#include "core/config/validate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mbt::ConfigInput input;
  mbt::read_config_text(std::string(reinterpret_cast<const char*>(data), size), "fuzz.json", input);
  mbt::RunConfig config;
  mbt::Origins origins;
  std::vector<mbt::Problem> problems = input.problems;
  mbt::apply_assignments(config, input.assignments, origins, problems);
  mbt::validate_shape(config, 1, problems);
  (void)mbt::to_json(config);
  return 0;
}
