// Weights that exist only as codes, when their fp32 masters are spread over ranks.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/weights.h"

namespace mbt {

/// Codes of one byte travel: ranks agree on amaxes, so all scales are the same everywhere, and each quantizes its slices; then whole copies
/// are completed from what has arrived. MXFP8's two copies have codes of their own; it travels in 16 bits instead, in the gradients' memory
/// (reuse_grad_buf_for_mxfp8_param_ag), and every rank quantizes whole weights.
class CodeExchange {
 public:
  /// All must outlive it. act: what masters are rounded to before they are quantized.
  CodeExchange(Backend& backend, Collectives& collectives, DType act, Weights& weights);

  /// From the masters: what this rank sends, in its pieces of traveling().
  void prepare();
  /// The bucket as it travels: codes, or 16-bit weights in its gradients.
  TensorView traveling(const Bucket& bucket) const;
  /// It has arrived: both copies of its weights. Gradients that it traveled in are zero again.
  void complete(const Bucket& bucket);
  bool travels_in_gradients() const { return travels_in_gradients_; }

  /// Of the amaxes that ranks agree on, f32.
  static int64_t amax_bytes(const WeightsPlan& plan);

 private:
  struct Amaxes {
    int64_t first, count;  // in amaxes_
  };
  void agree_on_amaxes();
  void round_into_gradients();

  Backend& backend_;
  Collectives& collectives_;
  DType act_;
  Weights& weights_;
  bool travels_in_gradients_ = false;
  Buffer memory_;
  TensorView amaxes_;              // f32, those of all weights
  std::vector<Amaxes> amaxes_of_;  // by parameter
};

}  // namespace mbt
