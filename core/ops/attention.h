// Rotary position embedding and causal softmax attention over a fused QKV tensor.
// QKV rows hold all query heads, then all key heads, then all value heads: [N,(H+2K)*D]. Query head h reads key head h / (H/K).
#pragma once

#include <string_view>

#include "core/ops/quant_output.h"

namespace mbt {

/// Rotates the first R values of every q and k head, in place; pairs are (i, i + R/2) ("rotate half").
/// y_i = x_i cos - x_{i+R/2} sin, y_{i+R/2} = x_{i+R/2} cos + x_i sin, at position p(n) = positions[n], or,
/// without them, first_position + n % T.
/// inverse = true rotates back: the backward pass. quantized: the whole of qkv as it is on return (quant_output.h).
struct RopeArgs {
  TensorView qkv;           // [N,(H+2K)*D] act, in place
  ConstTensorView cos_sin;  // [P,R] f32: row p holds R/2 cosines, then R/2 sines
  int64_t num_heads;        // H
  int64_t num_kv_heads;     // K
  int64_t sequence_length;  // T
  bool inverse = false;
  int64_t first_position = 0;
  ConstTensorView positions = {};  // [N] i32, each in [0, P); optional, then first_position has no meaning
  QuantOutput quantized = {};

  int64_t head_dim() const { return qkv.cols() / (num_heads + 2 * num_kv_heads); }
  void check(const char* op) const {
    expect_shape(op, "qkv", qkv, {qkv.rows(), (num_heads + 2 * num_kv_heads) * head_dim()});
    expect_dtype(op, "cos_sin", cos_sin, DType::f32);
    MBT_CHECK(cos_sin.cols() % 2 == 0 && cos_sin.cols() <= head_dim(), "{}: table {} for head width {}", op, cos_sin.str(), head_dim());
    if (positions.empty())
      MBT_CHECK(first_position + sequence_length <= cos_sin.rows(), "{}: position beyond the table of {}", op, cos_sin.rows());
    else expect_tensor(op, "positions", positions, DType::i32, {qkv.rows()});
    check_quantized(op, "qkv", quantized, qkv);
  }
};

/// The attention implementation to use. A backend with only one implementation ignores it.
enum class AttentionBackend : uint8_t {
  automatic,  ///< flash where it serves, else math
  flash,      ///< tiles on the tensor cores; Error where they do not serve the call
  math,       ///< any head width and dtype
};

// Several documents in a sequence: document_start[n] is the place in its sequence, 0 to T - 1, of the first token of token n's document.
// The query at place t sees the keys at places document_start[b*T+t] <= s <= t; without the tensor, 0 <= s <= t. Documents are runs of
// tokens: document_start[t] is t, or document_start[t-1], and 0 at place 0. It never falls, so the queries that see key s are a run too,
// which ends before the first with document_start > s: backward needs no second tensor. Work falls with the documents' lengths.

/// Checks the shape. Backends check the values.
inline void expect_document_start(const char* op, const ConstTensorView& document_start, int64_t rows) {
  if (!document_start.empty()) expect_tensor(op, "document_start", document_start, DType::i32, {rows});
}

/// out = softmax(scale * q k^T, causal, within documents) v for each of B sequences of T tokens; lse = log sum exp of the scaled scores.
/// No [T,T] matrix is stored. quantized: out.
struct AttentionFwdArgs {
  ConstTensorView qkv;      // [N,(H+2K)*D] act
  TensorView out;           // [N,H*D] act
  TensorView lse;           // [B,H,T] f32, kept for backward
  int64_t num_heads;        // H
  int64_t num_kv_heads;     // K, divides H
  int64_t sequence_length;  // T, divides N
  float scale;              // usually 1/sqrt(D)
  AttentionBackend backend = AttentionBackend::automatic;
  ConstTensorView document_start = {};  // [N] i32, optional
  QuantOutput quantized = {};

  int64_t head_dim() const { return qkv.cols() / (num_heads + 2 * num_kv_heads); }
  int64_t batch() const { return qkv.rows() / sequence_length; }
  void check(const char* op) const {
    MBT_CHECK(num_kv_heads > 0 && num_heads % num_kv_heads == 0, "{}: {} heads, {} key/value heads", op, num_heads, num_kv_heads);
    MBT_CHECK(qkv.rows() % sequence_length == 0, "{}: {} tokens in sequences of {}", op, qkv.rows(), sequence_length);
    expect_tensor(op, "out", out, qkv.dtype, {qkv.rows(), num_heads * head_dim()});
    expect_tensor(op, "lse", lse, DType::f32, {batch(), num_heads, sequence_length});
    expect_document_start(op, document_start, qkv.rows());
    check_quantized(op, "out", quantized, out);
  }
};

/// d_qkv = gradient of out with respect to qkv (overwrites all three parts). quantized: d_qkv.
struct AttentionBwdArgs {
  ConstTensorView d_out;  // [N,H*D] act
  ConstTensorView qkv;    // [N,(H+2K)*D] act
  ConstTensorView out;    // [N,H*D] act
  ConstTensorView lse;    // [B,H,T] f32
  TensorView d_qkv;       // [N,(H+2K)*D] act
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t sequence_length;
  float scale;
  AttentionBackend backend = AttentionBackend::automatic;
  ConstTensorView document_start = {};  // [N] i32, optional
  QuantOutput quantized = {};

  int64_t head_dim() const { return qkv.cols() / (num_heads + 2 * num_kv_heads); }
  int64_t batch() const { return qkv.rows() / sequence_length; }
  void check(const char* op) const {
    expect_tensor(op, "d_out", d_out, qkv.dtype, {qkv.rows(), num_heads * head_dim()});
    expect_tensor(op, "out", out, qkv.dtype, {qkv.rows(), num_heads * head_dim()});
    expect_tensor(op, "d_qkv", d_qkv, qkv.dtype, qkv.shape);
    expect_tensor(op, "lse", lse, DType::f32, {batch(), num_heads, sequence_length});
    expect_document_start(op, document_start, qkv.rows());
    check_quantized(op, "d_qkv", quantized, d_qkv);
  }
};

/// Generation: S new tokens of one sequence at positions first_position .. first_position + S - 1. Their keys and values are
/// written to the caches first; then each new token attends to every position up to its own.
struct AttentionCachedArgs {
  ConstTensorView qkv;  // [S,(H+2K)*D] act
  TensorView k_cache;   // [P,K*D] act
  TensorView v_cache;   // [P,K*D] act
  TensorView out;       // [S,H*D] act
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t first_position;
  float scale;

  int64_t head_dim() const { return qkv.cols() / (num_heads + 2 * num_kv_heads); }
  void check(const char* op) const {
    expect_tensor(op, "k_cache", k_cache, qkv.dtype, {k_cache.rows(), num_kv_heads * head_dim()});
    expect_tensor(op, "v_cache", v_cache, qkv.dtype, k_cache.shape);
    expect_tensor(op, "out", out, qkv.dtype, {qkv.rows(), num_heads * head_dim()});
    MBT_CHECK(first_position + qkv.rows() <= k_cache.rows(), "{}: position beyond the cache of {}", op, k_cache.rows());
  }
};

}  // namespace mbt
