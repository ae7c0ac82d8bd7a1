// Tiny models of every family, and a model with everything around it, for tests.
#pragma once

#include <string>
#include <vector>

#include "core/model/transformer.h"
#include "core/recipe/policy.h"
#include "kernels/kernels.h"

namespace mbt::test {

struct Family {
  std::string name;
  ModelConfig model;
};

/// gpt2, llama2, llama3 (RoPE scaling, tied), qwen2, qwen3, mistral: widths around 32, three layers, sequences of 12.
std::vector<Family> tiny_families();

/// One micro-batch of random tokens with holes in the loss mask.
struct RandomBatch {
  RandomBatch(const ModelConfig& model, int64_t batch, uint64_t seed);
  /// Rows become documents of `length` tokens, the first of row b shorter by b, with positions that begin again.
  void add_documents(int64_t length);
  MicroBatch view() const {
    return {tokens.data(), targets.data(), mask.data(), document_start.empty() ? nullptr : document_start.data(),
            positions.empty() ? nullptr : positions.data()};
  }
  std::vector<int32_t> tokens, targets;
  std::vector<int32_t> document_start, positions;  ///< empty: not given
  std::vector<float> mask;
  double tokens_in_loss = 0.0;
  int64_t sequence = 0;
};

/// Weights and transformer on the CPU backend; initial values with every tensor non-trivial.
struct TinyModel {
  TinyModel(const ModelConfig& model, const PrecisionPolicy& policy, int64_t batch, uint64_t seed = 1, const BatchInputs& inputs = {});
  double loss(const RandomBatch& b);                   ///< mean, forward alone
  std::vector<float> gradients(const RandomBatch& b);  ///< flat, of the mean loss

  std::unique_ptr<Backend> backend;
  ModelConfig config;
  Weights weights;
  Transformer transformer;
};

/// A policy for `layers` layers: fp32, or plain layers in `act`.
PrecisionPolicy plain_policy(const ModelConfig& model, DType act = DType::f32);

}  // namespace mbt::test
