// Row-wise ops at widths that the op tests leave out: rows in the registers of a warp and of a block, rows too wide for either, and rows
// that are not aligned. The judge is a reference in double, or the CPU in f32 on the same values.
#include "tests/support/norm_reference.h"
#include "tests/support/op_cases.h"

namespace mbt::test::rows_test {
namespace {

Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu");
  return *backend;
}

GuardedTensor widened(const GuardedTensor& t, Shape shape) {
  GuardedTensor wide(DType::f32, shape);
  wide.fill([&](int64_t i) { return t.at(i); });
  return wide;
}

/// Around each limit of the kernels' choices, for 4 and for 8 values in 16 bytes.
constexpr int64_t kWidths[] = {8, 256, 264, 520, 1032, 2048, 4104, 8200, 16392, 3001};

struct NormCase {
  DType dtype;
  NormKind kind;
  int64_t rows, cols;
};

void check_norm_fwd(const NormCase& c, bool with_delta) {
  const Shape s{c.rows, c.cols};
  GuardedTensor x = normal_tensor(c.dtype, s, 1), delta = normal_tensor(c.dtype, s, 2), h(c.dtype, s), y(c.dtype, s);
  GuardedTensor weight = normal_tensor(c.dtype, {c.cols}, 3), bias = normal_tensor(c.dtype, {c.cols}, 4);
  GuardedTensor rstd(DType::f32, {c.rows}), mean(DType::f32, {c.rows});
  const bool is_layernorm = c.kind == NormKind::layernorm;
  NormFwdArgs args{.kind = c.kind, .x = x, .weight = weight, .y = y, .rstd = rstd};
  if (is_layernorm) args.bias = bias, args.mean = mean;
  if (with_delta) args.delta = delta, args.h = h;
  backend().norm_fwd(args);

  GuardedTensor sum = x;
  if (with_delta) cpu().add({.a = x, .b = delta, .out = sum});
  if (with_delta) CHECK(h.same_bits(sum));
  std::vector<double> want, want_rstd;  // in double: the CPU's sum over a very wide row is not much better than what is judged
  for (int64_t n = 0; n < c.rows; ++n) {
    std::vector<double> row;
    for (int64_t i = 0; i < c.cols; ++i) row.push_back(sum.at(n * c.cols + i));
    const NormRow reference(c.kind, row, args.eps);
    want_rstd.push_back(reference.rstd);
    for (int64_t i = 0; i < c.cols; ++i)
      want.push_back(reference.x_hat[static_cast<size_t>(i)] * weight.at(i) + (is_layernorm ? bias.at(i) : 0.0));
  }
  CHECK(mismatch("norm_fwd", y, want) == "");
  CHECK(mismatch("norm_fwd", rstd, want_rstd) == "");
}

void check_norm_bwd(const NormCase& c, bool accumulate) {
  const Shape s{c.rows, c.cols};
  GuardedTensor d_y = normal_tensor(c.dtype, s, 1), h = normal_tensor(c.dtype, s, 2), weight = normal_tensor(c.dtype, {c.cols}, 3);
  GuardedTensor d_h = normal_tensor(c.dtype, s, 4), rstd(DType::f32, {c.rows}), mean(DType::f32, {c.rows});
  GuardedTensor d_weight = normal_tensor(DType::f32, {c.cols}, 5), d_bias = normal_tensor(DType::f32, {c.cols}, 6);
  rstd.fill([](int64_t i) { return 0.9 + 0.01 * static_cast<double>(i); });
  mean.fill([](int64_t i) { return 0.02 * static_cast<double>(i % 5); });
  GuardedTensor wide_d_y = widened(d_y, s), wide_h = widened(h, s), wide_weight = widened(weight, {c.cols}), want_h = widened(d_h, s);
  GuardedTensor want_weight = d_weight, want_bias = d_bias;
  const auto run = [&](Backend& on, NormBwdArgs args, GuardedTensor& bias_gradient) {
    if (c.kind == NormKind::layernorm) args.mean = mean, args.d_bias = bias_gradient;
    args.accumulate = accumulate;
    on.norm_bwd(args);
  };
  run(backend(), {.kind = c.kind, .d_y = d_y, .h = h, .weight = weight, .rstd = rstd, .d_h = d_h, .d_weight = d_weight}, d_bias);
  run(cpu(), {.kind = c.kind, .d_y = wide_d_y, .h = wide_h, .weight = wide_weight, .rstd = rstd, .d_h = want_h, .d_weight = want_weight},
      want_bias);
  CHECK(mismatch("norm_bwd", d_h, want_h.values()) == "");
  CHECK(mismatch("norm_bwd", d_weight, want_weight.values()) == "");
  CHECK(mismatch("norm_bwd", d_bias, want_bias.values()) == "");
}

TEST_CASE("norms of rows in a warp, in a block and too wide for both") {
  for (DType dtype : {DType::f32, DType::bf16})
    for (NormKind kind : {NormKind::rmsnorm, NormKind::layernorm})
      for (int64_t cols : kWidths) {
        INFO(name_of(dtype) << " kind " << static_cast<int>(kind) << " [.," << cols << "]");
        check_norm_fwd({dtype, kind, 5, cols}, cols % 3 == 0);
        check_norm_bwd({dtype, kind, 19, cols}, cols % 3 != 0);
      }
}

TEST_CASE("norm_bwd: rows too wide for registers, and more of them than blocks of the emulated device") {
  for (NormKind kind : {NormKind::rmsnorm, NormKind::layernorm}) check_norm_bwd({DType::bf16, kind, 37, 3001}, true);
}

void check_recomputed(const NormCase& c) {
  const Shape s{c.rows, c.cols};
  GuardedTensor x = normal_tensor(c.dtype, s, 1), delta = normal_tensor(c.dtype, s, 2), weight = normal_tensor(c.dtype, {c.cols}, 3);
  GuardedTensor h(c.dtype, s), y(c.dtype, s), again(c.dtype, s), rstd(DType::f32, {c.rows}), rstd_again(DType::f32, {c.rows});
  backend().norm_fwd({.kind = c.kind, .x = x, .weight = weight, .y = y, .rstd = rstd, .delta = delta, .h = h});
  backend().norm_fwd({.kind = c.kind, .x = h, .weight = weight, .y = again, .rstd = rstd_again});
  CHECK((again.same_bits(y) && rstd_again.same_bits(rstd)));
}

TEST_CASE("norm: a recomputed row has the bits of the first, with and without the residual addition") {
  for (int64_t cols : {96, 1024, 4096, 1001}) check_recomputed({DType::bf16, NormKind::rmsnorm, 3, cols});
}

TEST_CASE("qk_norm_bwd: heads of every number of lanes, and more rows than a block takes at once") {
  constexpr int64_t kHeads = 3, kKvHeads = 1, kTokens = 70;
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t width : {8, 16, 72, 128, 192, 256, 520}) {
      INFO(name_of(dtype) << " " << width);
      const Shape s{kTokens, (kHeads + 2 * kKvHeads) * width};
      GuardedTensor qkv = normal_tensor(dtype, s, 1), d = normal_tensor(dtype, s, 2), out(dtype, s),
                    rstd(DType::f32, {kTokens, kHeads + kKvHeads});
      GuardedTensor q_weight = normal_tensor(dtype, {width}, 3), k_weight = normal_tensor(dtype, {width}, 4);
      GuardedTensor d_q(DType::f32, {width}), d_k(DType::f32, {width}), want_d_q = d_q, want_d_k = d_k;
      GuardedTensor wide_qkv = widened(qkv, s), want_d = widened(d, s), want(DType::f32, s), want_rstd = rstd;
      GuardedTensor wide_q = widened(q_weight, {width}), wide_k = widened(k_weight, {width});
      const auto run = [&](Backend& on, GuardedTensor& x, GuardedTensor& q, GuardedTensor& k, GuardedTensor& y, GuardedTensor& r,
                           GuardedTensor& d_x, GuardedTensor& d_of_q, GuardedTensor& d_of_k) {
        on.qk_norm_fwd({.qkv = x, .q_weight = q, .k_weight = k, .qkv_out = y, .rstd = r, .num_heads = kHeads, .num_kv_heads = kKvHeads});
        on.qk_norm_bwd({.d_qkv = d_x,
                        .qkv = x,
                        .q_weight = q,
                        .k_weight = k,
                        .rstd = r,
                        .d_q_weight = d_of_q,
                        .d_k_weight = d_of_k,
                        .num_heads = kHeads,
                        .num_kv_heads = kKvHeads});
      };
      run(backend(), qkv, q_weight, k_weight, out, rstd, d, d_q, d_k);
      run(cpu(), wide_qkv, wide_q, wide_k, want, want_rstd, want_d, want_d_q, want_d_k);
      CHECK(mismatch("qk_norm_fwd", out, want.values()) == "");
      CHECK(mismatch("qk_norm_fwd", rstd, want_rstd.values()) == "");
      CHECK(mismatch("qk_norm_bwd", d, want_d.values()) == "");
      CHECK(mismatch("qk_norm_bwd", d_q, want_d_q.values()) == "");
      CHECK(mismatch("qk_norm_bwd", d_k, want_d_k.values()) == "");
    }
}

