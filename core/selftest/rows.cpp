#include "core/selftest/rows.h"

#include "core/reference/activation.h"
#include "core/reference/cross_entropy.h"
#include "core/reference/norm.h"
#include "core/selftest/device_tensor.h"

namespace mbt::selftest {
namespace {

struct Extent {
  int64_t rows, cols;
};
/// A fp32 sum of a thousand squares, one after the other as some loops add them, loses more than the tolerance of the ops has room for.
constexpr Extent kExtents[] = {{32, 256}, {7, 333}};
constexpr float kEps = 1e-5F;
using Row = std::vector<double>;

Row row_of(const GuardedTensor& t, int64_t n, int64_t cols) {
  Row row;
  for (int64_t c = 0; c < cols; ++c) row.push_back(t.at(n * cols + c));
  return row;
}

Outcome run_norm_fwd(Backend& on, DType act, NormKind kind, const Extent& e) {
  const Shape s{e.rows, e.cols};
  const DeviceTensor x(on, normal(act, s, 1)), delta(on, normal(act, s, 2)), weight(on, normal(act, {e.cols}, 3)),
      bias(on, normal(act, {e.cols}, 4));
  const DeviceTensor y(on, zeros(act, s)), h(on, zeros(act, s)), rstd(on, zeros(DType::f32, {e.rows})),
      mean(on, zeros(DType::f32, {e.rows}));
  Row want, want_rstd;
  GuardedTensor want_h = zeros(act, s);
  for (int64_t i = 0; i < want_h.size(); ++i) want_h.set(i, static_cast<float>(x.start().at(i) + delta.start().at(i)));
  for (int64_t n = 0; n < e.rows; ++n) {
    const ref::NormRow row(kind, row_of(want_h, n, e.cols), kEps);
    want_rstd.push_back(row.rstd);
    for (int64_t c = 0; c < e.cols; ++c)
      want.push_back(row.x_hat[static_cast<size_t>(c)] * weight.start().at(c) + (kind == NormKind::layernorm ? bias.start().at(c) : 0.0));
  }
  NormFwdArgs args{.kind = kind, .x = x, .weight = weight, .y = y, .rstd = rstd, .delta = delta, .h = h, .eps = kEps};
  if (kind == NormKind::layernorm) args.bias = bias, args.mean = mean;
  on.norm_fwd(args);
  Outcome worst = y.compare("norm_fwd", want);
  worst.join(rstd.compare("norm_fwd", want_rstd));
  worst.join(h.compare_bits(want_h));
  return worst;
}

Outcome run_norm_bwd(Backend& on, DType act, NormKind kind, const Extent& e) {
  const Shape s{e.rows, e.cols};
  const DeviceTensor d_y(on, normal(act, s, 1)), h(on, normal(act, s, 2)), weight(on, normal(act, {e.cols}, 3)), d_h(on, normal(act, s, 4));
  const DeviceTensor d_weight(on, normal(DType::f32, {e.cols}, 5)), d_bias(on, normal(DType::f32, {e.cols}, 6));
  GuardedTensor means = zeros(DType::f32, {e.rows}), rstds = means;
  Row want_h = d_h.start().values(), want_weight = d_weight.start().values(), want_bias = d_bias.start().values();
  for (int64_t n = 0; n < e.rows; ++n) {
    const ref::NormRow row(kind, row_of(h.start(), n, e.cols), kEps);
    means.set(n, row.mean), rstds.set(n, row.rstd);
    Row g = row_of(d_y.start(), n, e.cols);
    for (size_t c = 0; c < g.size(); ++c) {
      want_weight[c] += g[c] * row.x_hat[c];
      if (kind == NormKind::layernorm) want_bias[c] += g[c];
      g[c] *= weight.start().at(static_cast<int64_t>(c));
    }
    const Row d = row.d_x(kind, g);
    for (size_t c = 0; c < d.size(); ++c) want_h[static_cast<size_t>(n * e.cols) + c] += d[c];
  }
  const DeviceTensor mean(on, means), rstd(on, rstds);
  NormBwdArgs args{.kind = kind, .d_y = d_y, .h = h, .weight = weight, .rstd = rstd, .d_h = d_h, .d_weight = d_weight};
  if (kind == NormKind::layernorm) args.mean = mean, args.d_bias = d_bias;
  on.norm_bwd(args);
  Outcome worst = d_h.compare("norm_bwd", want_h);
  worst.join(d_weight.compare("norm_bwd", want_weight));
  worst.join(d_bias.compare("norm_bwd", want_bias));
  return worst;
}

template <class Run>
Outcome over_extents(Run run) {
  Outcome worst;
  for (const Extent& e : kExtents) worst.join(run(e));
  return worst;
}

/// Heads of 64 values, three of queries and one of keys; the gradient goes through the same rows as NormRow's.
Outcome run_qk_norm(Backend& on, DType act, bool backward) {
  constexpr int64_t kTokens = 19, kHeads = 3, kKvHeads = 1, kHead = 64, kNormed = kHeads + kKvHeads,
                    kCols = (kHeads + 2 * kKvHeads) * kHead;
  constexpr float kHeadEps = 1e-6F;
  const DeviceTensor qkv(on, normal(act, {kTokens, kCols}, 1)), q_weight(on, normal(act, {kHead}, 2)),
      k_weight(on, normal(act, {kHead}, 3));
  const DeviceTensor out(on, zeros(act, {kTokens, kCols})), d_qkv(on, normal(act, {kTokens, kCols}, 4));
  const DeviceTensor d_q(on, normal(DType::f32, {kHead}, 5)), d_k(on, normal(DType::f32, {kHead}, 6));
  GuardedTensor rstds = zeros(DType::f32, {kTokens, kNormed});
  Row want = qkv.start().values(), want_d = d_qkv.start().values(), want_q = d_q.start().values(), want_k = d_k.start().values();
  for (int64_t n = 0; n < kTokens; ++n)
    for (int64_t head = 0; head < kNormed; ++head) {
      const auto at = static_cast<size_t>(n * kCols + head * kHead);
      const GuardedTensor& weight = head < kHeads ? q_weight.start() : k_weight.start();
      Row& d_weight = head < kHeads ? want_q : want_k;
      const Row x(want.begin() + static_cast<int64_t>(at), want.begin() + static_cast<int64_t>(at) + kHead);
      const ref::NormRow row(NormKind::rmsnorm, x, kHeadEps);
      rstds.set(n * kNormed + head, row.rstd);
      Row g(kHead);
      for (size_t c = 0; c < g.size(); ++c) {
        const double w = weight.at(static_cast<int64_t>(c));
        want[at + c] = row.x_hat[c] * w;
        d_weight[c] += want_d[at + c] * row.x_hat[c];
        g[c] = want_d[at + c] * w;
      }
      const Row d = row.d_x(NormKind::rmsnorm, g);
      for (size_t c = 0; c < d.size(); ++c) want_d[at + c] = d[c];
    }
  const DeviceTensor rstd(on, backward ? rstds : zeros(DType::f32, {kTokens, kNormed}));
  if (!backward) {
    on.qk_norm_fwd({.qkv = qkv,
                    .q_weight = q_weight,
                    .k_weight = k_weight,
                    .qkv_out = out,
                    .rstd = rstd,
                    .num_heads = kHeads,
                    .num_kv_heads = kKvHeads,
                    .eps = kHeadEps});
    Outcome worst = out.compare("qk_norm_fwd", want);
    worst.join(rstd.compare("qk_norm_fwd", rstds.values()));
    return worst;
  }
  on.qk_norm_bwd({.d_qkv = d_qkv,
                  .qkv = qkv,
                  .q_weight = q_weight,
                  .k_weight = k_weight,
                  .rstd = rstd,
                  .d_q_weight = d_q,
                  .d_k_weight = d_k,
                  .num_heads = kHeads,
                  .num_kv_heads = kKvHeads});
  Outcome worst = d_qkv.compare("qk_norm_bwd", want_d);
  worst.join(d_q.compare("qk_norm_bwd", want_q));
  worst.join(d_k.compare("qk_norm_bwd", want_k));
  return worst;
}

Outcome run_activation(Backend& on, DType act, ActivationKind kind, const Extent& e) {
  const DeviceTensor x(on, normal(act, {e.rows, is_gated(kind) ? 2 * e.cols : e.cols}, 1, 3.0)), d_y(on, normal(act, {e.rows, e.cols}, 2));
  const DeviceTensor y(on, zeros(act, d_y.start().shape())), d_x(on, zeros(act, x.start().shape()));
  on.activation_fwd({.kind = kind, .x = x, .y = y});
  on.activation_bwd({.kind = kind, .d_y = d_y, .x = x, .d_x = d_x});
  const ref::ActivationReference want(kind, e.rows, x.start(), d_y.start());
  Outcome worst = y.compare("activation_fwd", want.y);
  worst.join(d_x.compare("activation_bwd", want.d_x));
  return worst;
}

const char* slug_of(ActivationKind kind) {
  constexpr const char* kNames[] = {"swiglu", "geglu", "gelu_tanh", "gelu_erf", "silu", "relu", "squared_relu"};
  return kNames[static_cast<size_t>(kind)];
}

std::vector<int32_t> indices(int64_t n, int32_t limit) {
  std::vector<int32_t> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>((i * i * 31 + 7 * i) % limit));
  return out;
}

Outcome run_cross_entropy(Backend& on, DType act) {
  constexpr int64_t kRows = 9, kVocab = 3001, kPadded = 3072;
  constexpr float kScale = 0.25F;
  GuardedTensor start = normal(act, {kRows, kPadded}, 1, 4.0), weights = zeros(DType::f32, {kRows});
  for (int64_t i = 0; i < start.size(); ++i)
    if (i % kPadded >= kVocab) start.set(i, 100);  // padding must not take part
  weights.fill([](int64_t n) { return n % 4 == 1 ? 0.0 : n % 4 == 2 ? 0.5 : 1.0; });
  const std::vector<int32_t> labels = indices(kRows, kVocab);
  const DeviceTensor logits(on, start), mask(on, weights), loss(on, zeros(DType::f32, {kRows}));
  const DeviceArray<int32_t> targets(on, labels, DType::i32);
  on.cross_entropy({.logits = logits,
                    .targets = targets,
                    .loss_mask = mask,
                    .loss = loss,
                    .vocab_size = kVocab,
                    .compute_gradient = true,
                    .d_scale = kScale});
  const ref::CrossEntropyReference want(kVocab, kPadded, start, labels, weights, kScale);
  Outcome worst = loss.compare("cross_entropy", want.loss);
  worst.join(logits.compare("cross_entropy_grad", want.gradient));
  return worst;
}

Outcome run_embedding_fwd(Backend& on, DType act) {
  constexpr int64_t kRows = 34, kLength = 17, kVocab = 50, kCols = 136;
  const std::vector<int32_t> ids = indices(kRows, kVocab);
  const DeviceTensor table(on, normal(act, {kVocab, kCols}, 1)), positions(on, normal(act, {kLength, kCols}, 2)),
      out(on, zeros(act, {kRows, kCols}));
  const DeviceArray<int32_t> tokens(on, ids, DType::i32);
  on.embedding_fwd({.tokens = tokens, .table = table, .out = out, .sequence_length = kLength, .position_table = positions});
  Row want;
  for (int64_t n = 0; n < kRows; ++n)
    for (int64_t c = 0; c < kCols; ++c)
      want.push_back(table.start().at(ids[static_cast<size_t>(n)] * kCols + c) + positions.start().at(n % kLength * kCols + c));
  return out.compare("embedding_fwd", want);
}

Outcome run_embedding_bwd(Backend& on, DType act) {
  constexpr int64_t kRows = 90, kLength = 45, kVocab = 11, kCols = 136;  // each token several times
  const std::vector<int32_t> ids = indices(kRows, kVocab);
  const DeviceTensor d_out(on, normal(act, {kRows, kCols}, 1)), d_table(on, normal(DType::f32, {kVocab, kCols}, 2)),
      d_positions(on, normal(DType::f32, {kLength, kCols}, 3));
  const DeviceArray<int32_t> tokens(on, ids, DType::i32);
  on.embedding_bwd({.d_out = d_out, .tokens = tokens, .d_table = d_table, .sequence_length = kLength, .d_position_table = d_positions});
  Row want = d_table.start().values(), want_positions = d_positions.start().values();
  for (int64_t n = 0; n < kRows; ++n)
    for (int64_t c = 0; c < kCols; ++c) {
      want[static_cast<size_t>(ids[static_cast<size_t>(n)] * kCols + c)] += d_out.start().at(n * kCols + c);
      want_positions[static_cast<size_t>(n % kLength * kCols + c)] += d_out.start().at(n * kCols + c);
    }
  Outcome worst = d_table.compare("embedding_bwd", want);
  worst.join(d_positions.compare("embedding_bwd", want_positions));
  return worst;
}

Outcome run_bias_bwd(Backend& on, DType act) {
  constexpr int64_t kRows = 133, kCols = 264;
  const DeviceTensor d_y(on, normal(act, {kRows, kCols}, 1)), d_bias(on, normal(DType::f32, {kCols}, 2));
  on.bias_bwd({.d_y = d_y, .d_bias = d_bias});
  Row want = d_bias.start().values();
  for (int64_t i = 0; i < kRows * kCols; ++i) want[static_cast<size_t>(i % kCols)] += d_y.start().at(i);
  return d_bias.compare("bias_bwd", want);
}

Outcome run_add(Backend& on, DType act) {
  const DeviceTensor a(on, normal(act, {1001}, 1)), b(on, normal(act, {1001}, 2)), out(on, zeros(act, {1001}));
  on.add({.a = a, .b = b, .out = out});
  Row want;
  for (int64_t i = 0; i < 1001; ++i) want.push_back(a.start().at(i) + b.start().at(i));
  return out.compare("add", want);
}

/// f32 to act, to nearest even with overflow to infinity, and back, which is exact.
Outcome run_cast(Backend& on, DType act) {
  GuardedTensor start = ref::values(DType::f32, 37, 29, 0, 3), want = zeros(act, {37, 29}), wide = zeros(DType::f32, {37, 29});
  for (int64_t i = 0; i < start.size(); ++i) want.set(i, start.at(i)), wide.set(i, want.at(i));
  const DeviceTensor x(on, start), narrow(on, zeros(act, {37, 29})), back(on, zeros(DType::f32, {37, 29}));
  on.cast({.src = x, .dst = narrow});
  on.cast({.src = narrow, .dst = back});
  Outcome worst = narrow.compare_bits(want);
  worst.join(back.compare_bits(wide));
  return worst;
}

}  // namespace

