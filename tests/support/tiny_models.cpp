#include "tests/support/tiny_models.h"

#include <algorithm>

#include "core/base/philox.h"

namespace mbt::test {
namespace {

ModelConfig base() {
  ModelConfig m;
  m.num_layers = 3;
  m.hidden_size = 32;
  m.num_attention_heads = 4;
  m.seq_length = 12;
  m.vocab_size = 50;
  m.make_vocab_size_divisible_by = 16;
  m.init_method_std = 0.1;
  m.share_embeddings_and_output_weights = false;
  return m;
}

ModelConfig gpt2() {
  ModelConfig m = base();
  m.normalization = Normalization::layer_norm;
  m.activation_func = ActivationFunc::gelu;
  m.position_embedding_type = PositionEmbedding::learned_absolute;
  m.max_position_embeddings = 16;
  m.add_bias_linear = true;
  m.share_embeddings_and_output_weights = true;
  return m;
}

ModelConfig llama() {
  ModelConfig m = base();
  m.num_query_groups = 2;
  m.ffn_hidden_size = 56;
  return m;
}

}  // namespace

std::vector<Family> tiny_families() {
  ModelConfig llama3 = llama();
  llama3.rope_scaling = true;
  llama3.rope_original_max_position_embeddings = 8;
  llama3.share_embeddings_and_output_weights = true;
  ModelConfig qwen2 = llama();
  qwen2.add_qkv_bias = true;
  ModelConfig qwen3 = llama();
  qwen3.qk_layernorm = true;
  qwen3.kv_channels = 16;
  ModelConfig mistral = llama();
  mistral.num_query_groups = 1;
  return {{"gpt2", gpt2()}, {"llama2", llama()}, {"llama3", llama3}, {"qwen2", qwen2}, {"qwen3", qwen3}, {"mistral", mistral}};
}

RandomBatch::RandomBatch(const ModelConfig& model, int64_t batch, uint64_t seed) : sequence(model.seq_length) {
  for (int64_t i = 0; i < batch * model.seq_length; ++i) {
    const auto w = philox(seed, 0, static_cast<uint64_t>(i));
    const auto v = static_cast<uint32_t>(model.vocab_size);
    tokens.push_back(static_cast<int32_t>(w[0] % v));
    targets.push_back(static_cast<int32_t>(w[1] % v));
    mask.push_back(w[2] % 5 == 0 ? 0.0f : 1.0f);
    tokens_in_loss += mask.back();
  }
}

void RandomBatch::add_documents(int64_t length) {
  for (int64_t n = 0; n < static_cast<int64_t>(tokens.size()); ++n) {
    const int64_t b = n / sequence, t = n % sequence, start = std::max<int64_t>(0, (t + b) / length * length - b);
    document_start.push_back(static_cast<int32_t>(start));
    positions.push_back(static_cast<int32_t>(t - start));
  }
}

TinyModel::TinyModel(const ModelConfig& model, const PrecisionPolicy& policy, int64_t batch, uint64_t seed, const BatchInputs& inputs)
    : backend(make_backend("cpu")),
      config(model),
      weights(*backend, model, policy, true),
      transformer(*backend, config, policy, weights, batch, true, inputs) {
  for (int64_t i = 0; i < weights.num_params(); ++i) {
    std::vector<float> values = initial_values(weights.spec(i), config, seed, weights.held(i));
    for (size_t k = 0; k < values.size(); ++k) {  // norms around 1, biases around 0: a forgotten one shows
      if (!weights.spec(i).decays()) values[k] += 0.2f * static_cast<float>(philox_uniform(seed, static_cast<uint64_t>(i), k) - 0.5);
    }
    weights.set(i, values);
  }
  weights.refresh_working();
}

double TinyModel::loss(const RandomBatch& b) {
  transformer.reset_loss_sum();
  transformer.forward({.is_training = false}, b.view());
  double sum = 0.0;
  backend->download(transformer.loss_sum(), &sum);
  return sum / b.tokens_in_loss;
}

std::vector<float> TinyModel::gradients(const RandomBatch& b) {
  backend->fill_zero(weights.grad());
  transformer.forward_backward({.seed = 7, .stream = 3}, b.view(), static_cast<float>(1.0 / b.tokens_in_loss));
  std::vector<float> g(static_cast<size_t>(weights.grad().size()));
  backend->download(weights.grad(), g.data());
  return g;
}

PrecisionPolicy plain_policy(const ModelConfig& model, DType act) {
  PrecisionPolicy p;
  p.act = act;
  p.layers.resize(static_cast<size_t>(model.num_layers));
  return p;
}

}  // namespace mbt::test
