// The ops that quantize what they make (core/ops/quant_output.h), on inputs of a given kind, so that a test can run each with and without.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "tests/support/op_cases.h"
#include "tests/support/quantized.h"

namespace mbt::test {

/// What a producer wrote: first the output that may be quantized.
using Written = std::vector<GuardedTensor>;

struct Producer {
  std::string name;
  /// keeps false: the plain output is scratch, where the op allows that.
  std::function<Written(Backend& backend, DType act, int kind, const QuantOutput& quantized, bool keeps)> run;
  bool may_drop_plain;
};

/// Kind 0: normal; others as values().
inline GuardedTensor input(DType act, const Shape& s, int kind, uint32_t seed, double deviation = 1.0) {
  return kind == 0 ? normal_tensor(act, s, seed, deviation) : values(act, s[0], s.rank() == 2 ? s[1] : 1, kind, seed);
}

/// `tokens` rows of `cols` values.
inline std::vector<Producer> row_producers(int64_t tokens, int64_t cols) {
  const Shape s{tokens, cols};
  const std::string of = fmt::format(" [{},{}]", tokens, cols);
  std::vector<Producer> all;
  for (NormKind kind_of_norm : {NormKind::rmsnorm, NormKind::layernorm}) {
    const std::string name = kind_of_norm == NormKind::rmsnorm ? "rmsnorm" : "layernorm";
    all.push_back({name + "_fwd" + of,
                   [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool keeps) {
                     GuardedTensor x = input(act, s, kind, 1), delta = input(act, s, 0, 2), weight = normal_tensor(act, {cols}, 3);
                     GuardedTensor bias = normal_tensor(act, {cols}, 4), y(act, s), h(act, s), rstd(DType::f32, {tokens}), mean = rstd;
                     on.norm_fwd({.kind = kind_of_norm,
                                  .x = x,
                                  .weight = weight,
                                  .y = y,
                                  .rstd = rstd,
                                  .bias = bias,
                                  .mean = mean,
                                  .delta = delta,
                                  .h = h,
                                  .quantized = quantized,
                                  .keeps_y = keeps});
                     return Written{y, h, rstd, mean};
                   },
                   true});
    all.push_back({name + "_bwd" + of,
                   [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool) {
                     GuardedTensor d_y = input(act, s, kind, 1), h = normal_tensor(act, s, 2), weight = normal_tensor(act, {cols}, 3);
                     GuardedTensor d_h = kind == 2 ? input(act, s, 2, 0) : normal_tensor(act, s, 4), rstd(DType::f32, {tokens}),
                                   mean = rstd;
                     GuardedTensor d_weight(DType::f32, {cols}), d_bias = d_weight;
                     rstd.fill([](int64_t i) { return 0.9 + 0.01 * static_cast<double>(i); });
                     on.norm_bwd({.kind = kind_of_norm,
                                  .d_y = d_y,
                                  .h = h,
                                  .weight = weight,
                                  .rstd = rstd,
                                  .d_h = d_h,
                                  .d_weight = d_weight,
                                  .mean = mean,
                                  .d_bias = d_bias,
                                  .quantized = quantized});
                     return Written{d_h, d_weight, d_bias};
                   },
                   false});
  }
  for (ActivationKind function : {ActivationKind::swiglu, ActivationKind::gelu_tanh}) {
    const Shape s_x{tokens, is_gated(function) ? 2 * cols : cols};
    const std::string name = is_gated(function) ? "swiglu" : "gelu";
    all.push_back({name + "_fwd" + of,
                   [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool keeps) {
                     GuardedTensor x = input(act, s_x, kind, 1), y(act, s);
                     on.activation_fwd({.kind = function, .x = x, .y = y, .quantized = quantized, .keeps_y = keeps});
                     return Written{y};
                   },
                   true});
    all.push_back({name + "_bwd" + of,
                   [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool keeps) {
                     GuardedTensor x = normal_tensor(act, s_x, 1), d_y = input(act, s, kind, 2), d_x(act, s_x);
                     on.activation_bwd({.kind = function, .d_y = d_y, .x = x, .d_x = d_x, .quantized = quantized, .keeps_d_x = keeps});
                     return Written{d_x};
                   },
                   true});
  }
  return all;
}

/// Ops on the heads of `tokens` tokens, sequences of `length`, `rotated` values of each head turned.
inline std::vector<Producer> head_producers(int64_t tokens, int64_t length, int64_t heads, int64_t kv_heads, int64_t width,
                                            int64_t rotated) {
  const Shape s{tokens, (heads + 2 * kv_heads) * width}, s_out{tokens, heads * width};
  const std::string of = fmt::format(" [{} tokens, {} and {} heads of {}]", tokens, heads, kv_heads, width);
  const float scale = 1.0F / std::sqrt(static_cast<float>(width));
  std::vector<Producer> all;
  all.push_back({"rope" + of,
                 [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool) {
                   GuardedTensor qkv = input(act, s, kind, 1), table = normal_tensor(DType::f32, {length, rotated}, 2);
                   on.rope({.qkv = qkv,
                            .cos_sin = table,
                            .num_heads = heads,
                            .num_kv_heads = kv_heads,
                            .sequence_length = length,
                            .inverse = true,
                            .quantized = quantized});
                   return Written{qkv};
                 },
                 false});
  all.push_back({"qk_norm_bwd" + of,
                 [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool) {
                   GuardedTensor qkv = normal_tensor(act, s, 1), d = input(act, s, kind, 2), q = normal_tensor(act, {width}, 3), k = q;
                   GuardedTensor rstd(DType::f32, {tokens, heads + kv_heads}), d_q(DType::f32, {width}), d_k = d_q;
                   rstd.fill([](int64_t i) { return 0.8 + 0.001 * static_cast<double>(i); });
                   on.qk_norm_bwd({.d_qkv = d,
                                   .qkv = qkv,
                                   .q_weight = q,
                                   .k_weight = k,
                                   .rstd = rstd,
                                   .d_q_weight = d_q,
                                   .d_k_weight = d_k,
                                   .num_heads = heads,
                                   .num_kv_heads = kv_heads,
                                   .quantized = quantized});
                   return Written{d, d_q, d_k};
                 },
                 false});
  const auto forward = [=](Backend& on, DType act, int kind, const QuantOutput& quantized, GuardedTensor& out, GuardedTensor& lse) {
    GuardedTensor qkv = input(act, s, kind, 1, 2.0);
    on.attention_fwd({.qkv = qkv,
                      .out = out,
                      .lse = lse,
                      .num_heads = heads,
                      .num_kv_heads = kv_heads,
                      .sequence_length = length,
                      .scale = scale,
                      .quantized = quantized});
    return qkv;
  };
  all.push_back({"attention_fwd" + of,
                 [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool) {
                   GuardedTensor out(act, s_out), lse(DType::f32, {tokens / length, heads, length});
                   forward(on, act, kind, quantized, out, lse);
                   return Written{out, lse};
                 },
                 false});
  all.push_back({"attention_bwd" + of,
                 [=](Backend& on, DType act, int kind, const QuantOutput& quantized, bool) {
                   GuardedTensor out(act, s_out), lse(DType::f32, {tokens / length, heads, length}), d_qkv(act, s);
                   GuardedTensor qkv = forward(on, act, 0, {}, out, lse), d_out = input(act, s_out, kind, 5);
                   on.attention_bwd({.d_out = d_out,
                                     .qkv = qkv,
                                     .out = out,
                                     .lse = lse,
                                     .d_qkv = d_qkv,
                                     .num_heads = heads,
                                     .num_kv_heads = kv_heads,
                                     .sequence_length = length,
                                     .scale = scale,
                                     .quantized = quantized});
                   return Written{d_qkv};
                 },
                 false});
  return all;
}

}  // namespace mbt::test
