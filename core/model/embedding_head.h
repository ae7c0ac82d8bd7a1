// The parts before and after the layers: embeddings, final norm and head. Training, evaluation and generation share
// them.
#pragma once

#include "core/model/block.h"
#include "core/model/weights.h"

namespace mbt {

struct EmbeddingHeadParams {
  ConstTensorView word;                   // [V,C] act
  ConstTensorView position;               // [P,C] act; with learned positions only
  ConstTensorView head;                   // [Vp,C] act; `word` when the two are shared
  TensorView d_word, d_position, d_head;  // f32
  NormParams final_norm;
};

EmbeddingHeadParams bind_embedding_head(const Weights& w, const ModelConfig& model);

/// out: the first layer's input stream.
void embedding_fwd(const BlockContext& c, const EmbeddingHeadParams& w, ConstTensorView tokens, TensorView out);
/// h = stream + delta, y = final norm of h.
void final_norm_fwd(const BlockContext& c, const EmbeddingHeadParams& w, ConstTensorView stream, ConstTensorView delta, TensorView h,
                    TensorView y, TensorView rstd, TensorView mean);
/// x: rows of the final norm's output.
void head_fwd(const BlockContext& c, const EmbeddingHeadParams& w, ConstTensorView x, TensorView logits);

}  // namespace mbt
