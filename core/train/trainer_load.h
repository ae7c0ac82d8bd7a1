// Continues a run from a checkpoint and reports settings that have changed since.
#pragma once

#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/config/run_config.h"
#include "core/data/dataset.h"
#include "core/model/weights.h"
#include "core/optim/loss_scaler.h"
#include "core/optim/lr_schedule.h"
#include "core/optim/optimizer.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_saver.h"
#include "core/train/train_observer.h"

namespace mbt {

/// The parts of a Trainer: what a checkpoint is compared with, and what it sets.
struct LoadedParts {
  const RunConfig& config;
  const Dataset& dataset;
  Backend& backend;
  World& world;
  TrainObserver& observer;
  Weights& weights;
  Optimizer& optimizer;
  LossScaler& scaler;
  LrSchedule& schedule;
  CheckpointSaver& saver;
  TrainState& state;
};

/// Loads the checkpoint of checkpoint.load; every rank calls it together. Starts fresh when the folder holds none and is checkpoint.save
/// too, else throws InputError.
void load_run(const LoadedParts& run);

}  // namespace mbt
