// Everything a run is configured by: the sections, in the order they are shown.
#pragma once

#include "core/config/checkpoint_config.h"
#include "core/config/dataset_config.h"
#include "core/config/ddp_config.h"
#include "core/config/logger_config.h"
#include "core/config/mixed_precision_config.h"
#include "core/config/model_config.h"
#include "core/config/optimizer_config.h"
#include "core/config/profiling_config.h"
#include "core/config/rng_config.h"
#include "core/config/scheduler_config.h"
#include "core/config/tokenizer_config.h"
#include "core/config/train_config.h"
#include "core/config/validation_config.h"

namespace mbt {

struct RunConfig {
  ModelConfig model;
  TrainConfig train;
  OptimizerConfig optimizer;
  SchedulerConfig scheduler;
  DdpConfig ddp;
  DatasetConfig dataset;
  TokenizerConfig tokenizer;
  LoggerConfig logger;
  CheckpointConfig checkpoint;
  RngConfig rng;
  ValidationConfig validation;
  ProfilingConfig profiling;
  MixedPrecisionConfig mixed_precision;

  /// v(section name, section struct, one sentence), once per section.
  template <class Self, class V>
  static void visit_sections(Self& s, V&& v) {
    v("model", s.model, "The transformer");
    v("train", s.train, "Length, batches, exits, device");
    v("optimizer", s.optimizer, "AdamW, clipping, loss scale");
    v("scheduler", s.scheduler, "Learning-rate and weight-decay schedules, counted in samples");
    v("ddp", s.ddp, "Gradients and data parallelism");
    v("dataset", s.dataset, "What to train on");
    v("tokenizer", s.tokenizer, "Text to tokens");
    v("logger", s.logger, "Log lines, metrics, progress");
    v("checkpoint", s.checkpoint, "Saving and loading");
    v("rng", s.rng, "Seeds");
    v("validation", s.validation, "Evaluation");
    v("profiling", s.profiling, "Timelines");
    v("mixed_precision", s.mixed_precision, "The recipe: what is stored and multiplied in which format");
  }
};

}  // namespace mbt
