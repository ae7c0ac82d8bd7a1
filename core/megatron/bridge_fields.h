// Fields of Megatron Bridge's ConfigContainer that are no fields here: each is another field, has no effect, or is refused.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mbt {

struct BridgeAnswer {
  enum class Kind { unknown, renamed, without_effect, refused };
  Kind kind = Kind::unknown;
  std::string reason;  ///< of without_effect and refused; of renamed: our field, "dataset.seq_length"
};

/// `value` as typed or as JSON text: 0, false, null, None and "" switch off what is not there, which is no reason to refuse. Names are
/// those of the dataclasses; most are also names of Megatron-LM's arguments, whose table answers for them.
BridgeAnswer bridge_field(std::string_view section, std::string_view field, const std::string& value);

/// What does not follow from the table of arguments: "section.field", or "section.*" of whole sections.
std::vector<std::pair<std::string, BridgeAnswer>> bridge_rows();

}  // namespace mbt
