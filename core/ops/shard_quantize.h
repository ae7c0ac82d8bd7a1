// Quantization of a weight that exists only as codes, by ranks that each own a slice of its fp32 master. In a
// step: shard_amax on each rank, a MAX all-reduce of amaxes, quantize_shard on each rank, an all-gather of codes, complete_copies on each.
// Codes, scales and amaxes are then, on every rank, bit for bit those that `quantize` makes of the whole master.
//
// A slice: elements [first, first + n) of the [rows, cols] weight in row-major order; n may be 0. It may begin and end anywhere, inside
// rows and blocks too.
// Specs: delayed, tensorwise, blockwise and nvfp4 in square blocks (is_2d), without stochastic rounding. Blocks of b x b elements are in
// row-major order, [ceil(rows/b), ceil(cols/b)], as the scales are.
#pragma once

#include "core/ops/quantize.h"

namespace mbt {

/// Returns the number of amaxes that ranks agree on before they quantize: one per block; tensorwise: one; delayed: none (its scale is
/// known).
inline int64_t shard_amax_size(const QuantSpec& spec, int64_t rows, int64_t cols) {
  if (spec.scaling == QuantScaling::delayed) return 0;
  const QuantCopyShape shape = quant_copy_shape(spec, rows, cols, false);
  return shape.scale_rows * shape.scale_cols;
}

/// Throws for a spec whose codes cannot be made slice by slice, and for contradictory ones.
inline void check_shard_spec(const char* op, const QuantSpec& s) {
  const bool is_nvfp4 = s.scaling == QuantScaling::nvfp4;
  if (s.scaling == QuantScaling::mxfp8) {
    throw Error(
        fmt::format("{}: got mxfp8, whose copies have codes of their own: gather such a weight in 16 bits and quantize all of it", op));
  }
  if (s.is_2d == s.is_per_tensor()) {
    throw Error(fmt::format("{}: got {}{} is_2d; a weight has {}", op, name_of(s.scaling), s.is_2d ? " with" : " without",
                            s.is_2d ? "one scale a tensor, and so no blocks" : "square blocks, so that both copies share their codes"));
  }
  if (is_nvfp4 != (s.format == QuantFormat::e2m1)) {
    throw Error(
        fmt::format("{}: got {} with {}, expected {}", op, name_of(s.scaling), name_of(s.format), is_nvfp4 ? "e2m1" : "e4m3 or e5m2"));
  }
  if (s.stochastic_rounding || s.hadamard_columnwise) {
    throw Error(
        fmt::format("{}: got {}, which is not for weights", op, s.stochastic_rounding ? "stochastic rounding" : "a Hadamard transform"));
  }
}

/// Throws unless `x` holds the elements [first, first + n) of a [rows, cols] weight, to be rounded to `round_to`.
inline void check_slice(const char* op, const ConstTensorView& x, int64_t first, int64_t rows, int64_t cols, DType round_to) {
  expect_dtype(op, "x", x, DType::f32);
  const int64_t n = x.size();
  if (n > 0) expect_shape(op, "x", x, {n});
  if (first < 0 || first + n > rows * cols) {
    throw Error(
        fmt::format("{}: x holds elements {} to {} of a weight [{},{}], expected 0 to {}", op, first, first + n, rows, cols, rows * cols));
  }
  if (round_to != DType::f32 && round_to != DType::bf16 && round_to != DType::f16) {
    throw Error(fmt::format("{}: round_to is {}, expected f32 (no rounding), bf16 or f16", op, name_of(round_to)));
  }
}

/// Throws unless `q` has a row-wise copy to write or read.
inline void check_rowwise_copy(const char* op, const QuantTensorView& q) {
  check_shard_spec(op, q.spec);
  const QuantCopy& row = q.rowwise;
  const bool lacks_amax = q.spec.scaling == QuantScaling::nvfp4 && row.global_amax == nullptr;
  if (row.codes == nullptr || row.scale_inv == nullptr) throw Error(fmt::format("{}: the row-wise copy lacks its codes or its scales", op));
  if (row.is_transposed) throw Error(fmt::format("{}: the row-wise copy is transposed, expected codes in [rows, cols] order", op));
  if (lacks_amax) throw Error(fmt::format("{}: nvfp4 without a place for the global amax", op));
}

/// amax[k] = max |x| over the elements of the slice that lie in block k, after rounding to round_to; 0 for blocks that it does not touch.
/// As everywhere, NaN is dropped and Inf is not: the maximum over the ranks is the amax that `quantize` finds. Not for delayed scaling,
/// whose amax quantize_shard stages.
struct ShardAmaxArgs {
  ConstTensorView x;  // [n] f32: the slice of the master
  int64_t first;
  int64_t rows;
  int64_t cols;
  QuantSpec spec;
  TensorView amax;              // [shard_amax_size] f32
  DType round_to = DType::f32;  // as QuantizeArgs::round_to

