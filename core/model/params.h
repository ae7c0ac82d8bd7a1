// The one list of a transformer's parameters: names, shapes, roles. Saving, loading, initialising, optimising, counting and the Hugging
// Face mapping all walk this list.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/model_config.h"
#include "core/recipe/policy.h"
#include "core/tensor/tensor_view.h"

namespace mbt {

enum class ParamKind : uint8_t { embedding, position_embedding, norm, bias, linear, head };

/// How a parameter starts: Megatron's scheme.
enum class ParamInit : uint8_t { normal, scaled_normal /* std / sqrt(2 L): output projections */, embedding_normal, ones, zeros };

struct ParamSpec {
  std::string name;  ///< e.g. "layers.3.qkv.weight"
  Shape shape;       ///< matrices are [out, in]
  ParamKind kind;
  ParamInit init;
  int64_t layer = -1;                   ///< -1: outside the layers
  LinearKind linear = LinearKind::qkv;  ///< meaningful for kind == linear
  int64_t offset = 0;                   ///< elements from the start of every flat buffer (masters, moments, gradients)

  /// Decoupled weight decay applies to matrices, not to norms and biases.
  bool decays() const { return shape.rank() > 1; }
};

/// All parameters in the order of the forward pass, with offsets aligned to 64 elements.
struct ParamList {
  std::vector<ParamSpec> specs;
  int64_t flat_size = 0;   ///< elements of a flat buffer, padding included
  int64_t num_params = 0;  ///< elements that are parameters

  int64_t index_of(const std::string& name) const;  ///< -1 when there is none
};

ParamList list_params(const ModelConfig& model);

/// Initial values of one parameter, fp32: a pure function of (seed, name), the same on every backend and for every number of ranks.
std::vector<float> initial_values(const ParamSpec& spec, const ModelConfig& model, uint64_t seed);

}  // namespace mbt
