// The backward pass of attention against finite differences of its forward pass, in fp32.
#include "kernels/cpu/attention.h"
#include "tests/support/catch.h"
#include "tests/support/guarded_tensor.h"

namespace mbt {
namespace {

using test::GuardedTensor;

struct Case {
  int64_t batch, length, heads, kv_heads, width;
};

/// sum(d_out * attention(qkv)) in double.
double objective(const Case& c, cpu::Attention& attention, GuardedTensor& qkv, const GuardedTensor& d_out, GuardedTensor& out,
                 GuardedTensor& lse) {
  attention.fwd({qkv.view(), out, lse, c.heads, c.kv_heads, c.length, 0.3f});
  double sum = 0;
  for (int64_t i = 0; i < out.size(); ++i) sum += out.at(i) * d_out.at(i);
  return sum;
}

}  // namespace

TEST_CASE("attention backward is the derivative of forward") {
  cpu::Attention attention;
  for (const Case& c : {Case{2, 7, 2, 1, 4}, Case{1, 19, 4, 2, 6}, Case{1, 130, 1, 1, 3}}) {
    const int64_t rows = c.batch * c.length, cols = (c.heads + 2 * c.kv_heads) * c.width;
    GuardedTensor qkv(DType::f32, {rows, cols}), d_qkv(DType::f32, {rows, cols}), lse(DType::f32, {c.batch, c.heads, c.length});
    GuardedTensor out(DType::f32, {rows, c.heads * c.width}), d_out(DType::f32, {rows, c.heads * c.width});
    std::mt19937 random(17);
    qkv.fill_normal(random);
    d_out.fill_normal(random);
    objective(c, attention, qkv, d_out, out, lse);
    attention.bwd({d_out.view(), qkv.view(), out.view(), lse.view(), d_qkv, c.heads, c.kv_heads, c.length, 0.3f});
    // Along random directions: each one tests every element of the gradient.
    for (int direction = 0; direction < 8; ++direction) {
      GuardedTensor step(DType::f32, {rows, cols}), forward = qkv, backward = qkv;
      step.fill_normal(random);
      constexpr double kStep = 2e-3;
      double slope = 0;
      for (int64_t i = 0; i < qkv.size(); ++i) {
        slope += step.at(i) * d_qkv.at(i);
        forward.set(i, qkv.at(i) + kStep * step.at(i));
        backward.set(i, qkv.at(i) - kStep * step.at(i));
      }
      const double rise = objective(c, attention, forward, d_out, out, lse) - objective(c, attention, backward, d_out, out, lse);
      CAPTURE(c.length, c.heads, direction, slope);
      CHECK(rise / (2 * kStep) == Approx(slope).epsilon(1e-3).margin(2e-2));
    }
  }
}

}  // namespace mbt
