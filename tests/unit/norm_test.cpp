#include "core/ops/norm.h"

#include "tests/support/norm_reference.h"
#include "tests/support/op_cases.h"

namespace mbt::test::norm_test {
namespace {

constexpr NormKind kKinds[] = {NormKind::rmsnorm, NormKind::layernorm};
constexpr float kEps = 1e-5f;

std::vector<double> row_of(const GuardedTensor& t, int64_t n, int64_t cols) {
  std::vector<double> row;
  for (int64_t c = 0; c < cols; ++c) row.push_back(t.at(n * cols + c));
  return row;
}

void append(std::vector<double>& to, const std::vector<double>& from) { to.insert(to.end(), from.begin(), from.end()); }

void check_fwd(NormKind kind, DType dtype, int64_t rows, int64_t cols, bool with_delta) {
  GuardedTensor x = normal_tensor(dtype, {rows, cols}, 1), delta = normal_tensor(dtype, {rows, cols}, 2);
  GuardedTensor weight = normal_tensor(dtype, {cols}, 3), bias = normal_tensor(dtype, {cols}, 4);
  GuardedTensor y(dtype, {rows, cols}), rstd(DType::f32, {rows}), mean(DType::f32, {rows});
  std::vector<double> want, want_h, want_rstd;
  for (int64_t n = 0; n < rows; ++n) {
    std::vector<double> h = row_of(x, n, cols);
    for (int64_t c = 0; with_delta && c < cols; ++c) {
      double& v = h[static_cast<size_t>(c)];
      v = round_to(dtype, static_cast<float>(v + delta.at(n * cols + c)));
    }
    const NormRow reference(kind, h, kEps);
    want_rstd.push_back(reference.rstd);
    for (int64_t c = 0; c < cols; ++c) {
      want.push_back(reference.x_hat[static_cast<size_t>(c)] * weight.at(c) + (kind == NormKind::layernorm ? bias.at(c) : 0.0));
    }
    append(want_h, h);
  }
  NormFwdArgs args{.kind = kind, .x = x, .weight = weight, .y = y, .rstd = rstd, .eps = kEps};
  if (kind == NormKind::layernorm) args.bias = bias, args.mean = mean;
  if (with_delta) args.delta = delta, args.h = x;  // in place
  backend().norm_fwd(args);
  CHECK(mismatch("norm_fwd", y, want) == "");
  CHECK(mismatch("norm_fwd", rstd, want_rstd) == "");
  CHECK(x.values() == want_h);
  CHECK((x.guards_intact() && mean.guards_intact()));
}

struct Backward {
  GuardedTensor d_y, h, weight, mean, rstd;

