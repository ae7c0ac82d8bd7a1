// AdamW over a whole model against a plain loop in double; clipping, loss scales, skipped steps.
#include "core/optim/optimizer.h"

#include <cmath>
#include <cstring>

#include "core/base/philox.h"
#include "tests/support/catch.h"
#include "tests/support/guarded_tensor.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::optimizer_test {

namespace {

ModelConfig gpt2() { return tiny_families().front().model; }  // biases and LayerNorm: parameters that do not decay

std::vector<float> random_gradient(const Weights& weights, uint64_t seed, float scale = 1.0f) {
  std::vector<float> g(static_cast<size_t>(weights.params().flat_size));
  for (int64_t i = 0; i < weights.num_params(); ++i) {
    const ParamSpec& s = weights.spec(i);
    for (int64_t k = 0; k < s.shape.size(); ++k)
      g[static_cast<size_t>(s.offset + k)] =
          scale * static_cast<float>(philox_uniform(seed, static_cast<uint64_t>(i), static_cast<uint64_t>(k)) - 0.5);
  }
  return g;
}

std::vector<float> masters(TinyModel& m) {
  std::vector<float> values(static_cast<size_t>(m.weights.params().flat_size));
  m.backend->download(m.weights.master(), values.data());
  return values;
}

/// AdamW as it is written in papers, on the flat parameters.
struct ReferenceAdam {
  std::vector<double> w, m, v;
  int t = 0;

  explicit ReferenceAdam(const std::vector<float>& start) : w(start.begin(), start.end()), m(start.size()), v(start.size()) {}
  static double norm(const std::vector<float>& g) {
    double sum = 0;
    for (const float x : g) sum += static_cast<double>(x) * x;
    return std::sqrt(sum);
  }
  void step(const OptimizerConfig& c, const Weights& weights, const std::vector<float>& g, double lr, double decay) {
    ++t;
    const double clip = c.clip_grad > 0 ? std::min(1.0, c.clip_grad / (norm(g) + 1e-6)) : 1.0;
    for (int64_t i = 0; i < weights.num_params(); ++i) {
      const ParamSpec& s = weights.spec(i);
      for (auto k = static_cast<size_t>(s.offset); k < static_cast<size_t>(s.offset + s.shape.size()); ++k) {
        const double gk = g[k] * clip;
        m[k] = c.adam_beta1 * m[k] + (1 - c.adam_beta1) * gk;
        v[k] = c.adam_beta2 * v[k] + (1 - c.adam_beta2) * gk * gk;
        if (s.shape.rank() > 1) w[k] *= 1 - lr * decay;
        w[k] -= lr * (m[k] / (1 - std::pow(c.adam_beta1, t))) / (std::sqrt(v[k] / (1 - std::pow(c.adam_beta2, t))) + c.adam_eps);
      }
    }
  }
};

struct Fixture {
  explicit Fixture(const OptimizerConfig& c = {}, DType act = DType::f32)
      : config(c), model(gpt2(), plain_policy(gpt2(), act), 1), optimizer(*model.backend, config, model.weights) {}

  StepOutcome step(const std::vector<float>& g, bool skip_non_finite = false) {
    model.backend->upload(g.data(), model.weights.grad());
    return optimizer.step(scaler, 1e-2, 0.1, skip_non_finite);
  }

  OptimizerConfig config;
  TinyModel model;
  Optimizer optimizer;
  LossScaler scaler;
};

}  // namespace

TEST_CASE("AdamW steps match a loop in double, and nothing decays but matrices") {
  for (const double clip : {0.0, 1.0, 1e6}) {
    OptimizerConfig c;
    c.clip_grad = clip;
    Fixture f(c);
    ReferenceAdam reference(masters(f.model));
    for (uint64_t step = 0; step < 4; ++step) {
      const std::vector<float> g = random_gradient(f.model.weights, step);
      const StepOutcome outcome = f.step(g);
      CHECK(outcome.grad_norm == Approx(ReferenceAdam::norm(g)).epsilon(1e-6));
      CHECK_FALSE(outcome.was_skipped);
      reference.step(c, f.model.weights, g, 1e-2, 0.1);
    }
    const std::vector<float> got = masters(f.model);
    double worst = 0;
    for (size_t k = 0; k < got.size(); ++k) worst = std::max(worst, std::fabs(got[k] - reference.w[k]));
    CHECK(worst < 1e-6);
    CHECK(f.optimizer.updates() == 4);
  }
}

