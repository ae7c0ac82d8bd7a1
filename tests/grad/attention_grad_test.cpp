// The backward pass of attention against finite differences of its forward pass, in fp32.
#include "kernels/cpu/attention.h"
#include "tests/support/catch.h"
#include "tests/support/guarded_tensor.h"

namespace mbt::test::attention_grad_test {
namespace {

using test::GuardedTensor;

struct Case {
  int64_t batch, length, heads, kv_heads, width;
  int64_t document = 0;  // tokens of each document of a sequence, the last one cut short; 0: sequences are documents
};

/// document_start of such sequences; empty without documents.
struct Documents {
  explicit Documents(const Case& c) {
    for (int64_t n = 0; c.document > 0 && n < c.batch * c.length; ++n)
      start.push_back(static_cast<int32_t>(n % c.length / c.document * c.document));
  }
  ConstTensorView view() const {
    return start.empty() ? ConstTensorView{} : ConstTensorView{start.data(), DType::i32, {static_cast<int64_t>(start.size())}};
  }
  std::vector<int32_t> start;
};

/// sum(d_out * attention(qkv)) in double.
double objective(const Case& c, cpu::Attention& attention, GuardedTensor& qkv, const GuardedTensor& d_out, GuardedTensor& out,
                 GuardedTensor& lse) {
  const Documents documents(c);
  attention.fwd({.qkv = qkv.view(),
                 .out = out,
                 .lse = lse,
                 .num_heads = c.heads,
                 .num_kv_heads = c.kv_heads,
                 .sequence_length = c.length,
                 .scale = 0.3f,
                 .document_start = documents.view()});
  double sum = 0;
  for (int64_t i = 0; i < out.size(); ++i) sum += out.at(i) * d_out.at(i);
  return sum;
}

}  // namespace

TEST_CASE("attention backward is the derivative of forward") {
  cpu::Attention attention;
  for (const Case& c :
       {Case{2, 7, 2, 1, 4}, Case{1, 19, 4, 2, 6}, Case{1, 130, 1, 1, 3}, Case{2, 7, 2, 1, 4, 3}, Case{1, 200, 2, 1, 5, 140}}) {
    const Documents documents(c);
    const int64_t rows = c.batch * c.length, cols = (c.heads + 2 * c.kv_heads) * c.width;
    GuardedTensor qkv(DType::f32, {rows, cols}), d_qkv(DType::f32, {rows, cols}), lse(DType::f32, {c.batch, c.heads, c.length});
    GuardedTensor out(DType::f32, {rows, c.heads * c.width}), d_out(DType::f32, {rows, c.heads * c.width});
    std::mt19937 random(17);
    qkv.fill_normal(random);
    d_out.fill_normal(random);
    objective(c, attention, qkv, d_out, out, lse);
    attention.bwd({.d_out = d_out.view(),
                   .qkv = qkv.view(),
                   .out = out.view(),
                   .lse = lse.view(),
                   .d_qkv = d_qkv,
                   .num_heads = c.heads,
                   .num_kv_heads = c.kv_heads,
                   .sequence_length = c.length,
                   .scale = 0.3f,
                   .document_start = documents.view()});
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
      CAPTURE(c.length, c.heads, c.document, direction, slope);
      CHECK(rise / (2 * kStep) == Approx(slope).epsilon(1e-3).margin(2e-2));
    }
  }
}

}  // namespace mbt::test::attention_grad_test