/// A token in so many places is summed in parts, and so not in the CPU's order, which loses more.
TEST_CASE("embedding_bwd: the CPU's bits, over several runs that merge, but for a token in half of the places") {
  constexpr int64_t kTokens = 1777, kVocabulary = 300, kCols = 24;
  for (DType dtype : kActTypes)
    for (int64_t cols : {kCols, kCols + 1}) {
      Indices tokens(kTokens, kVocabulary, 1);
      for (int64_t n = 0; n < kTokens; n += 2) tokens[n] = 7;
      GuardedTensor d_out = normal_tensor(dtype, {kTokens, cols}, 2), d_table = normal_tensor(DType::f32, {kVocabulary, cols}, 3);
      GuardedTensor d_positions = normal_tensor(DType::f32, {500, cols}, 4), want = d_table, want_positions = d_positions, before = d_table;
      backend().embedding_bwd(
          {.d_out = d_out, .tokens = tokens, .d_table = d_table, .sequence_length = 500, .d_position_table = d_positions});
      cpu().embedding_bwd({.d_out = d_out, .tokens = tokens, .d_table = want, .sequence_length = 500, .d_position_table = want_positions});
      for (int64_t c = 0; c < cols; ++c) {
        double sum = before.at(7 * cols + c);
        for (int64_t n = 0; n < kTokens; ++n) sum += tokens[n] == 7 ? d_out.at(n * cols + c) : 0.0;
        CHECK(d_table.at(7 * cols + c) == Approx(sum).epsilon(0).margin(fp32_units("embedding_bwd") * 0x1p-24 * std::sqrt(kTokens)));
        d_table.set(7 * cols + c, want.at(7 * cols + c));
      }
      CHECK(d_table.same_bits(want));
      CHECK(d_positions.same_bits(want_positions));
    }
}