TEST_CASE("working weights are the masters rounded") {
  Fixture f({}, DType::bf16);
  f.step(random_gradient(f.model.weights, 1));
  for (int64_t i = 0; i < f.model.weights.num_params(); ++i) {
    const std::vector<float> master = f.model.weights.get(f.model.weights.master(), i);
    std::vector<uint16_t> working(master.size());
    f.model.backend->download(f.model.weights.working(i), working.data());
    GuardedTensor rounded(DType::bf16, {static_cast<int64_t>(master.size())});
    rounded.fill([&](int64_t k) { return master[static_cast<size_t>(k)]; });
    std::vector<uint16_t> expected(master.size());
    std::memcpy(expected.data(), rounded.view().data, expected.size() * sizeof(uint16_t));
    CHECK((working == expected));
  }
}

TEST_CASE("a loss scale that is a power of two changes nothing") {
  OptimizerConfig c;
  c.fp16 = true, c.loss_scale = 1024.0;
  Fixture plain, scaled(c);
  scaled.scaler = make_loss_scaler(c);
  for (uint64_t step = 0; step < 2; ++step) {
    const StepOutcome a = plain.step(random_gradient(plain.model.weights, step)),
                      b = scaled.step(random_gradient(scaled.model.weights, step, 1024.0f));
    CHECK(a.grad_norm == b.grad_norm);
  }
  CHECK((masters(plain.model) == masters(scaled.model)));
  CHECK(scaled.scaler.scale == 1024.0f);
}

TEST_CASE("an overflow under a dynamic loss scale skips the step and lowers the scale") {
  OptimizerConfig c;
  c.fp16 = true, c.initial_loss_scale = 256, c.hysteresis = 2, c.loss_scale_window = 2;
  Fixture f(c);
  f.scaler = make_loss_scaler(c);
  const std::vector<float> before = masters(f.model);
  std::vector<float> bad = random_gradient(f.model.weights, 1), good = random_gradient(f.model.weights, 2, 256.0f);
  bad[5] = INFINITY;
  const float scales[] = {256, 128, 64};
  for (const float scale : scales) {
    const StepOutcome outcome = f.step(bad);
    CHECK(outcome.was_skipped);
    CHECK_FALSE(outcome.is_finite);
    CHECK(f.scaler.scale == scale);
  }
  CHECK((masters(f.model) == before));
  CHECK(f.optimizer.updates() == 0);
  CHECK_FALSE(f.step(good).was_skipped);
  CHECK_FALSE(f.step(good).was_skipped);
  CHECK(f.scaler.scale == 128);  // a window of two clean steps
  CHECK(f.optimizer.updates() == 2);
  CHECK((masters(f.model) != before));
}

TEST_CASE("steps that leave the weights alone: spikes, and what is not finite when the caller says so") {
  OptimizerConfig c;
  c.grad_norm_skip_threshold = 10.0;
  Fixture f(c);
  const std::vector<float> before = masters(f.model);
  CHECK(f.step(random_gradient(f.model.weights, 1, 1e3f)).was_skipped);
  std::vector<float> nan = random_gradient(f.model.weights, 1, 1e-3f);
  nan[0] = NAN;
  const StepOutcome outcome = f.step(nan, true);
  CHECK(outcome.was_skipped);
  CHECK(std::isnan(outcome.grad_norm));
  CHECK((masters(f.model) == before));
  CHECK_FALSE(f.step(random_gradient(f.model.weights, 1, 1e-3f), true).was_skipped);
  CHECK(f.optimizer.updates() == 1);
}

TEST_CASE("a loss that is not finite leaves the weights alone when the caller says so; Adam's t counts what was applied") {
  Fixture f;
  const std::vector<float> before = masters(f.model), g = random_gradient(f.model.weights, 1);
  Buffer memory(*f.model.backend, sizeof(double));
  const TensorView loss(memory.data(), DType::f64, {1});
  const auto step = [&](double value, bool skip) {
    f.model.backend->upload(&value, loss);
    f.model.backend->upload(g.data(), f.model.weights.grad());
    return f.optimizer.step(f.scaler, 1e-2, 0.1, false, {.sum = loss, .skip_non_finite = skip});
  };
  const StepOutcome skipped = step(NAN, true);
  CHECK(skipped.was_skipped);
  CHECK(skipped.is_finite);
  CHECK(std::isnan(skipped.loss_sum));
  CHECK((masters(f.model) == before));
  CHECK(f.optimizer.updates() == 0);
  CHECK_FALSE(step(2.5, true).was_skipped);
  Fixture fresh;  // the first applied update is Adam's first
  fresh.step(g);
  CHECK((masters(f.model) == masters(fresh.model)));
  const StepOutcome applied = step(INFINITY, false);
  CHECK_FALSE(applied.was_skipped);
  CHECK(std::isinf(applied.loss_sum));
  CHECK(f.optimizer.updates() == 2);
}

}  // namespace mbt::test::optimizer_test