Checks norm_checks(DType act, const std::vector<NormKind>& kinds, bool has_qk_norm) {
  Checks checks;
  for (const NormKind kind : kinds) {
    const std::string of = fmt::format("{}.{}", kind == NormKind::rmsnorm ? "rmsnorm" : "layernorm", name_of(act));
    checks.push_back({"norm_fwd." + of, "residual sum, normalized rows and statistics, with double", kRounding, kOtherDevice,
                      [=](Backend& on) { return over_extents([&](const Extent& e) { return run_norm_fwd(on, act, kind, e); }); }});
    checks.push_back({"norm_bwd." + of, "gradients of rows, weight and bias, with double", kRounding, kOtherDevice,
                      [=](Backend& on) { return over_extents([&](const Extent& e) { return run_norm_bwd(on, act, kind, e); }); }});
  }
  if (!has_qk_norm) return checks;
  for (const bool backward : {false, true})
    checks.push_back({fmt::format("qk_norm_{}.{}", backward ? "bwd" : "fwd", name_of(act)), "normalized query and key heads, with double",
                      kRounding, kOtherDevice, [=](Backend& on) { return run_qk_norm(on, act, backward); }});
  return checks;
}

Checks activation_checks(DType act, const std::vector<ActivationKind>& kinds) {
  Checks checks;
  for (const ActivationKind kind : kinds)
    checks.push_back({fmt::format("activation.{}.{}", slug_of(kind), name_of(act)), "output and gradient, with double", kRounding,
                      kOtherDevice,
                      [=](Backend& on) { return over_extents([&](const Extent& e) { return run_activation(on, act, kind, e); }); }});
  return checks;
}

Checks row_checks(DType act) {
  struct Named {
    const char *name, *compared, *allowance;
    Outcome (*run)(Backend&, DType);
  };
  constexpr Named kAll[] = {
      {"cross_entropy", "loss and gradient of logits with padding and a mask, with double", kRounding, run_cross_entropy},
      {"embedding_fwd", "rows of tokens and positions, with their sums", kRounding, run_embedding_fwd},
      {"embedding_bwd", "gradients of tables where tokens repeat, with double", kRounding, run_embedding_bwd},
      {"bias_bwd", "sums over rows, with double", kRounding, run_bias_bwd},
      {"add", "sums, with double", kRounding, run_add},
      {"cast", "from fp32 and back, to nearest even, with the rule", kBits, run_cast},
  };
  Checks checks;
  for (const Named& n : kAll)
    checks.push_back({fmt::format("{}.{}", n.name, name_of(act)), n.compared, n.allowance, kOtherDevice,
                      [act, run = n.run](Backend& on) { return run(on, act); }});
  return checks;
}

}  // namespace mbt::selftest
