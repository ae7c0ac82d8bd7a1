// Softmax cross-entropy, forward and backward in one pass over the logits.
#pragma once

#include "core/ops/op_common.h"

namespace mbt {

/// For each row n: loss[n] = mask[n] * (logsumexp(logits[n,:V]) - logits[n,target[n]]), V = vocab_size: columns from V on are padding.
/// With s = d_scale * device_scale[0]: logits[n,v] becomes s * mask[n] * (softmax(logits[n])[v] - [v == target[n]]), padding columns 0. In
/// place.
struct CrossEntropyArgs {
  TensorView logits;          // [n,Vp] act, overwritten by the gradient when `compute_gradient`
  ConstTensorView targets;    // [n] i32, each in [0, vocab_size)
  ConstTensorView loss_mask;  // [n] f32
  TensorView loss;            // [n] f32
  int64_t vocab_size;         // V <= Vp
  bool compute_gradient;
  float d_scale = 1.0f;
  ConstTensorView device_scale =
      {};  // [1] f32, optional: 1. Loss scale / tokens of the loss, which change from one micro-batch to the next

  void check(const char* op) const {
    expect_tensor(op, "targets", targets, DType::i32, {logits.rows()});
    expect_tensor(op, "loss_mask", loss_mask, DType::f32, {logits.rows()});
    expect_tensor(op, "loss", loss, DType::f32, {logits.rows()});
    if (!device_scale.empty()) expect_tensor(op, "device_scale", device_scale, DType::f32, {1});
    MBT_CHECK(vocab_size > 0 && vocab_size <= logits.cols(), "{}: vocabulary {}, logits {}", op, vocab_size, logits.str());
  }
};

}  // namespace mbt
