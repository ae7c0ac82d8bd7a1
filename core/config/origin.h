// Who set a field's value.
#pragma once

#include <map>
#include <string>

namespace mbt {

/// `text` says where: "run.json:12", "--lr", the recipe's name, the field that was copied; empty for our own defaults.
/// resolved: a default or a recipe's value in a config that a run has saved; checkpoint: what the loaded checkpoint was made with.
struct Origin {
  enum class Kind { default_value, config_file, command_line, recipe, synchronized, derived, hf_config, resolved, checkpoint };
  Kind kind = Kind::default_value;
  std::string text;
};

/// The user wrote it, for this run or for the one whose saved config is read.
inline bool is_said(const Origin& o) { return o.kind == Origin::Kind::config_file || o.kind == Origin::Kind::command_line; }

/// "default", "config file run.json:12", "command line --lr", "recipe fp8_mixed", ...
std::string to_string(const Origin& origin);

/// By "section.field". A field that is not in it has its default.
using Origins = std::map<std::string, Origin>;

/// The origin of a field, Kind::default_value when it is not in `origins`.
Origin origin_of(const Origins& origins, const std::string& path);

}  // namespace mbt
