// Parameters by kind and the memory of one training process by category: arithmetic on the config, nothing is allocated. The plans that
// the model binds to memory are the ones counted here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/run_config.h"
#include "core/recipe/policy.h"
#include "core/train/plan/plan_precision.h"

namespace mbt {

struct ParameterGroup {
  std::string name;
  int64_t elements;
};

/// All parameters by kind, the padding of the vocabulary included. A tied head has no elements of its own.
std::vector<ParameterGroup> count_parameters(const ModelConfig& model);
int64_t total_elements(const std::vector<ParameterGroup>& groups);

struct MemoryItem {
  std::string category;  ///< a key for scripts
  int64_t bytes;
  std::string what;  ///< one line: what lies there
};

/// weights            plain parameters in the activation dtype (fp32: the masters serve)
/// quantized_weights  codes and scales of quantized linear weights
/// masters, moments, main_gradients   fp32, of every parameter
/// activations        kept from forward to backward of one micro-batch, by the recompute setting
/// logits             the chunk of logits that is in memory at one time
/// workspace          what layers share: activation gradients, codes of the current operands, tables
/// device_scratch     the backend's own: copies of operands that the largest product cannot take as they are, and its library's workspace
/// communication      with several ranks: what gradients travel in, when that is not the main gradients themselves
/// exchange_scratch   what the collectives keep for themselves
/// checkpoint_copy    of an asynchronous save, where the device's memory is the host's
/// program            code and libraries (an estimate); kernels instead, where the device's memory is a limit: what loads there
/// Categories of 0 bytes are there too, so that scripts find every key. Of each of `ranks` ranks: they need the same. From a validated
/// config. with_training false: an evaluation alone.
std::vector<MemoryItem> plan_memory(const RunConfig& config, const PrecisionPolicy& policy, const DeviceQueries& device, int ranks,
                                    bool with_training = true);
int64_t total_bytes(const std::vector<MemoryItem>& items);

/// Throws InputError, naming the weight, the product and what to change, when the device refuses a size of the model or of its micro-batch.
void require_sizes(const RunConfig& config, const PrecisionPolicy& policy, const DeviceQueries& device);

/// supported_policy, after require_sizes too: for what trains.
PrecisionPolicy training_policy(const RunConfig& config, const Backend& backend);

}  // namespace mbt
