// Families of Hugging Face models as data: one row each. Everything else in core/hf reads the row and never asks for a family by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/model_config.h"

namespace mbt {

/// What a key of config.json says.
enum class HfProperty : uint8_t {
  layers,
  width,           ///< of the residual stream
  heads,           ///< query heads
  groups,          ///< key/value heads; without a key: as many as query heads
  head_width,      ///< without a key: width / heads
  mlp_width,       ///< inner width of the MLP
  vocabulary,      ///< rows of the embedding
  positions,       ///< longest sequence
  epsilon,         ///< of the norms
  activation,      ///< of the MLP
  scale_scores,    ///< whether attention scores are divided by sqrt(head width); without a key: they are
  rope_base,       ///< "theta"
  rope_scaling,    ///< object, see hf_rope.h
  tied_head,       ///< whether the head is the embedding
  attention_bias,  ///< biases on Q, K, V and the attention's output
  mlp_bias,        ///< biases in the MLP
  window_switch,   ///< whether any layer has a sliding window
  full_layers,     ///< layers before the first one with a sliding window
  window           ///< tokens
};

struct HfKey {
  HfProperty property;
  std::string name;
  std::string general{};  ///< the name in other families, which transformers accepts too and then prefers; empty: none
};

struct HfActivationName {
  std::string name;  ///< in config.json
  ActivationFunc ours;
};

/// Linear layers that always have a bias; the keys attention_bias and mlp_bias add to them.
enum class HfBiases : uint8_t { none, qkv, all };

/// Layers with a sliding window.
struct HfWindow {
  enum class Rule : uint8_t {
    never,
    by_layer,  ///< those that layer_types lists
    always,    ///< all
    switched   ///< from full_layers on when window_switch is on; layer_types goes first
  } rule = Rule::never;
  int64_t default_tokens = 4096, default_full_layers = 28;  ///< what an absent key means
};

/// A tensor, or a linear layer with its bias, of the model file.
enum class HfPart : uint8_t {
  word_embedding,
  position_embedding,
  input_norm,
  qkv,  ///< one tensor of Q, K and V
  q,
  k,
  v,
  q_norm,
  k_norm,
  proj,
  pre_mlp_norm,
  fc1,   ///< one tensor, of an MLP without a gate
  gate,  ///< upper half of our fc1
  up,    ///< lower half of our fc1
  fc2,
  final_norm
};

struct HfTensorName {
  HfPart part;
  std::string name;  ///< without ".weight" or ".bias"
};

/// Names in the order of the forward pass. The head's is kHfHead in every family.
struct HfTensorNames {
  std::string prefix;                                    ///< of all names; absent in files saved without the language-model head
  std::vector<HfTensorName> before{}, layer{}, after{};  ///< those in a layer follow `prefix`, `layers` and "i."
  std::string layers{};                                  ///< "h."
  bool transposes_linear = false;                        ///< linear weights are stored as [in, out]
  // files of older transformers hold, beside the weights, tensors that follow from config.json; the ends of their names:
  std::string causal_mask{};           ///< empty: none
  std::vector<std::string> buffers{};  ///< others
};

struct HfFamily {
  std::string model_type;    ///< in config.json
  std::string architecture;  ///< the class in transformers
  std::vector<HfKey> keys;   ///< in the order that a new config.json has them
  // -- the meaning of an absent key; nullopt: the key is required ----------------------------------------------------------------------
  bool default_groups_are_heads = false;        ///< false: only null means as many as query heads
  std::optional<int64_t> default_head_width{};  ///< nullopt: width / heads
  std::optional<int64_t> default_mlp_ratio{};   ///< mlp_width / width
  std::optional<int64_t> default_positions{};   ///< tokens
  double default_epsilon = 1e-6;
  std::string default_activation;
  bool default_tied_head = false;
  // -- what its models are -------------------------------------------------------------------------------------------------------------
  Normalization norm;
  PositionEmbedding positions;
  std::vector<HfActivationName> activations;  ///< the first name of each of ours is the one that is written
  HfBiases biases = HfBiases::none;
  bool has_qk_norm = false;
  bool needs_whole_heads = false;  ///< transformers refuses a width that is no multiple of the heads
  HfWindow window{};
  std::vector<std::string> switches_without_effect{};  ///< keys that other families have; checked to be true or false, then ignored
  std::vector<std::string> dropouts;                   ///< keys that a new config.json sets to 0
  HfTensorNames tensors;

  /// Returns nullptr when no key says `property`.
  const HfKey* key(HfProperty property) const;
  bool has_key(HfProperty property) const { return key(property) != nullptr; }
  bool has_rope() const;
  /// Learned positions are a weight, one row per position.
  bool has_position_table() const;
  /// Returns the name in config.json of our activation, nullptr when the family does not have it.
  const std::string* activation_name(ActivationFunc ours) const;
};

/// The table, in alphabetical order.
const std::vector<HfFamily>& hf_families();

/// Returns nullptr for a family that is not in the table.
const HfFamily* find_hf_family(const std::string& model_type);

/// Returns the model types of the table, joined by ", " and, before the last one, `last`.
std::string hf_family_names(const std::string& last = ", ");

}  // namespace mbt
