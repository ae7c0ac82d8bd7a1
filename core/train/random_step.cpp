#include "core/train/random_step.h"

#include "core/base/philox.h"
#include "core/model/initialise.h"

namespace mbt {

RandomStep::RandomStep(Backend& backend, const RunConfig& config, const PrecisionPolicy& policy, const MemoryCheck& memory) try
    : backend_(backend),
      config_(config),
      owners_(memory.owners),
      weights_(backend, config.model, policy, true, moment_types(config.optimizer)),
      transformer_(backend, config.model, policy, weights_, config.train.micro_batch_size, true),
      optimizer_(backend, config.optimizer, weights_),
      scaler_(make_loss_scaler(config.optimizer)) {
  backend_.reserve_scratch(static_cast<size_t>(memory.scratch_bytes));
  transformer_.set_replay(config.train.cuda_graph);
  initialise_weights(weights_, config.model, 1);
  weights_.refresh_working();
  const int64_t n = config.train.micro_batch_size * config.model.seq_length;
  for (int64_t i = 0; i < n; ++i) {
    const auto words = philox(1, 0, static_cast<uint64_t>(i));
    tokens_.push_back(static_cast<int32_t>(words[0] % static_cast<uint32_t>(config.model.vocab_size)));
    targets_.push_back(static_cast<int32_t>(words[1] % static_cast<uint32_t>(config.model.vocab_size)));
  }
  mask_.assign(static_cast<size_t>(n), 1.0f);
} catch (const OutOfMemory& e) {
  throw OutOfMemory(text(e.what(), "\n", memory.owners));
}

void RandomStep::run() try {
  backend_.fill_zero(weights_.grad());
  const int64_t micro_batches = config_.train.global_batch_size / config_.train.micro_batch_size;
  const auto scale = static_cast<float>(scaler_.scale / (static_cast<double>(mask_.size()) * static_cast<double>(micro_batches)));
  for (int64_t m = 0; m < micro_batches; ++m) {
    transformer_.forward_backward({.seed = 1, .stream = stream_++}, {tokens_.data(), targets_.data(), mask_.data()}, scale);
  }
  optimizer_.step(scaler_, 1e-4, 0.01, true);
  backend_.synchronize();
} catch (const OutOfMemory& e) {
  throw OutOfMemory(text(e.what(), "\n", owners_));
}

}  // namespace mbt
