// Finite-difference gradients of the ops in fp32, one by one.
#include "tests/support/gradient_check.h"
#include "tests/support/op_cases.h"

namespace mbt::test::ops_grad_test {
namespace {

constexpr DType kF32 = DType::f32;

struct Norm {
  NormKind kind;
  GuardedTensor x = normal_tensor(kF32, {3, 31}, 1), weight = normal_tensor(kF32, {31}, 2), bias = normal_tensor(kF32, {31}, 3);
  GuardedTensor y{kF32, {3, 31}}, rstd{kF32, {3}}, mean{kF32, {3}}, d_y = normal_tensor(kF32, {3, 31}, 4);

  double loss() {
    NormFwdArgs args{.kind = kind, .x = x, .weight = weight, .y = y, .rstd = rstd};
    if (kind == NormKind::layernorm) args.bias = bias, args.mean = mean;
    backend().norm_fwd(args);
    return weighted_sum(y, d_y);
  }
};

TEST_CASE("gradients of rmsnorm and layernorm", "[loops]") {
  for (NormKind kind : {NormKind::rmsnorm, NormKind::layernorm}) {
    Norm n{.kind = kind};
    GuardedTensor d_x(kF32, {3, 31}), d_weight(kF32, {31}), d_bias(kF32, {31});
    n.loss();
    NormBwdArgs args{.kind = kind, .d_y = n.d_y, .h = n.x, .weight = n.weight, .rstd = n.rstd, .d_h = d_x, .d_weight = d_weight};
    if (kind == NormKind::layernorm) args.mean = n.mean, args.d_bias = d_bias;
    backend().norm_bwd(args);
    CHECK(gradient_mismatch("d_x", n.x, d_x, [&] { return n.loss(); }) == "");
    CHECK(gradient_mismatch("d_weight", n.weight, d_weight, [&] { return n.loss(); }) == "");
    if (kind == NormKind::layernorm) CHECK(gradient_mismatch("d_bias", n.bias, d_bias, [&] { return n.loss(); }) == "");
  }
}

TEST_CASE("gradients of qk_norm", "[loops]") {
  constexpr int64_t kHeads = 2, kKvHeads = 1, kWidth = 9, kCols = (kHeads + 2 * kKvHeads) * kWidth;
  GuardedTensor qkv = normal_tensor(kF32, {3, kCols}, 1), q = normal_tensor(kF32, {kWidth}, 2), k = normal_tensor(kF32, {kWidth}, 3);
  GuardedTensor d_qkv = normal_tensor(kF32, {3, kCols}, 4), out(kF32, {3, kCols}), rstd(kF32, {3, kHeads + kKvHeads});
  GuardedTensor d_q(kF32, {kWidth}), d_k(kF32, {kWidth});
  const GuardedTensor d_out = d_qkv;
  auto loss = [&] {
    backend().qk_norm_fwd(
        {.qkv = qkv, .q_weight = q, .k_weight = k, .qkv_out = out, .rstd = rstd, .num_heads = kHeads, .num_kv_heads = kKvHeads});
    return weighted_sum(out, d_out);
  };
  loss();
  backend().qk_norm_bwd({.d_qkv = d_qkv,
                         .qkv = qkv,
                         .q_weight = q,
                         .k_weight = k,
                         .rstd = rstd,
                         .d_q_weight = d_q,
                         .d_k_weight = d_k,
                         .num_heads = kHeads,
                         .num_kv_heads = kKvHeads});
  CHECK(gradient_mismatch("d_qkv", qkv, d_qkv, loss) == "");
  CHECK(gradient_mismatch("d_q_weight", q, d_q, loss) == "");
  CHECK(gradient_mismatch("d_k_weight", k, d_k, loss) == "");
}

TEST_CASE("gradients of the activations", "[loops]") {
  using Kind = ActivationKind;
  for (Kind kind : {Kind::swiglu, Kind::geglu, Kind::gelu_tanh, Kind::gelu_erf, Kind::silu, Kind::relu, Kind::squared_relu}) {
    INFO("kind " << static_cast<int>(kind));
    const int64_t width = is_gated(kind) ? 34 : 17;
    GuardedTensor x = normal_tensor(kF32, {3, width}, 1), d_y = normal_tensor(kF32, {3, 17}, 2), y(kF32, {3, 17}), d_x(kF32, {3, width});
    for (int64_t i = 0; i < x.size(); ++i)
      if (std::fabs(x.at(i)) < 0.1) x.set(i, 0.1);  // away from relu's kink
    backend().activation_bwd({.kind = kind, .d_y = d_y, .x = x, .d_x = d_x});
    CHECK(gradient_mismatch("d_x", x, d_x, [&] {
            backend().activation_fwd({.kind = kind, .x = x, .y = y});
            return weighted_sum(y, d_y);
          }) == "");
  }
}

TEST_CASE("the gradient of rope is its inverse", "[loops]") {
  GuardedTensor qkv = normal_tensor(kF32, {4, 3 * 8}, 1), d_qkv = normal_tensor(kF32, {4, 3 * 8}, 2), out = qkv, table(kF32, {4, 6});
  const GuardedTensor d_out = d_qkv;
  table.fill([](int64_t i) { return i % 6 < 3 ? std::cos(static_cast<double>(i)) : std::sin(static_cast<double>(i - 3)); });
  auto rotate = [&](GuardedTensor& t, bool inverse) {
    backend().rope({.qkv = t, .cos_sin = table, .num_heads = 1, .num_kv_heads = 1, .sequence_length = 4, .inverse = inverse});
  };
  rotate(d_qkv, true);
  CHECK(gradient_mismatch("d_qkv", qkv, d_qkv, [&] {
          out = qkv;
          rotate(out, false);
          return weighted_sum(out, d_out);
        }) == "");
}

TEST_CASE("the gradient of cross_entropy", "[loops]") {
  GuardedTensor logits = normal_tensor(kF32, {5, 16}, 1), loss(kF32, {5}), mask(kF32, {5});
  mask.fill([](int64_t n) { return n == 2 ? 0.0 : 1.0; });
  Indices targets(5, 13, 2);
  GuardedTensor gradient = logits;
  CrossEntropyArgs args{
      .logits = gradient, .targets = targets, .loss_mask = mask, .loss = loss, .vocab_size = 13, .compute_gradient = true};
  backend().cross_entropy(args);
  args.logits = logits;
  args.compute_gradient = false;
  CHECK(gradient_mismatch("logits", logits, gradient, [&] {
          backend().cross_entropy(args);
          double sum = 0;
          for (double l : loss.values()) sum += l;
          return sum;
        }) == "");
}

TEST_CASE("the gradient of the embedding", "[loops]") {
  Indices tokens(6, 4, 1);
  GuardedTensor table = normal_tensor(kF32, {4, 5}, 2), positions = normal_tensor(kF32, {3, 5}, 3), d_out = normal_tensor(kF32, {6, 5}, 4);
  GuardedTensor out(kF32, {6, 5}), d_table(kF32, {4, 5}), d_positions(kF32, {3, 5});
  backend().embedding_bwd({.d_out = d_out, .tokens = tokens, .d_table = d_table, .sequence_length = 3, .d_position_table = d_positions});
  auto loss = [&] {
    backend().embedding_fwd({.tokens = tokens, .table = table, .out = out, .sequence_length = 3, .position_table = positions});
    return weighted_sum(out, d_out);
  };
  CHECK(gradient_mismatch("table", table, d_table, loss) == "");
  CHECK(gradient_mismatch("positions", positions, d_positions, loss) == "");
}

}  // namespace
}  // namespace mbt::test::ops_grad_test