  Backward(NormKind kind, DType dtype, int64_t rows, int64_t cols)
      : d_y(normal_tensor(dtype, {rows, cols}, 1)),
        h(normal_tensor(dtype, {rows, cols}, 2)),
        weight(normal_tensor(dtype, {cols}, 3)),
        mean(DType::f32, {rows}),
        rstd(DType::f32, {rows}) {
    for (int64_t n = 0; n < rows; ++n) {
      const NormRow row(kind, row_of(h, n, cols), kEps);
      mean.set(n, row.mean);
      rstd.set(n, row.rstd);
    }
  }
};

void check_bwd(NormKind kind, DType dtype, int64_t rows, int64_t cols, bool accumulate) {
  Backward b(kind, dtype, rows, cols);
  GuardedTensor d_h = normal_tensor(dtype, {rows, cols}, 4);
  GuardedTensor d_weight = normal_tensor(DType::f32, {cols}, 5), d_bias = normal_tensor(DType::f32, {cols}, 6);
  std::vector<double> want_h, want_weight = d_weight.values(), want_bias = d_bias.values();
  for (int64_t n = 0; n < rows; ++n) {
    const NormRow row(kind, row_of(b.h, n, cols), kEps);
    std::vector<double> g;
    for (int64_t c = 0; c < cols; ++c) {
      const double d = b.d_y.at(n * cols + c);
      g.push_back(d * b.weight.at(c));
      want_weight[static_cast<size_t>(c)] += d * row.x_hat[static_cast<size_t>(c)];
      if (kind == NormKind::layernorm) want_bias[static_cast<size_t>(c)] += d;
    }
    std::vector<double> d = row.d_x(kind, g);
    for (int64_t c = 0; accumulate && c < cols; ++c) d[static_cast<size_t>(c)] += d_h.at(n * cols + c);
    append(want_h, d);
  }
  if (!accumulate) d_h.fill([](int64_t) { return 1e30; });  // must not matter
  NormBwdArgs args{.kind = kind, .d_y = b.d_y, .h = b.h, .weight = b.weight, .rstd = b.rstd, .d_h = d_h, .d_weight = d_weight};
  if (kind == NormKind::layernorm) args.mean = b.mean, args.d_bias = d_bias;
  args.accumulate = accumulate;
  backend().norm_bwd(args);
  // One column: x_hat is +-1 and the gradient cancels almost entirely, so that errors are those of its terms.
  if (cols > 1) CHECK(mismatch("norm_bwd", d_h, want_h) == "");
  CHECK(mismatch("norm_bwd", d_weight, want_weight) == "");
  CHECK(mismatch("norm_bwd", d_bias, want_bias) == "");
}

TEST_CASE("norm_fwd normalizes x or the sum it has just written", "[loops]") {
  for (NormKind kind : kKinds)
    for (bool with_delta : {false, true})
      for_each_case([&](DType dtype, int64_t rows, int64_t cols) { check_fwd(kind, dtype, rows, cols, with_delta); });
}

TEST_CASE("norm_bwd: input and weight gradients", "[loops]") {
  for (NormKind kind : kKinds)
    for (bool accumulate : {false, true})
      for_each_case([&](DType dtype, int64_t rows, int64_t cols) { check_bwd(kind, dtype, rows, cols, accumulate); });
}

TEST_CASE("norm_bwd: weight gradients have the same bits on any number of threads", "[loops]") {
  Backward b(NormKind::layernorm, DType::bf16, 1500, 130);
  CHECK(same_bits_on_any_threads(GuardedTensor(DType::f32, {130}), [&](Backend& cpu, GuardedTensor& d_weight) {
    GuardedTensor d_h(DType::bf16, {1500, 130}), d_bias(DType::f32, {130});
    cpu.norm_bwd({.kind = NormKind::layernorm,
                  .d_y = b.d_y,
                  .h = b.h,
                  .weight = b.weight,
                  .rstd = b.rstd,
                  .d_h = d_h,
                  .d_weight = d_weight,
                  .mean = b.mean,
                  .d_bias = d_bias});
  }));
}

TEST_CASE("layernorm of a row far from zero keeps its precision", "[loops]") {
  GuardedTensor x = normal_tensor(DType::f32, {3, 500}, 1);
  for (int64_t i = 0; i < x.size(); ++i) x.set(i, x.at(i) + 1000);
  GuardedTensor weight(DType::f32, {500}), bias(DType::f32, {500}), y(DType::f32, {3, 500}), rstd(DType::f32, {3}), mean(DType::f32, {3});
  weight.fill([](int64_t) { return 1.0; });
  backend().norm_fwd({.kind = NormKind::layernorm, .x = x, .weight = weight, .y = y, .rstd = rstd, .bias = bias, .mean = mean});
  for (int64_t n = 0; n < 3; ++n) CHECK(rstd.at(n) == Approx(NormRow(NormKind::layernorm, row_of(x, n, 500), 1e-5).rstd).epsilon(1e-5));
}

TEST_CASE("qk_norm normalizes query and key heads and keeps the values", "[loops]") {
  constexpr int64_t kHeads = 3, kKvHeads = 2, kAll = kHeads + 2 * kKvHeads, kNormed = kHeads + kKvHeads;
  for_each_case([](DType dtype, int64_t rows, int64_t width) {
    GuardedTensor qkv = normal_tensor(dtype, {rows, kAll * width}, 1), d_out = normal_tensor(dtype, {rows, kAll * width}, 2);
    GuardedTensor q_weight = normal_tensor(dtype, {width}, 3), k_weight = normal_tensor(dtype, {width}, 4);
    GuardedTensor out(dtype, {rows, kAll * width}), d_qkv = d_out, rstd(DType::f32, {rows, kNormed});
    GuardedTensor d_q = normal_tensor(DType::f32, {width}, 5), d_k = normal_tensor(DType::f32, {width}, 6);
    std::vector<double> want = qkv.values(), want_d = d_out.values(), want_d_q = d_q.values(), want_d_k = d_k.values();
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t h = 0; h < kNormed; ++h) {
        const int64_t head = n * kAll + h;
        const GuardedTensor& weight = h < kHeads ? q_weight : k_weight;
        const NormRow row(NormKind::rmsnorm, row_of(qkv, head, width), 1e-6f);
        std::vector<double> g;
        for (int64_t i = 0; i < width; ++i) {
          const double d = d_out.at(head * width + i), x_hat = row.x_hat[static_cast<size_t>(i)];
          want[static_cast<size_t>(head * width + i)] = x_hat * weight.at(i);
          (h < kHeads ? want_d_q : want_d_k)[static_cast<size_t>(i)] += d * x_hat;
          g.push_back(d * weight.at(i));
        }
        const std::vector<double> d_x = row.d_x(NormKind::rmsnorm, g);
        std::copy(d_x.begin(), d_x.end(), want_d.begin() + head * width);
      }
    backend().qk_norm_fwd({.qkv = qkv,
                           .q_weight = q_weight,
                           .k_weight = k_weight,
                           .qkv_out = out,
                           .rstd = rstd,
                           .num_heads = kHeads,
                           .num_kv_heads = kKvHeads});
    backend().qk_norm_bwd({.d_qkv = d_qkv,
                           .qkv = qkv,
                           .q_weight = q_weight,
                           .k_weight = k_weight,
                           .rstd = rstd,
                           .d_q_weight = d_q,
                           .d_k_weight = d_k,
                           .num_heads = kHeads,
                           .num_kv_heads = kKvHeads});
    CHECK(mismatch("qk_norm_fwd", out, want) == "");
    if (width > 1) CHECK(mismatch("qk_norm_bwd", d_qkv, want_d) == "");
    CHECK(mismatch("qk_norm_bwd", d_q, want_d_q) == "");
    CHECK(mismatch("qk_norm_bwd", d_k, want_d_k) == "");
  });
}

}  // namespace
}  // namespace mbt::test::norm_test
