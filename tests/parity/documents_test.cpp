// The model on rows of several documents, on the device: the CPU's gradients, recorded or op by op, with documents that change from one
// micro-batch to the next.
#include "kernels/cuda/cuda_backend.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::documents_test {

namespace {

constexpr BatchInputs kBoth{.document_start = true, .positions = true};

/// Heads wide enough for tiled attention in 16 bits, three tiles of keys; positions learned or rotary.
ModelConfig wide_heads(PositionEmbedding positions) {
  ModelConfig m = tiny_families().back().model;
  m.num_layers = 1;
  m.num_attention_heads = 2;
  m.num_query_groups = 1;
  m.kv_channels = 64;
  m.seq_length = 140;
  m.max_position_embeddings = 140;
  m.position_embedding_type = positions;
  return m;
}

std::vector<RandomBatch> batches_of(const ModelConfig& model) {
  std::vector<RandomBatch> batches;
  for (const int64_t length : {33, 140, 1, 70}) {
    batches.emplace_back(model, 2, static_cast<uint64_t>(length));
    batches.back().add_documents(length);
  }
  return batches;
}

/// Gradients of each micro-batch in turn.
std::vector<std::vector<float>> gradients_on(Backend& backend, const ModelConfig& model, DType act, bool replays) {
  const PrecisionPolicy policy = plain_policy(model, act);
  Weights weights(backend, model, policy, true);
  for (int64_t i = 0; i < weights.num_params(); ++i) weights.set(i, initial_values(weights.spec(i), model, 1, weights.held(i)));
  weights.refresh_working();
  Transformer transformer(backend, model, policy, weights, 2, true, kBoth);
  transformer.set_replay(replays);
  std::vector<std::vector<float>> gradients;
  for (const RandomBatch& batch : batches_of(model)) {
    backend.fill_zero(weights.grad());
    transformer.forward_backward({.seed = 7}, batch.view(), static_cast<float>(1.0 / batch.tokens_in_loss));
    gradients.emplace_back(static_cast<size_t>(weights.grad().size()));
    backend.download(weights.grad(), gradients.back().data());
  }
  CHECK(transformer.replay_refusal().empty());
  return gradients;
}

double relative_difference(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(error / norm);
}

}  // namespace

TEST_CASE("rows of documents have the CPU's gradients on the device, and the same bits when micro-batches are replayed") {
  for (const PositionEmbedding positions : {PositionEmbedding::rope, PositionEmbedding::learned_absolute})
    for (DType act : {DType::f32, DType::bf16}) {
      CAPTURE(name_of(positions), name_of(act));
      const ModelConfig model = wide_heads(positions);
      const std::unique_ptr<Backend> cpu = make_backend("cpu");
      cuda::CudaBackend device, other;
      const auto want = gradients_on(*cpu, model, act, false), got = gradients_on(device, model, act, true);
      CHECK((gradients_on(other, model, act, false) == got));
      for (size_t i = 0; i < want.size(); ++i) CHECK(relative_difference(got[i], want[i]) < (act == DType::f32 ? 1e-5 : 2e-2));
    }
}

}  // namespace mbt::test::documents_test
