#include "core/model/sharding.h"

#include <algorithm>

namespace mbt {

Sharding sharding_of(const DdpConfig& ddp, int rank, int ranks, bool with_training) {
  constexpr int64_t kLeast = 40'000'000, kLeastOfRank = 1'000'000;
  Sharding s{.rank = rank,
             .ranks = ranks,
             .shards_optimizer = ddp.use_distributed_optimizer && with_training,
             .pads_for_bandwidth = ddp.pad_buckets_for_high_nccl_busbw};
  const bool overlaps = ddp.overlap_grad_reduce || (ddp.overlap_param_gather && ddp.use_distributed_optimizer);
  if (ranks > 1 && overlaps) s.bucket_size = ddp.bucket_size.value_or(std::max(kLeast, kLeastOfRank * ranks));
  return s;
}

}  // namespace mbt
