// A run of a tiny model through the library: what the tests of the trainer and of checkpoints share.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/io/files.h"
#include "core/train/checkpoint/checkpoint_folder.h"
#include "core/train/trainer.h"
#include "tests/support/checkpoints.h"
#include "tests/support/resolved.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test {

/// What a run told its observer.
struct Run : TrainObserver {
  void on_message(const std::string& message) override { messages.push_back(message); }
  void on_warning(const std::string& message) override { warnings.push_back(message); }
  void on_iteration(const IterationRecord& r) override {
    steps.push_back(r);
    if (after_step) after_step(r);
  }
  void on_evaluation(const EvaluationRecord& r) override { evaluations.push_back(r); }
  void on_checkpoint(SaveStage stage, const std::string& path, int64_t) override {
    if (stage == SaveStage::saved) checkpoints.push_back(path);
  }

  std::vector<std::string> messages, warnings, checkpoints;
  std::vector<IterationRecord> steps;
  std::vector<EvaluationRecord> evaluations;
  ExitReason reason = ExitReason::finished;
  TrainState state;
  std::function<void(const IterationRecord&)> after_step;
  int64_t stop_at = -1;  ///< asks the trainer to stop after this iteration
};

/// A tiny model on the synthetic language: 6 iterations of 2 micro-batches, no evaluation.
RunConfig tiny(const std::string& recipe = "fp32", const std::vector<std::string>& more = {});
/// Trains under `c`; what happened goes to `run`, also when it throws. Without a backend: on the CPU's.
void train(const RunConfig& c, Run& run, Backend& backend);
/// As one rank of several: `backend` is its own.
void train(const RunConfig& c, Run& run, Backend& backend, World& world);
void train(const RunConfig& c, Run& run);
Run train(const RunConfig& c);
/// A run of `iterations` steps saved to folder/run; returns a config that loads it.
RunConfig saved(const TemporaryFolder& folder, int64_t iterations = 2, const std::string& recipe = "fp32");

std::vector<double> losses(const Run& run);
std::string content(const std::filesystem::path& path);
std::set<std::string> names_in(const std::filesystem::path& folder);

}  // namespace mbt::test
