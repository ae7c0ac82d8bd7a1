// Text generation: one sequence, a key/value cache, tokens fed in pieces.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/block.h"
#include "core/model/weights.h"

namespace mbt {

class Generator {
 public:
  /// capacity: most positions of a sequence, prompt and generated. Quantized layers quantize their inputs as in evaluation.
  Generator(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, Weights& weights, int64_t capacity);

  /// Feeds tokens at the positions that follow those fed before; returns the logits after the last one, f32 [V].
  std::vector<float> feed(const std::vector<int32_t>& tokens);
  int64_t position() const { return position_; }
  int64_t capacity() const { return capacity_; }
  /// Forgets the sequence.
  void reset() { position_ = 0; }

 private:
  void layer(int64_t i, int64_t count);
  void feed_piece(const int32_t* tokens, int64_t count);

  Backend& backend_;
  ModelConfig model_;
  PrecisionPolicy policy_;
  Weights& weights_;
  int64_t capacity_, position_ = 0;
  ModelShapes s_;
  ArenaPlan arena_;
  Buffer memory_;
  struct LayerState {
    LayerParams params;
    TensorView k_cache, v_cache;  // [P,K*D] act
    QuantTensorView x_qkv, x_proj, x_fc1, x_fc2;
  };
  std::vector<LayerState> layers_;
  NormParams final_norm_;
  ConstTensorView word_, position_table_, head_, rope_table_;
  TensorView tokens_, stream_, delta_, norm_, rstd_, mean_, qkv_raw_, qk_rstd_, qkv_, attention_, fc1_, activation_, logits_, logits_f32_;
};

}  // namespace mbt
