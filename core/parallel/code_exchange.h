// The exchange of weights that exist only as codes, when their fp32 masters are sharded over ranks.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/weights.h"

namespace mbt {

/// Ranks exchange one-byte codes. They first agree on amaxes, so that all ranks have the same scales. Then each rank quantizes its slices,
/// and all ranks complete their copies from the received codes. MXFP8's two copies have different codes; its weights are exchanged in 16
/// bits instead, in the gradients' memory (reuse_grad_buf_for_mxfp8_param_ag), and every rank quantizes whole weights.
class CodeExchange {
 public:
  /// All must outlive it. act: what masters are rounded to before they are quantized.
  CodeExchange(Backend& backend, Collectives& collectives, DType act, Weights& weights);

  /// Computes what this rank sends from its masters, into its pieces of traveling().
  void prepare();
  /// Returns the exchanged form of the bucket: codes, or 16-bit weights in its gradients' memory.
  TensorView traveling(const Bucket& bucket) const;
  /// Makes both copies of the weights of a bucket that has arrived. Gradients whose memory it used are set to zero again.
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
