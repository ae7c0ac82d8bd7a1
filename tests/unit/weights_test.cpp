#include "core/model/weights.h"

#include <cmath>

#include "core/model/initialize.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::weights_test {
namespace {

std::vector<char> bytes_of(Backend& backend, const TensorView& t) {
  std::vector<char> bytes(static_cast<size_t>(t.size_bytes()));
  if (!bytes.empty()) backend.download(t, bytes.data());
  return bytes;
}

}  // namespace

TEST_CASE("without training there are masters only where something works on them, and the working weights are the same") {
  const auto backend = make_backend("cpu");
  ModelConfig model = test::tiny_families()[3].model;
  model.vocab_size = 9000;  // an embedding of more elements than are staged at once
  model.hidden_size = 512;
  model.ffn_hidden_size = 64;
  for (const DType act : {DType::f32, DType::bf16, DType::f16}) {
    const PrecisionPolicy policy = test::plain_policy(model, act);
    Weights trained(*backend, model, policy, true), used(*backend, model, policy, false);
    for (Weights* w : {&trained, &used}) {
      initialize_weights(*w, model, 5);
      w->refresh_working();
    }
    CAPTURE(name_of(act));
    CHECK(used.master().empty() == (act != DType::f32));
    CHECK(used.grad().empty());
    CHECK(bytes_of(*backend, used.working_buffer()) == bytes_of(*backend, trained.working_buffer()));
  }
}

TEST_CASE(
    "initial values spread as their parameter's kind asks: linear layers that write to the residual stream less, the more there are") {
  ModelConfig model = test::tiny_families()[1].model;  // three layers
  model.hidden_size = 128;
  model.init_method_std = 0.1;
  model.embedding_init_method_std = 0.3;
  for (const ParamSpec& s : list_params(model).specs) {
    const std::vector<float> values = initial_values(s, model, 1, {0, s.shape.size()});
    double sum = 0, squares = 0;
    for (const float v : values) sum += v, squares += static_cast<double>(v) * v;
    const auto n = static_cast<double>(values.size());
    const bool is_output = s.name.ends_with("proj.weight") || s.name.ends_with("fc2.weight");
    CAPTURE(s.name);
    if (s.kind == ParamKind::norm) {
      CHECK(sum == (s.name.ends_with("weight") ? n : 0.0));
      continue;
    }
    if (s.kind == ParamKind::bias) {
      CHECK(squares == 0.0);
      continue;
    }
    const double expected = s.name.starts_with("embedding.") ? 0.3 : is_output ? 0.1 / std::sqrt(6.0) : 0.1;
    CHECK(std::sqrt(squares / n) == Approx(expected).epsilon(0.05));
    CHECK(sum / n == Approx(0.0).margin(0.1 * expected));
  }
}

TEST_CASE("a parameter is set in pieces") {
  const auto backend = make_backend("cpu");
  const ModelConfig model = test::tiny_families()[0].model;
  for (const bool with_training : {false, true}) {
    Weights whole(*backend, model, test::plain_policy(model, DType::bf16), with_training),
        pieces(*backend, model, test::plain_policy(model, DType::bf16), with_training);
    for (int64_t i = 0; i < whole.num_params(); ++i) {
      const std::vector<float> values = initial_values(whole.spec(i), model, 3, whole.held(i));
      whole.set(i, values);
      const int64_t half = static_cast<int64_t>(values.size()) / 2;
      pieces.set(i, std::span(values).first(static_cast<size_t>(half)));
      pieces.set(i, std::span(values).subspan(static_cast<size_t>(half)), half);
      CHECK_THROWS_AS(pieces.set(i, values, 1), Error);
    }
    whole.refresh_working();
    pieces.refresh_working();
    CHECK(bytes_of(*backend, whole.working_buffer()) == bytes_of(*backend, pieces.working_buffer()));
  }
}

}  // namespace mbt::test::weights_test
