// Section "checkpoint": saving and loading.
#pragma once

#include "core/base/fields.h"

namespace mbt {

struct CheckpointConfig {
  std::string save;
  std::string load;
  std::optional<int64_t> save_interval;
  bool save_optim = true;
  bool load_optim = true;
  int64_t most_recent_k = -1;
  std::optional<int64_t> ckpt_step;
  bool finetune = false;
  bool async_save = false;
  bool verify_integrity = true;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.save,
      FieldInfo{.name = "save",
                .doc = "Folder to save to; empty: no checkpoints. One that holds checkpoints is refused, unless the run continues them",
                .holds = Holds::folder});
    v(s.load, FieldInfo{.name = "load", .doc = "Folder to continue from", .holds = Holds::folder});
    v(s.save_interval,
      FieldInfo{.name = "save_interval", .doc = "Iterations between checkpoints; null: only at the end", .unit = "iterations", .min = 1});
    v(s.save_optim, FieldInfo{.name = "save_optim", .doc = "Save masters and moments", .alias = kNoAlias});
    v(s.load_optim, FieldInfo{.name = "load_optim", .doc = "Load masters and moments", .alias = kNoAlias});
    v(s.most_recent_k, FieldInfo{.name = "most_recent_k", .doc = "Checkpoints of this run to keep; -1: all", .min = -1, .alias = kNoAlias});
    v(s.ckpt_step, FieldInfo{.name = "ckpt_step", .doc = "Load this iteration instead of the newest", .min = 0});
    v(s.finetune, FieldInfo{.name = "finetune", .doc = "Load weights only and start at iteration 0"});
    v(s.async_save, FieldInfo{.name = "async_save", .doc = "Write checkpoints in the background, from a copy in host memory"});
    v(s.verify_integrity,
      FieldInfo{.name = "verify_integrity", .doc = "On load: compare every file with its checksum; false: only sizes", .alias = kNoAlias});
  }
};

}  // namespace mbt
