// Quantization of a slice of a weight on the CPU (core/ops/shard_quantize.h). All bits are those of quantize.h's `quantize` of the whole
// weight, at every instruction level and thread count.
#pragma once

#include "core/ops/shard_quantize.h"

namespace mbt::cpu {

void shard_amax(const ShardAmaxArgs& args);
void quantize_shard(const QuantizeShardArgs& args);
/// Throws Error for a transposed copy: the CPU keeps none (Backend::wants_transposed).
void complete_copies(const CompleteCopiesArgs& args);

}  // namespace mbt::cpu
