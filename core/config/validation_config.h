// Section "validation": evaluation during and after training.
#pragma once

#include "core/base/fields.h"

namespace mbt {

struct ValidationConfig {
  int64_t eval_iters = 10;
  std::optional<int64_t> eval_interval;
  std::optional<int64_t> start_eval_at_iter;
  bool skip_train = false;
  bool full_validation = false;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.eval_iters,
      FieldInfo{.name = "eval_iters", .doc = "Global batches of one evaluation; 0: none (upstream: 100)", .min = 0, .max = 99999999});
    v(s.eval_interval,
      FieldInfo{.name = "eval_interval", .doc = "Iterations between evaluations; null: only at the end", .unit = "iterations", .min = 1});
    v(s.start_eval_at_iter,
      FieldInfo{.name = "start_eval_at_iter", .doc = "First iteration with evaluation", .unit = "iterations", .min = 0, .alias = kNoAlias});
    v(s.skip_train, FieldInfo{.name = "skip_train", .doc = "Evaluate only"});
    v(s.full_validation,
      FieldInfo{.name = "full_validation", .doc = "Evaluate the whole validation split instead of eval_iters batches", .alias = kNoAlias});
  }
};

}  // namespace mbt