TEST_CASE("rope: many heads, wide heads, and halves that are not aligned") {
  struct Case {
    int64_t heads, kv_heads, width, rotated;
  };
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : {Case{40, 8, 32, 32}, Case{3, 1, 256, 256}, Case{2, 2, 64, 24}, Case{300, 1, 16, 16}}) {
      const Shape s{7, (c.heads + 2 * c.kv_heads) * c.width};
      GuardedTensor qkv = normal_tensor(dtype, s, 1), table = normal_tensor(DType::f32, {5, c.rotated}, 2), want = widened(qkv, s);
      const auto run = [&](Backend& on, GuardedTensor& t) {
        on.rope({.qkv = t, .cos_sin = table, .num_heads = c.heads, .num_kv_heads = c.kv_heads, .sequence_length = 4, .first_position = 1});
      };
      run(backend(), qkv);
      run(cpu(), want);
      CHECK(mismatch("rope", qkv, want.values()) == "");
    }
}

TEST_CASE("activations: rows of several blocks, and more rows than a grid has") {
  struct Case {
    ActivationKind kind;
    int64_t rows, cols;
  };
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : {Case{ActivationKind::swiglu, 3, 2600}, Case{ActivationKind::geglu, 65, 40},
                          Case{ActivationKind::gelu_tanh, 2, 4104}, Case{ActivationKind::swiglu, 66000, 1}}) {
      INFO(name_of(dtype) << " kind " << static_cast<int>(c.kind) << " [" << c.rows << "," << c.cols << "]");
      const Shape s{c.rows, c.cols}, s_x{c.rows, is_gated(c.kind) ? 2 * c.cols : c.cols};
      GuardedTensor x = normal_tensor(dtype, s_x, 1), d_y = normal_tensor(dtype, s, 2), y(dtype, s), d_x(dtype, s_x);
      GuardedTensor wide_x = widened(x, s_x), wide_d_y = widened(d_y, s), want(DType::f32, s), want_d(DType::f32, s_x);
      backend().activation_fwd({.kind = c.kind, .x = x, .y = y});
      backend().activation_bwd({.kind = c.kind, .d_y = d_y, .x = x, .d_x = d_x});
      cpu().activation_fwd({.kind = c.kind, .x = wide_x, .y = want});
      cpu().activation_bwd({.kind = c.kind, .d_y = wide_d_y, .x = wide_x, .d_x = want_d});
      CHECK(mismatch("activation_fwd", y, want.values()) == "");
      CHECK(mismatch("activation_bwd", d_x, want_d.values()) == "");
    }
}

