// What a run will do, before it does it: the data of `mbtrain plan`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model/flops.h"
#include "core/parallel/exchange_plan.h"
#include "core/recipe/resolve.h"
#include "core/train/plan/memory_check.h"
#include "core/train/plan/plan_memory.h"
#include "core/train/plan/plan_precision.h"

namespace mbt {

struct RunLength {
  int64_t ranks;
  int64_t iterations;
  int64_t micro_batches;  ///< of one iteration on one rank: gradient accumulation
  int64_t samples;        ///< of the whole run
  int64_t tokens;         ///< of the whole run
  int64_t tokens_per_iteration;
};

struct RunPlan {
  ResolvedRun run;
  std::string device;
  PrecisionPolicy policy;
  std::vector<LayerRangePlan> precision_map;
  AttentionSupport attention;
  std::vector<ParameterGroup> parameters;
  std::vector<MemoryItem> memory;  ///< of one rank
  MemoryFit fit;                   ///< their total against what the device has free: no refusal here, `train` refuses
  ExchangePlan exchange;           ///< between ranks, a step
  FlopCount flops;                 ///< per token
  RunLength length;
};

/// Arithmetic alone: allocates nothing but a few words a layer. Throws InputError when the device cannot
/// run the recipe (require_support).
RunPlan make_plan(ResolvedRun run, int ranks, const DeviceQueries& device);

/// One object: config, origins, overwrites, notes, device, precision, precision_map (one entry a layer), attention, parameters, memory,
/// exchange, flops_per_token, flops, run.
nlohmann::ordered_json to_json(const RunPlan& plan);

}  // namespace mbt
