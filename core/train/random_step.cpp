#include "core/train/random_step.h"

#include <algorithm>

#include "core/base/philox.h"
#include "core/model/initialize.h"

namespace mbt {
namespace {

/// Where the document of the token at place t of a row begins.
int64_t document_start(int64_t t, int64_t sequence) {
  const int64_t length = std::max<int64_t>(1, sequence / 8), shift = length / 3;
  return std::max<int64_t>(0, (t + shift) / length * length - shift);
}

}  // namespace

RandomStep::RandomStep(Backend& backend, World& world, const RunConfig& config, const PrecisionPolicy& policy,
                       const MemoryCheck& memory) try
    : backend_(backend),
      config_(config),
      owners_(memory.owners),
      weights_(backend, config.model, policy, true, moment_types(config.optimizer), sharding_of(config.ddp, world.rank(), world.ranks())),
      transformer_(backend, config.model, policy, weights_, config.train.micro_batch_size, true,
                   batch_inputs(config.dataset, config.model)),
      parallel_(backend, world, config.ddp, policy, weights_),
      optimizer_(backend, config.optimizer, weights_, &parallel_),
      scaler_(make_loss_scaler(config.optimizer)) {
  backend_.reserve_scratch(static_cast<size_t>(memory.scratch_bytes));
  transformer_.set_replay(config.train.cuda_graph);
  initialize_weights(weights_, config.model, 1);
  transformer_.set_amax_exchange([this](TensorView staged) { parallel_.reduce_amax(staged); });
  parallel_.publish_masters();
  const int64_t n = config.train.micro_batch_size * config.model.seq_length;
  for (int64_t i = 0; i < n; ++i) {
    const auto words = philox(1, 0, static_cast<uint64_t>(i));
    tokens_.push_back(static_cast<int32_t>(words[0] % static_cast<uint32_t>(config.model.vocab_size)));
    targets_.push_back(static_cast<int32_t>(words[1] % static_cast<uint32_t>(config.model.vocab_size)));
  }
  mask_.assign(static_cast<size_t>(n), 1.0f);
  const BatchInputs inputs = batch_inputs(config.dataset, config.model);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t t = i % config.model.seq_length, start = document_start(t, config.model.seq_length);
    if (inputs.document_start) document_start_.push_back(static_cast<int32_t>(start));
    if (inputs.positions) positions_.push_back(static_cast<int32_t>(t - start));
  }
} catch (const OutOfMemory& e) {
  throw OutOfMemory(fmt::format("{}\n{}", e.what(), memory.owners));
}

void RandomStep::run() try {
  parallel_.begin_step();
  const int64_t micro_batches = config_.train.global_batch_size / (config_.train.micro_batch_size * parallel_.ranks());
  const auto scale = static_cast<float>(scaler_.scale * parallel_.loss_factor() /
                                        (static_cast<double>(mask_.size()) * static_cast<double>(micro_batches)));
  const auto optional = [](const std::vector<int32_t>& values) { return values.empty() ? nullptr : values.data(); };
  const MicroBatch batch{tokens_.data(), targets_.data(), mask_.data(), optional(document_start_), optional(positions_)};
  for (int64_t m = 0; m < micro_batches; ++m) {
    transformer_.forward_backward({.seed = 1, .stream = stream_++}, batch, scale, parallel_.hooks(m == 0, m + 1 == micro_batches));
  }
  parallel_.reduce_gradients();
  parallel_.publish_step(optimizer_.step(scaler_, 1e-4, 0.01, true).was_skipped);
  backend_.synchronize();
} catch (const OutOfMemory& e) {
  throw OutOfMemory(fmt::format("{}\n{}", e.what(), owners_));
}

}  // namespace mbt
