// The one list of a transformer's parameters: names, shapes, roles. Saving, loading, initializing, optimizing, counting and the Hugging
// Face mapping all walk this list.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/config/model_config.h"
#include "core/model/sharding.h"
#include "core/tensor/tensor_view.h"

namespace mbt {

/// The four linear layers of a transformer layer, in the order of forward.
enum class LinearKind : uint8_t { qkv, proj, fc1, fc2 };

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
  int64_t offset = 0;                   ///< elements from the start of every flat buffer (gradients, masters, moments)
  int64_t unit = 0;                     ///< when forward reads it: 0 embeddings, i + 1 layer i, num_layers + 1 final norm and head
  bool is_codes_only = false;           ///< a quantized weight without a working copy

  /// Decoupled weight decay applies to matrices, not to norms and biases.
  bool decays() const { return shape.rank() > 1; }
};

/// All parameters in the order of the forward pass, with offsets aligned to 64 elements. Flat buffers hold the parameters with a working
/// copy first, then those that exist only as codes: each kind in buckets of its own, each in the order of the forward pass.
struct ParamList {
  std::vector<ParamSpec> specs;
  std::vector<Bucket> buckets;  ///< in the order of flat buffers
  int64_t flat_size = 0;        ///< elements of a flat buffer, padding included
  int64_t plain_size = 0;       ///< of them before the first that exists only as codes
  int64_t num_params = 0;       ///< elements that are parameters
  Sharding sharding;

  int64_t index_of(const std::string& name) const;  ///< -1 when there is none
  /// Elements of parameter i that lie in this rank's piece of its bucket; count 0: none.
  ElementRange own_range(int64_t i) const;
  /// Elements of one rank's pieces together, the same for every rank; own pieces one after another make a shard buffer.
  int64_t shard_size() const { return flat_size / sharding.ranks; }
  /// Where in a shard buffer element own_range(i).first lies.
  int64_t shard_offset(int64_t i) const;
  const Bucket& bucket_of(int64_t i) const;
};

/// is_codes_only: of specs whose other fields are set, offset and unit included; empty: none is.
ParamList list_params(const ModelConfig& model, const Sharding& sharding = {},
                      const std::function<bool(const ParamSpec&)>& is_codes_only = {});

/// Elements `range` of a parameter's initial values, fp32: a pure function of (seed, name), the same on every backend and for every number
/// of ranks.
std::vector<float> initial_values(const ParamSpec& spec, const ModelConfig& model, uint64_t seed, ElementRange range);

}  // namespace mbt
