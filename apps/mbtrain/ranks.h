// One command on one rank or on many: who prints, who ends, and what happens when ranks do not agree.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/config/run_config.h"
#include "core/data/dataset.h"

namespace mbt {

/// Runs `body` of a verb on the ranks that a launcher started, or on one. The first rank speaks for all; the others log errors alone. What
/// `body` throws on every rank (AgreedError) is told once; anything else is told with the rank it happened on and ends all ranks. Returns
/// the exit code.
int run_on_ranks(const std::string& verb, const std::function<int(World& world)>& body);

/// AgreedError when a rank runs another version of the program, another config or other data than the first: both values, by name.
void require_same_run(World& world, const RunConfig& config, const Dataset& dataset);

/// CPU threads of one rank: `wanted`, or with 0 its fair share of the cores that it was given, where other ranks were given the same.
int threads_of_rank(World& world, int64_t wanted);

/// The GPU of this rank, of those that the driver shows: one a local rank, in order; 0 where each rank is shown its own. 0 too where no GPU
/// is going to be used. AgreedError when there are more ranks than GPUs on a host, or two ranks would share one.
int gpu_of_rank(World& world, const std::string& device);

/// make_backend for this rank: its share of the cores, its GPU.
std::unique_ptr<Backend> make_backend_of_rank(World& world, const std::string& device, int64_t num_threads);

}  // namespace mbt
