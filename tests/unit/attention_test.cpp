#include "kernels/cpu/attention.h"

#include "kernels/cpu/threads.h"
#include "tests/support/attention_reference.h"
#include "tests/support/catch.h"

namespace mbt::test::attention_test {
namespace {

using test::GuardedTensor;
using test::relative_error;
using Case = test::AttentionCase;
using Reference = test::AttentionReference;

double tolerance_of(DType act) { return test::attention_tolerance(act); }

struct Tensors {
  GuardedTensor qkv, d_out, out, lse, d_qkv;
  Tensors(const Case& c, DType act)
      : qkv(act, {c.rows(), c.qkv_cols()}),
        d_out(act, {c.rows(), c.heads * c.width}),
        out(act, {c.rows(), c.heads * c.width}),
        lse(DType::f32, {c.batch, c.heads, c.length}),
        d_qkv(act, {c.rows(), c.qkv_cols()}) {
    std::mt19937 random(7);
    qkv.fill_normal(random);
    d_out.fill_normal(random);
    d_qkv.fill([](int64_t) { return 99.0; });
  }
  AttentionFwdArgs fwd(const Case& c) { return {qkv, out, lse, c.heads, c.kv_heads, c.length, c.scale()}; }
  AttentionBwdArgs bwd(const Case& c) { return {d_out, qkv, out, lse, d_qkv, c.heads, c.kv_heads, c.length, c.scale()}; }
  void run(const Case& c, cpu::Attention& attention) {
    fwd(c).check("attention_fwd");
    attention.fwd(fwd(c));
    bwd(c).check("attention_bwd");
    attention.bwd(bwd(c));
  }
  bool guards_intact() const { return out.guards_intact() && lse.guards_intact() && d_qkv.guards_intact(); }
};

const Case kCases[] = {{1, 1, 1, 1, 8},    {2, 5, 2, 1, 16},   {1, 16, 3, 3, 33},  {1, 127, 4, 2, 48},
                       {2, 128, 2, 2, 64}, {1, 129, 2, 1, 80}, {1, 300, 6, 2, 32}, {1, 257, 1, 1, 128}};

}  // namespace

TEST_CASE("attention forward and backward agree with a double reference") {
  cpu::Attention attention;
  for (DType act : {DType::f32, DType::bf16, DType::f16}) {
    const double tolerance = tolerance_of(act);
    for (const Case& c : kCases) {
      CAPTURE(name_of(act), c.batch, c.length, c.heads, c.kv_heads, c.width);
      Tensors t(c, act);
      const Reference want(c, t.qkv, t.d_out);
      t.run(c, attention);
      CHECK(relative_error(t.out, want.out) < tolerance);
      CHECK(relative_error(t.lse, want.lse) < (act == DType::bf16 ? 1e-5 : 2e-6));
      CHECK(relative_error(t.d_qkv, want.d_qkv) < tolerance);
      CHECK(t.guards_intact());
    }
  }
}

TEST_CASE("tokens that take part in no loss get zeros; f32 gradients of the keys sum to zero") {
  const Case c{1, 33, 2, 2, 16};
  Tensors t(c, DType::f32);
  constexpr int64_t kLast = 3;  // positions without a loss
  for (int64_t i = (c.length - kLast) * c.heads * c.width; i < t.d_out.size(); ++i) t.d_out.set(i, 0.0);
  cpu::Attention attention;
  t.run(c, attention);
  for (int64_t col = 0; col < c.qkv_cols(); ++col) {
    double sum = 0, magnitude = 0;
    for (int64_t r = 0; r < c.length; ++r) {
      const double x = t.d_qkv.at(r * c.qkv_cols() + col);
      if (r >= c.length - kLast) REQUIRE(x == 0.0);
      sum += x;
      magnitude += std::fabs(x);
    }
    const bool is_key = col >= c.heads * c.width && col < 2 * c.heads * c.width;
    if (is_key) CHECK(std::fabs(sum) < 1e-9 * magnitude);
  }
}

TEST_CASE("attention survives large scores") {
  const Case c{1, 40, 1, 1, 16};
  Tensors t(c, DType::f32);
  std::mt19937 random(3);
  t.qkv.fill_normal(random, 100.0);
  const Reference want(c, t.qkv, t.d_out);
  cpu::Attention attention;
  t.run(c, attention);
  CHECK(relative_error(t.out, want.out) < 1e-3);  // scores near 1e5: their fp32 rounding alone moves a probability by 1e-2
  for (int64_t i = 0; i < t.d_qkv.size(); ++i) REQUIRE(std::isfinite(t.d_qkv.at(i)));
}

TEST_CASE("cached attention gives the rows of the full forward pass") {
  const Case c{1, 150, 4, 2, 32};
  for (DType act : {DType::f32, DType::bf16, DType::f16}) {
    Tensors t(c, act);
    cpu::Attention attention;
    attention.fwd(t.fwd(c));
    GuardedTensor k_cache(act, {160, c.kv_heads * c.width}), v_cache(act, {160, c.kv_heads * c.width});
    GuardedTensor out(act, {c.length, c.heads * c.width});
    int64_t first = 0;
    for (int64_t count : {100, 1, 1, 17, 1, 30}) {
      const AttentionCachedArgs args{t.qkv.view().row_range(first, count),
                                     k_cache,
                                     v_cache,
                                     out.view().row_range(first, count),
                                     c.heads,
                                     c.kv_heads,
                                     first,
                                     c.scale()};
      args.check(op_name(args));
      attention.cached(args);
      first += count;
    }
    REQUIRE(first == c.length);
    // Not to the last bits: tiles of other sizes sum in another order, and small fp32 products in double.
    CHECK(relative_error(out, t.out.values()) < tolerance_of(act));
    CHECK((out.guards_intact() && k_cache.guards_intact() && v_cache.guards_intact()));
  }
}

TEST_CASE("attention gives the same bits on every run and any number of threads, in stable scratch") {
  const Case c{2, 200, 3, 3, 64};
  const int threads = cpu::max_threads();
  Tensors a(c, DType::bf16), b(c, DType::bf16);
  cpu::Attention attention, other;
  a.run(c, attention);
  const size_t scratch = attention.scratch_bytes();
  b.run(c, attention);
  CHECK(attention.scratch_bytes() <= static_cast<size_t>(threads) * scratch);
  CHECK((a.out.same_bits(b.out) && a.lse.same_bits(b.lse) && a.d_qkv.same_bits(b.d_qkv)));
  cpu::use_threads(threads == 1 ? 3 : 1);
  Tensors d(c, DType::bf16);
  d.run(c, other);
  cpu::use_threads(threads);
  CHECK((a.out.same_bits(d.out) && a.lse.same_bits(d.lse) && a.d_qkv.same_bits(d.d_qkv)));
}

}  // namespace mbt::test::attention_test
