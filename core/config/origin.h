// Who set a field's value.
#pragma once

#include <map>
#include <string>

namespace mbt {

/// `text` says where: "run.json:12", "--lr", the recipe's name, the field that was copied; empty for defaults.
struct Origin {
  enum class Kind { default_value, config_file, command_line, recipe, synchronized, derived, hf_config };
  Kind kind = Kind::default_value;
  std::string text;
};

/// "default", "config file run.json:12", "command line --lr", "recipe fp8_mixed", ...
std::string to_string(const Origin& origin);

/// By "section.field". A field that is not in it has its default.
using Origins = std::map<std::string, Origin>;

/// The origin of a field, Kind::default_value when it is not in `origins`.
Origin origin_of(const Origins& origins, const std::string& path);

}  // namespace mbt
