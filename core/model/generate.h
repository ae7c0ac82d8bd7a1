// Text generation: one sequence, a key/value cache, tokens fed in pieces.
#pragma once

#include <vector>

#include "core/backend/backend.h"
#include "core/model/activations.h"
#include "core/model/block.h"
#include "core/model/embedding_head.h"
#include "core/model/rope_table.h"
#include "core/model/weights.h"

namespace mbt {

class Generator {
 public:
  /// capacity: most positions of a sequence, prompt and generated. Quantized layers quantize their inputs as in evaluation.
  Generator(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, Weights& weights, int64_t capacity);
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  /// Feeds tokens at the positions that follow those fed before; returns the logits after the last one, f32 [V].
  std::vector<float> feed(const std::vector<int32_t>& tokens);
  int64_t position() const { return position_; }
  int64_t capacity() const { return capacity_; }
  /// Forgets the sequence.
  void reset() { position_ = 0; }

 private:
  void allocate();
  void feed_piece(const int32_t* tokens, int64_t count);
  void cached_attention(int64_t layer, const LayerViews& a, const QuantOutput& quantized);
  std::vector<float> logits_of_row(int64_t row);

  Backend& backend_;
  ModelConfig model_;
  PrecisionPolicy policy_;
  Weights& weights_;
  int64_t capacity_, position_ = 0;
  Buffer memory_;
  RopeMemory rope_;
  Activations acts_;
  struct Cache {
    TensorView k, v;  // [P,K*D] act
  };
  std::vector<Cache> caches_;  // of each layer
  TensorView logits_f32_;      // [1,Vp]
  BlockContext context_;       // of the piece that is being fed
  std::vector<LayerParams> layers_;
  EmbeddingHeadParams ends_;
};

}  // namespace mbt
