// Token and learned-position embeddings.
#pragma once

#include "core/ops/op_common.h"

namespace mbt {

/// out[n] = table[tokens[n]] (+ position_table[p(n)]), p(n) = positions[n], or first_position + n % sequence_length without them.
struct EmbeddingFwdArgs {
  ConstTensorView tokens;               // [N] i32, each in [0, V)
  ConstTensorView table;                // [V,C] act
  TensorView out;                       // [N,C] act
  int64_t sequence_length;              // T
  ConstTensorView position_table = {};  // [P,C] act, optional
  int64_t first_position = 0;
  ConstTensorView positions = {};  // [N] i32, each in [0, P), optional; without a position_table they have no meaning

  void check(const char* op) const {
    expect_dtype(op, "tokens", tokens, DType::i32);
    expect_tensor(op, "out", out, table.dtype, {tokens.size(), table.cols()});
    if (!position_table.empty()) {
      expect_tensor(op, "position_table", position_table, table.dtype, {position_table.rows(), table.cols()});
      if (positions.empty())
        MBT_CHECK(first_position + sequence_length <= position_table.rows(), "{}: position beyond the table of {}", op,
                  position_table.rows());
      else expect_tensor(op, "positions", positions, DType::i32, {tokens.size()});
    }
  }
};

/// d_table[tokens[n]] += d_out[n]; d_position_table[p(n)] += d_out[n], p(n) = positions[n], or n % T without them.
/// Summed in order of n for each row: deterministic.
struct EmbeddingBwdArgs {
  ConstTensorView d_out;             // [N,C] act
  ConstTensorView tokens;            // [N] i32
  TensorView d_table;                // [V,C] f32, +=
  int64_t sequence_length;           // T
  TensorView d_position_table = {};  // [P,C] f32, +=, optional
  ConstTensorView positions = {};    // [N] i32, each in [0, P), optional

  void check(const char* op) const {
    expect_shape(op, "d_out", d_out, {tokens.size(), d_table.cols()});
    expect_dtype(op, "tokens", tokens, DType::i32);
    expect_dtype(op, "d_table", d_table, DType::f32);
    if (d_position_table.empty()) return;
    expect_tensor(op, "d_position_table", d_position_table, DType::f32, {d_position_table.rows(), d_table.cols()});
    if (positions.empty())
      MBT_CHECK(sequence_length <= d_position_table.rows(), "{}: position beyond the table of {}", op, d_position_table.rows());
    else expect_tensor(op, "positions", positions, DType::i32, {tokens.size()});
  }
};

}  // namespace mbt
