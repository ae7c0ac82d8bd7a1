// Causal attention of the CPU backend (contract: core/ops/attention.h), in tiles of queries x keys: no [T,T] matrix.
// Scores, softmax and sums are fp32. Same bits for the same tensors, whatever the number of threads.
#pragma once

#include <cstddef>
#include <memory>

#include "core/ops/attention.h"

namespace mbt::cpu {

/// Owns the tile buffers of every thread. Not thread-safe: one call at a time.
class Attention {
 public:
  Attention();
  ~Attention();
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  void fwd(const AttentionFwdArgs& args);
  void bwd(const AttentionBwdArgs& args);
  void cached(const AttentionCachedArgs& args);
  /// Grows while new shapes come, then stays.
  size_t scratch_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mbt::cpu
