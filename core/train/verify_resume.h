// Checks that a saved and resumed run is bit-identical to an uninterrupted run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/config/run_config.h"
#include "core/data/dataset.h"
#include "core/recipe/policy.h"

namespace mbt {

/// What a run ended with: its losses, and its last checkpoint, which is all of its state.
struct RunTrace {
  std::vector<double> losses;  ///< by iteration
  std::string checkpoint;
};

/// The config of a run of `iterations` that saves to `folder` at its end, evaluates nothing and logs to no file.
RunConfig traced_config(RunConfig config, int64_t iterations, const std::string& folder);

/// Trains as `config` says. Every rank calls it.
RunTrace trace_run(Backend& backend, World& world, const RunConfig& config, const PrecisionPolicy& policy, const Dataset& dataset);
/// Trains the same iterations in two runs: the first trains `before` iterations and saves; a fresh model then loads them and trains the
/// rest.
RunTrace trace_interrupted_run(Backend& backend, World& world, RunConfig config, const PrecisionPolicy& policy, const Dataset& dataset,
                               int64_t before);

/// The first iteration whose losses differ, or that one of the runs lacks, with as many digits as tell the losses apart; empty: none. Two
/// NaN are equal.
std::string loss_difference(const RunTrace& whole, const RunTrace& interrupted);

/// Of two checkpoints of the same number of ranks: names of the files, state.json among them, whose bytes differ. The config, which holds
/// folders, is left out. Empty: the states are equal, bit for bit.
std::vector<std::string> differing_files(const std::string& a, const std::string& b);
/// Hash of the state in a checkpoint, of the same files.
std::string state_hash(const std::string& checkpoint);

}  // namespace mbt
