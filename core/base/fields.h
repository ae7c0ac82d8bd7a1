// One list of fields per config struct. Each struct has a static `visit(self, v)` that calls v(member, FieldInfo) once per field, in the
// order a reader should see them; JSON, CLI flags, --help, the JSON Schema, the config reference and comparisons all follow from it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/base/enum_names.h"

namespace mbt {

/// FieldInfo::alias of a field that has no flag beside --section.field.
inline constexpr const char* kNoAlias = "";

/// What a field of text names, for the shells' completion and for usage.
enum class Holds : uint8_t { text, file, folder, path /* a file or a folder */ };

/// The properties of a field, apart from its type and default (the member initializer). The choices of an enum are its names.
/// Types in use: bool, int64_t, double, std::string, enums with names (enum_names.h), std::optional of these, std::vector<int64_t> and
/// std::vector<std::string>.
struct FieldInfo {
  const char* name;
  const char* doc;                                        ///< one sentence for --help and the reference
  const char* unit = "";                                  ///< "samples", "tokens", "minutes", ...
  double min = -std::numeric_limits<double>::infinity();  ///< inclusive
  double max = std::numeric_limits<double>::infinity();   ///< inclusive
  const char* alias = nullptr;   ///< Megatron's flag without the dashes; null: the name with '-' for '_', which no other field may have
  bool is_architecture = false;  ///< with another value the same weights compute something else
  Holds holds = Holds::text;
};

/// A field that core/recipe/synchronize.h copies from mixed_precision.
constexpr FieldInfo set_by_recipe(const char* name) { return {.name = name, .doc = "Set by mixed_precision", .alias = kNoAlias}; }

}  // namespace mbt
