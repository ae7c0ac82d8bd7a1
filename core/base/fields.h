// One list of fields per config struct. Each struct has a static `visit(self, v)` that calls v(member, FieldInfo) once per field, in the
// order a reader should see them; JSON, CLI flags, --help, the JSON Schema, the config reference and comparisons all follow from it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mbt {

/// What is known of a field beside its type and its default (the member initializer).
/// Types in use: bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<std::string>, and std::optional of the first four.
struct FieldInfo {
  const char* name;
  const char* doc;                                                    ///< one sentence for --help and the reference
  const char* unit = "";                                              ///< "samples", "tokens", "minutes", ...
  double min = -std::numeric_limits<double>::infinity();              ///< inclusive
  double max = std::numeric_limits<double>::infinity();               ///< inclusive
  std::vector<std::string> choices = {};                              ///< allowed strings; empty: any
  std::vector<std::pair<std::string, std::string>> other_words = {};  ///< what else a choice is called: refused, naming the choice
  const char* alias = "";        ///< Megatron's flag without the dashes, e.g. "micro-batch-size"; empty: none
  bool is_architecture = false;  ///< other values make another function of the same weights
};

}  // namespace mbt
