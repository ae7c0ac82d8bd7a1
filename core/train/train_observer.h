// Receives what a training run reports: log messages, records and checkpoints.
#pragma once

#include <cstdint>
#include <string>

#include "core/train/records.h"

namespace mbt {

/// started: its files are being written, or copied first; scheduled: copied, and written beside the next steps; saved: complete.
enum class SaveStage : uint8_t { started, scheduled, saved };

class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void on_message(const std::string& text) = 0;          ///< something worth knowing
  virtual void on_warning(const std::string& text) = 0;          ///< something that its owner may have to change
  virtual void on_iteration(const IterationRecord& record) = 0;  ///< after every step
  virtual void on_evaluation(const EvaluationRecord& record) = 0;
  virtual void on_checkpoint(SaveStage stage, const std::string& path, int64_t iteration) = 0;
};

}  // namespace mbt
