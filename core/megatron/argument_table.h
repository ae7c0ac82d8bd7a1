// The arguments of Megatron-LM's pretrain_gpt.py, and what each is here: arguments.json, which the build embeds.
// Names, kinds of values and defaults are those of megatron/training/arguments.py.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mbt {

enum class MegatronKind : uint8_t {
  mapped,          ///< a field, or several fields with fixed values
  special,         ///< depends on other arguments: core/megatron/pretrain_gpt.cpp
  conditional,     ///< values of `only` are without effect, others refused
  without_effect,  ///< taken, with the reason
  refused,         ///< what it asks for is not there
};

enum class MegatronValues : uint8_t { none, one, many };

struct MegatronArgument {
  std::string flag;               ///< with dashes, as Megatron spells it: "--lr-decay-style"
  std::vector<std::string> also;  ///< other spellings
  MegatronKind kind = MegatronKind::mapped;
  MegatronValues takes = MegatronValues::one;
  std::string field;                 ///< mapped with a value: "optimizer.lr"
  std::vector<std::string> sets;     ///< mapped without a value: "model.rope_scaling=true"
  std::vector<std::string> only;     ///< values that are possible here; empty: any
  std::vector<std::string> choices;  ///< values that Megatron-LM's parser takes; empty: any
  std::string reason;                ///< why it has no effect or is refused, and what to do; of special ones what becomes of it
};

/// Every argument once, in the order of the kinds.
const std::vector<MegatronArgument>& megatron_arguments();
/// By any spelling, '-' and '_' equal; nullptr when Megatron-LM has no such argument.
const MegatronArgument* find_megatron_argument(std::string_view flag);

}  // namespace mbt
