// The fields of Megatron Bridge's ConfigContainer, and what each is here: bridge.json, which the build embeds. Fields that have the name of
// an argument of Megatron-LM need no row there: the table of arguments answers for them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mbt {

enum class BridgeKind : uint8_t {
  unknown,         ///< Bridge has no such field
  same,            ///< ours has the same name and takes the value as it is; where `only` is given, others are refused with the reason
  mapped,          ///< another field, several, or other values
  special,         ///< depends on other fields: core/recipe/bridge_joins.cpp
  without_effect,  ///< taken, with the reason
  refused,         ///< what it asks for is not there; upstream's default and values of `only` ask for nothing
};

struct BridgeField {
  std::string path;  ///< "model.hidden_size"
  BridgeKind kind = BridgeKind::unknown;
  std::vector<std::string> fields = {};            ///< mapped: ours, which get the value
  std::map<std::string, std::string> values = {};  ///< mapped: our words for theirs; "": nothing to set
  std::vector<std::string> sets = {};              ///< mapped: "train.cuda_graph=true" where the value is true, nothing where it is false
  std::vector<std::string> only = {};
  std::string reason = {};                   ///< of special ones what becomes of it
  std::optional<std::string> upstream = {};  ///< Bridge's default as JSON; nullopt: it depends on other settings
};

/// Every field once, by section as upstream.
const std::vector<BridgeField>& bridge_fields();
/// '-' and '_' equal. A field that upstream has not, of a section that is nothing here, has its section's answer; nullptr: none.
const BridgeField* find_bridge_field(std::string_view section, std::string_view field);
/// Why a section that Bridge has beside ours is nothing here; nullptr: there is none of that name.
const std::string* foreign_section(std::string_view section);

/// "None" and "null".
bool is_python_none(std::string_view value);
/// True, true and 1; False, false, 0, None and null; nullopt: anything else.
std::optional<bool> python_bool(std::string_view value);
/// Whether the value, typed or as JSON text, is upstream's default, is one of `only`, or switches off what is not there.
bool asks_for_nothing(const BridgeField& field, std::string_view value);
/// Our fields and their values, in the words of a command line; nullopt: the value as it is.
std::vector<std::pair<std::string, std::optional<std::string>>> mapped_fields(const BridgeField& field, std::string_view value);

}  // namespace mbt
