// The section mixed_precision is the authority: its values replace those of model, optimizer and ddp under the same names.
#pragma once

#include <string>
#include <vector>

#include "core/base/problem.h"
#include "core/config/json_value.h"
#include "core/config/origin.h"
#include "core/config/run_config.h"

namespace mbt {

/// Someone wrote it; else it was a default, of this run or of the one whose saved config is read.
inline bool was_given(const Origin& o) { return o.kind != Origin::Kind::default_value && o.kind != Origin::Kind::resolved; }

/// One value that was overwritten.
struct Overwrite {
  std::string section;
  std::string field;
  JsonValue old_value;
  JsonValue new_value;
  Origin old_origin;   ///< who had set the old value
  std::string source;  ///< the field it was copied from: "mixed_precision.fp8"

  bool was_given() const { return mbt::was_given(old_origin); }
};

/// Copies each field of config.mixed_precision (finalized: core/recipe/finalize.h) whose name exists on model, optimizer or ddp over it,
/// in that order, defaults and nulls too, as upstream. Then use_distributed_optimizer and overlap_param_gather are made equal on ddp and
/// optimizer: the one that was given wins; both given and different is a problem. Copied fields get the origin `synchronized`.
std::vector<Overwrite> synchronize(RunConfig& config, Origins& origins, std::vector<Problem>& problems);

}  // namespace mbt
