// The whole model's backward against finite differences, for every family and every parameter tensor.
#include <cmath>

#include "core/base/philox.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::transformer_grad_test {

namespace {

/// (loss(w + e d) - loss(w - e d)) / 2e for a random direction d of one parameter, and the inner product of d with the gradient.
struct Directional {
  double numeric, analytic, scale;
};

Directional directional(TinyModel& m, const RandomBatch& batch, const std::vector<float>& gradient, int64_t param, double step) {
  const std::vector<float> start = m.weights.get(m.weights.master(), param);
  std::vector<float> direction(start.size());
  Directional r{0.0, 0.0, 0.0};
  double g2 = 0.0, d2 = 0.0;
  for (size_t k = 0; k < start.size(); ++k) {
    direction[k] = static_cast<float>(philox_uniform(99, static_cast<uint64_t>(param), k) - 0.5);
    const double g = gradient[static_cast<size_t>(m.weights.spec(param).offset) + k];
    r.analytic += g * direction[k];
    g2 += g * g, d2 += static_cast<double>(direction[k]) * direction[k];
  }
  r.scale = std::sqrt(g2 * d2 / static_cast<double>(start.size()));  // what a random direction picks up of the gradient
  const double e = step / std::sqrt(d2 / static_cast<double>(start.size()));
  double value[2];
  for (int side = 0; side < 2; ++side) {
    std::vector<float> moved = start;
    for (size_t k = 0; k < moved.size(); ++k) moved[k] += static_cast<float>((side ? e : -e) * direction[k]);
    m.weights.set(param, moved);
    value[side] = m.loss(batch);
  }
  m.weights.set(param, start);
  r.numeric = (value[1] - value[0]) / (2.0 * e);
  return r;
}

/// Whole rows, and rows of documents with positions of their own.
void check_gradients(const Family& family, bool with_documents) {
  TinyModel m(family.model, plain_policy(family.model), 2, 1, {.document_start = with_documents, .positions = with_documents});
  RandomBatch batch(family.model, 2, 5);
  if (with_documents) batch.add_documents(5);
  const std::vector<float> gradient = m.gradients(batch);
  for (int64_t i = 0; i < m.weights.num_params(); ++i) {
    const Directional d = directional(m, batch, gradient, i, 1e-3);
    INFO(family.name << (with_documents ? " with documents, " : " ") << m.weights.spec(i).name << ": numeric " << d.numeric << ", analytic "
                     << d.analytic << ", scale " << d.scale);
    CHECK(d.scale > 0.0);
    CHECK(std::abs(d.numeric - d.analytic) <= 0.02 * std::max(std::abs(d.analytic), d.scale) + 2e-5);
  }
}

}  // namespace

TEST_CASE("every parameter's gradient agrees with finite differences") {
  for (const Family& family : tiny_families())
    for (bool with_documents : {false, true}) check_gradients(family, with_documents);
}

}  // namespace mbt::test::transformer_grad_test
