#include "core/model/weights.h"

#include "core/model/initialize.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_models.h"

namespace mbt {
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

}  // namespace mbt
