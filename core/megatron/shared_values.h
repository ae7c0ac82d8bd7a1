// Values that both dialects of Megatron have, Megatron-LM's command line and Bridge's overrides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mbt {

/// Whether the folder of a run has a checkpoint to continue from.
bool has_megatron_checkpoint(const std::string& folder);

/// Of a window as Megatron writes it, "127,0", "(127, 0)" or "127 0", how far back it reaches: 127; -1: without end. nullopt: it is none,
/// or looks ahead.
std::optional<int64_t> window_of(std::string_view text);

}  // namespace mbt
