// How parameters and gradients are divided over ranks: in buckets, exchanged one at a time, each cut into one piece per rank.
#pragma once

#include <cstdint>
#include <vector>

#include "core/config/ddp_config.h"
#include "core/tensor/tensor_view.h"

namespace mbt {

/// Elements [first, first + count) of a parameter or of a flat buffer.
struct ElementRange {
  int64_t first = 0;
  int64_t count = 0;
  int64_t end() const { return first + count; }
  bool operator==(const ElementRange&) const = default;
};

inline TensorView slice_of(const TensorView& flat, ElementRange range) { return flat.element_range(range.first, range.count); }

/// The layout that a data-parallel run needs. With one rank there is one bucket, without padding for ranks.
struct Sharding {
  int rank = 0;
  int ranks = 1;
  bool shards_optimizer = false;    ///< ZeRO-1: masters and moments of the own pieces alone
  int64_t bucket_size = 0;          ///< parameters of a bucket, at least; 0: all in one
  bool pads_for_bandwidth = false;  ///< buckets are multiples of 2^16 elements

  bool is_sharded() const { return shards_optimizer && ranks > 1; }
};

/// with_training false (an evaluation): nothing is sharded.
/// Overlapped communication wants several buckets: bucket_size, by default max(40e6, 1e6 x ranks) parameters as upstream; otherwise one.
Sharding sharding_of(const DdpConfig& ddp, int rank, int ranks, bool with_training = true);

/// Consecutive parameters, consecutive in every flat buffer.
struct Bucket {
  int64_t first_param = 0, end_param = 0;  ///< parameters with an index between, of this bucket's kind
  ElementRange elements;                   ///< of the flat buffers; a multiple of ranks x 128 elements with several ranks
  bool holds_codes = false;                ///< of parameters that exist only as codes
  int64_t first_unit = 0, last_unit = 0;   ///< of the forward pass (ParamSpec::unit)

  /// The piece of rank r.
  ElementRange piece(int rank, int ranks) const {
    const int64_t n = elements.count / ranks;
    return {elements.first + rank * n, n};
  }
};

}  // namespace mbt