  void check(const char* op) const {
    check_shard_spec(op, spec);
    if (spec.scaling == QuantScaling::delayed) {
      throw Error(fmt::format("{}: delayed scaling needs no amax before the cast; quantize_shard stages it in q.amax", op));
    }
    check_slice(op, x, first, rows, cols, round_to);
    expect_tensor(op, "amax", amax, DType::f32, {shard_amax_size(spec, rows, cols)});
  }
};

/// Writes the codes of the slice to elements [first, first + n) of q.rowwise.codes, and no other codes; writes all of q.rowwise.scale_inv,
/// and q.rowwise.global_amax for nvfp4, from `amax`, so that they are the same on every rank.
/// Delayed: codes with *q.scale, scale_inv = 1/scale.
/// With stage_amax and q.amax: *q.amax = max(*q.amax, amax of the slice) for delayed scaling, amax of the whole weight (max of `amax`) for
/// all others.
/// q.columnwise is left alone: complete_copies, once all codes are there.
struct QuantizeShardArgs {
  ConstTensorView x;  // [n] f32: the slice of the master
  int64_t first;
  QuantTensorView q;            // the whole weight
  ConstTensorView amax = {};    // [shard_amax_size] f32, the maximum over all ranks; empty for delayed scaling
  DType round_to = DType::f32;  // as QuantizeArgs::round_to
  bool stage_amax = true;       // as QuantOutput::stage_amax

  void check(const char* op) const {
    check_rowwise_copy(op, q);
    check_slice(op, x, first, q.rows, q.cols, round_to);
    if (q.spec.scaling == QuantScaling::delayed) {
      if (q.scale == nullptr) throw Error(fmt::format("{}: delayed scaling without a scale", op));
      if (!amax.empty()) throw Error(fmt::format("{}: got amax {}, expected none: delayed scaling has its scale", op, amax.str()));
    } else {
      expect_tensor(op, "amax", amax, DType::f32, {shard_amax_size(q.spec, q.rows, q.cols)});
    }
  }
};

/// Makes q's column-wise copy from a finished row-wise one: transposed codes and the same scales where it is transposed. Where it is the
/// row-wise copy, or none is wanted, there is nothing to do.
struct CompleteCopiesArgs {
  QuantTensorView q;

  void check(const char* op) const {
    check_rowwise_copy(op, q);
    if (q.columnwise.empty()) return;
    const QuantCopy &row = q.rowwise, &column = q.columnwise;
    if (!column.is_transposed) {
      if (column.codes == row.codes && column.scale_inv == row.scale_inv && column.global_amax == row.global_amax) return;
      throw Error(fmt::format("{}: a column-wise copy apart that is not transposed, expected the row-wise copy, which it shares", op));
    }
    if (q.spec.scaling == QuantScaling::nvfp4)
      throw Error(fmt::format("{}: a transposed copy under nvfp4, expected the row-wise copy", op));
    if (column.scale_inv == nullptr || column.codes == row.codes || column.scale_inv == row.scale_inv) {
      throw Error(fmt::format("{}: a transposed copy needs codes and scales of its own", op));
    }
  }
};

}  // namespace mbt
