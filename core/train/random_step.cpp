#include "core/train/random_step.h"

#include "core/base/philox.h"
#include "core/model/initialise.h"

namespace mbt {

RandomStep::RandomStep(Backend& backend, World& world, const RunConfig& config, const PrecisionPolicy& policy,
                       const MemoryCheck& memory) try
    : backend_(backend),
      config_(config),
      owners_(memory.owners),
      weights_(backend, config.model, policy, true, moment_types(config.optimizer), sharding_of(config.ddp, world.rank(), world.ranks())),
      transformer_(backend, config.model, policy, weights_, config.train.micro_batch_size, true),
      parallel_(backend, world, config.ddp, policy, weights_),
      optimizer_(backend, config.optimizer, weights_, &parallel_),
      scaler_(make_loss_scaler(config.optimizer)) {
  backend_.reserve_scratch(static_cast<size_t>(memory.scratch_bytes));
  transformer_.set_replay(config.train.cuda_graph);
  initialise_weights(weights_, config.model, 1);
  transformer_.set_amax_exchange([this](TensorView staged) { parallel_.reduce_amax(staged); });
  parallel_.publish_masters();
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
  parallel_.begin_step();
  const int64_t micro_batches = config_.train.global_batch_size / (config_.train.micro_batch_size * parallel_.ranks());
  const auto scale = static_cast<float>(scaler_.scale * parallel_.loss_factor() /
                                        (static_cast<double>(mask_.size()) * static_cast<double>(micro_batches)));
  for (int64_t m = 0; m < micro_batches; ++m) {
    transformer_.forward_backward({.seed = 1, .stream = stream_++}, {tokens_.data(), targets_.data(), mask_.data()}, scale,
                                  parallel_.hooks(m == 0, m + 1 == micro_batches));
  }
  parallel_.reduce_gradients();
  parallel_.publish_step(optimizer_.step(scaler_, 1e-4, 0.01, true).was_skipped);
  backend_.synchronize();
} catch (const OutOfMemory& e) {
  throw OutOfMemory(text(e.what(), "\n", owners_));
}

}  // namespace mbt
