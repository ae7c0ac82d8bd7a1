// Gradients summed over ranks, bucket by bucket.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/config/run_config.h"
#include "core/model/weights.h"

namespace mbt {

/// Each bucket is reduce-scattered: this rank gets the sums of its piece. Without a sharded optimizer the sums are then all-gathered, so
/// the bits are the same either way. Main gradients are f32. With a 16-bit grad_reduce they are rounded to it in a separate buffer for the
/// exchange, and widened afterwards.
class GradientExchange {
 public:
  /// All must outlive it.
  GradientExchange(Backend& backend, Collectives& collectives, const DdpConfig& ddp, DType transport, Weights& weights);

  /// Launches what is complete when backward has left `unit` (it goes downwards).
  void launch_down_to(int64_t unit);
  /// Launches what is left. Ops that follow see the sums.
  void finish();
  /// Bytes of the transport buffer.
  static int64_t transport_bytes(const ParamList& params, DType transport);

 private:
  void launch(const Bucket& bucket);

  Backend& backend_;
  Collectives& collectives_;
  Weights& weights_;
  DType transport_;
  float factor_;
  bool with_f32_sums_;
  Buffer transport_memory_;
  TensorView buffer_;    // [flat_size] transport; the gradients themselves in f32
  size_t launched_ = 0;  // buckets, counted from the last
  Collectives::Ticket last_ = 0;
};

}  // namespace mbt
