#include "core/model/embedding_head.h"

namespace mbt {

EmbeddingHeadParams bind_embedding_head(const Weights& w, const ModelConfig& model) {
  const ParamList& params = w.params();
  const int64_t word = params.index_of("embedding.word.weight"), position = params.index_of("embedding.position.weight");
  const int64_t head = model.share_embeddings_and_output_weights ? word : params.index_of("head.weight");
  EmbeddingHeadParams p;
  p.word = w.working(word), p.d_word = w.part(w.grad(), word);
  p.head = w.working(head), p.d_head = w.part(w.grad(), head);
  if (position >= 0) p.position = w.working(position), p.d_position = w.part(w.grad(), position);
  p.final_norm = bind_norm(w, "final_norm");
  return p;
}

void embedding_fwd(const BlockContext& c, const EmbeddingHeadParams& w, ConstTensorView tokens, TensorView out) {
  c.backend.embedding_fwd({.tokens = tokens,
                           .table = w.word,
                           .out = out,
                           .sequence_length = c.shapes.sequence,
                           .position_table = w.position,
                           .first_position = c.first_position,
                           .positions = c.positions});
}

void final_norm_fwd(const BlockContext& c, const EmbeddingHeadParams& w, ConstTensorView stream, ConstTensorView delta, TensorView h,
                    TensorView y, TensorView rstd, TensorView mean) {
  norm_fwd(c, w.final_norm, stream, delta, h, y, rstd, mean, {});
}

void head_fwd(const BlockContext& c, const EmbeddingHeadParams& w, ConstTensorView x, TensorView logits) {
  c.backend.gemm({.role = GemmRole::fprop, .a = x, .b = w.head, .d = logits});
}

}  // namespace mbt