TEST_CASE("bias_bwd: many rows, several tiles of columns, a sum that cancels") {
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t cols : {264, 513}) {
      const int64_t rows = 1000;
      GuardedTensor d_y = normal_tensor(dtype, {rows, cols}, 1), got(DType::f32, {cols}), want = got;
      for (int64_t n = rows / 2; n < rows; ++n) d_y.set(n * cols, -d_y.at((n - rows / 2) * cols));  // column 0 sums to 0
      backend().bias_bwd({.d_y = d_y, .d_bias = got});
      cpu().bias_bwd({.d_y = d_y, .d_bias = want});
      CHECK(mismatch("bias_bwd", got, want.values()) == "");
      CHECK(std::fabs(got.at(0)) < 1e-12);
    }
}

TEST_CASE("bias_bwd: infinities and NaN stay what they are") {
  for (double bad : {double{INFINITY}, -double{INFINITY}, double{NAN}}) {
    GuardedTensor d_y = normal_tensor(DType::f32, {100, 3}, 1), got(DType::f32, {3});
    d_y.set(50 * 3 + 1, bad);
    backend().bias_bwd({.d_y = d_y, .d_bias = got});
    CHECK((std::isnan(bad) ? std::isnan(got.at(1)) : got.at(1) == bad));
    CHECK((std::isfinite(got.at(0)) && std::isfinite(got.at(2))));
  }
}

TEST_CASE("embedding_bwd: tokens that are most of a batch") {
  // Runs of the sorted keys: 3 from the first place on, 5 across several segments, 6 of exactly one segment, 7 long and last.
  const std::pair<int32_t, int64_t> runs[] = {{3, 300}, {4, 2}, {5, 700}, {6, 256}, {7, 257}};
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t cols : {6, 33}) {
      INFO(name_of(dtype) << " " << cols);
      std::vector<int32_t> all;
      for (const auto& [token, times] : runs) all.insert(all.end(), static_cast<size_t>(times), token);
      std::shuffle(all.begin(), all.end(), std::mt19937(1));
      const auto rows = static_cast<int64_t>(all.size());
      Indices tokens(rows, 1, 1);
      for (int64_t n = 0; n < rows; ++n) tokens[n] = all[static_cast<size_t>(n)];
      GuardedTensor d_out = normal_tensor(dtype, {rows, cols}, 2), d_table = normal_tensor(DType::f32, {9, cols}, 3);
      std::vector<double> want = d_table.values();
      for (int64_t i = 0; i < d_out.size(); ++i) want[static_cast<size_t>(tokens[i / cols] * cols + i % cols)] += d_out.at(i);
      backend().embedding_bwd({.d_out = d_out, .tokens = tokens, .d_table = d_table, .sequence_length = rows});
      CHECK(mismatch("embedding_bwd", d_table, want) == "");
    }
}

TEST_CASE("embedding_fwd: wide rows have the CPU's bits") {
  for (DType dtype : kActTypes) {
    Indices tokens(70, 9, 1);
    GuardedTensor table = normal_tensor(dtype, {9, 2056}, 2), positions = normal_tensor(dtype, {35, 2056}, 3), got(dtype, {70, 2056}),
                  want = got;
    const EmbeddingFwdArgs args{.tokens = tokens, .table = table, .out = got, .sequence_length = 35, .position_table = positions};
    backend().embedding_fwd(args);
    EmbeddingFwdArgs judge = args;
    judge.out = want;
    cpu().embedding_fwd(judge);
    CHECK(got.same_bits(want));
  }
}

TEST_CASE("a NaN or an infinity in any place of a pack has the CPU's bits, and so have its neighbors") {
  for (DType dtype : kActTypes) {
    GuardedTensor a = normal_tensor(dtype, {91}, 1), b = normal_tensor(dtype, {91}, 2), got(dtype, {91}), want = got;
    for (int64_t i = 0; i < 91; i += 9) a.set(i, i % 2 == 0 ? NAN : -INFINITY);
    backend().add({.a = a, .b = b, .out = got});
    cpu().add({.a = a, .b = b, .out = want});
    CHECK(got.same_bits(want));
  }
}

}  // namespace
}  // namespace mbt::test::rows_test
