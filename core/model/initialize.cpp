#include "core/model/initialize.h"

#include <optional>
#include <span>

#include "core/hf/hf_weights.h"

namespace mbt {

void initialize_weights(Weights& weights, const ModelConfig& model, uint64_t seed) {
  std::optional<HfWeights> imported;
  if (!model.hf_path.empty()) imported.emplace(model.hf_path, model);
  std::vector<float> values;  // one memory for all: touching new pages costs more than reading a file
  for (int64_t i = 0; i < weights.num_params(); ++i) {
    const ParamSpec& spec = weights.spec(i);
    const ElementRange held = weights.held(i);
    if (!imported) {
      weights.set(i, initial_values(spec, model, seed, held));
      continue;
    }
    if (held.count == 0) continue;
    values.assign(static_cast<size_t>(spec.shape.size()), 0.0f);
    imported->read(spec.name, values);
    weights.set(i, std::span(values).subspan(static_cast<size_t>(held.first), static_cast<size_t>(held.count)));
  }
}

}  // namespace mbt
