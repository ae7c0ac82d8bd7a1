#include "core/train/verify_resume.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/base/xxhash.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_index.h"
#include "core/train/trainer.h"

namespace mbt {
namespace {

class Tracer final : public TrainObserver {
 public:
  void on_message(const std::string&) override {}
  void on_warning(const std::string&) override {}
  void on_iteration(const IterationRecord& r) override { trace.losses.push_back(r.loss); }
  void on_evaluation(const EvaluationRecord&) override {}
  void on_checkpoint(SaveStage stage, const std::string& path, int64_t) override {
    if (stage == SaveStage::saved) trace.checkpoint = path;
  }

  RunTrace trace;
};

/// All files of a checkpoint that hold state.
std::vector<CheckpointFile> state_files(const std::string& checkpoint) {
  std::vector<CheckpointFile> files = read_index(checkpoint, true).files;
  std::erase_if(files, [](const CheckpointFile& f) { return f.name == kConfigFile; });
  return files;
}

}  // namespace

RunConfig traced_config(RunConfig config, int64_t iterations, const std::string& folder) {
  config.train.train_iters = iterations;
  config.train.train_samples.reset();
  config.train.exit_interval.reset();
  config.train.exit_duration_in_mins.reset();
  config.validation = {};
  config.validation.eval_iters = 0;
  config.logger.jsonl_path.clear();
  config.logger.save_config_filepath.clear();
  config.profiling = {};
  config.checkpoint = {};
  config.checkpoint.save = folder;
  return config;
}

RunTrace trace_run(Backend& backend, World& world, const RunConfig& config, const PrecisionPolicy& policy, const Dataset& dataset) {
  Tracer tracer;
  Trainer trainer(backend, world, config, policy, dataset, tracer);
  trainer.run();
  return tracer.trace;
}

RunTrace trace_interrupted_run(Backend& backend, World& world, RunConfig config, const PrecisionPolicy& policy, const Dataset& dataset,
                               int64_t before) {
  config.train.exit_interval = before;  // saves and ends there; the schedule is that of the whole run
  RunTrace first = trace_run(backend, world, config, policy, dataset);
  config.train.exit_interval.reset();
  config.checkpoint.load = config.checkpoint.save;
  RunTrace rest = trace_run(backend, world, config, policy, dataset);
  first.losses.insert(first.losses.end(), rest.losses.begin(), rest.losses.end());
  return {first.losses, rest.checkpoint};
}

std::string loss_difference(const RunTrace& whole, const RunTrace& interrupted) {
  const std::vector<double>&a = whole.losses, &b = interrupted.losses;
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i >= a.size() || i >= b.size()) return fmt::format("iteration {}: missing in one of the runs", i + 1);
    const bool are_nan = std::isnan(a[i]) && std::isnan(b[i]);
    if (a[i] != b[i] && !are_nan) return fmt::format("iteration {}: loss {} without, {} with a break", i + 1, a[i], b[i]);
  }
  return "";
}

std::vector<std::string> differing_files(const std::string& a, const std::string& b) {
  std::set<std::string> names;
  const std::vector<CheckpointFile> in_a = state_files(a), in_b = state_files(b);
  const auto differs = [&](const CheckpointFile& f, const std::vector<CheckpointFile>& others) {
    return std::none_of(others.begin(), others.end(), [&](const CheckpointFile& o) { return o.name == f.name && o.digest == f.digest; });
  };
  for (const CheckpointFile& f : in_a)
    if (differs(f, in_b)) names.insert(f.name);
  for (const CheckpointFile& f : in_b)
    if (differs(f, in_a)) names.insert(f.name);
  return {names.begin(), names.end()};
}

std::string state_hash(const std::string& checkpoint) {
  std::vector<CheckpointFile> files = state_files(checkpoint);
  std::sort(files.begin(), files.end(), [](const CheckpointFile& a, const CheckpointFile& b) { return a.name < b.name; });
  XxHash64 hash;
  for (const CheckpointFile& f : files) {
    hash.add(f.name);
    hash.add(&f.digest.hash, sizeof f.digest.hash);
  }
  return hash_text(hash.value());
}

}  // namespace mbt
