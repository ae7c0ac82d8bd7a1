// A training step on random tokens, without data, records and checkpoints: what `mbtrain bench step` times. Where the run resets masks or
// positions at documents, each sample holds documents of an eighth of it, which do not begin where tiles of attention do.
#pragma once

#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/config/run_config.h"
#include "core/model/transformer.h"
#include "core/model/weights.h"
#include "core/optim/optimizer.h"
#include "core/parallel/data_parallel.h"
#include "core/train/plan/memory_check.h"

namespace mbt {

class RandomStep {
 public:
  /// Everything is allocated here; OutOfMemory says who needs how much. config: resolved; train.cuda_graph decides on replay. Both must
  /// outlive it. memory: check_memory's answer for them.
  RandomStep(Backend& backend, World& world, const RunConfig& config, const PrecisionPolicy& policy, const MemoryCheck& memory);

  /// All micro-batches and the optimizer; waits for the device.
  void run();
  /// Why micro-batches run op by op though they could have been replayed; empty: nothing went wrong.
  const std::string& replay_refusal() const { return transformer_.replay_refusal(); }

 private:
  Backend& backend_;
  const RunConfig& config_;
  std::string owners_;  // of memory
  Weights weights_;
  Transformer transformer_;
  DataParallel parallel_;
  Optimizer optimizer_;
  LossScaler scaler_;
  uint64_t stream_ = 0;
  std::vector<int32_t> tokens_, targets_, document_start_, positions_;  // the last two where the run uses them
  std::vector<float> mask_;
};

}  // namespace mbt
