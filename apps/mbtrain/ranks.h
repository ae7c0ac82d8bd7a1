// One command on one or many ranks: which rank prints, how the ranks end, and what happens when ranks disagree.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/backend/backend.h"
#include "core/comm/world.h"
#include "core/config/run_config.h"
#include "core/data/dataset.h"

namespace mbt {

/// "mbtrain 0.1.0, file 0123...": two builds of one version may compute differently.
std::string program_name();

/// Runs `body` of a verb on the ranks that a launcher started, or on one. Rank 0 logs for all; the others log only errors. An error that
/// every rank throws (AgreedError) is reported once. Any other error is reported with its rank and ends all ranks. Returns the exit
/// code.
int run_on_ranks(const std::string& verb, const std::function<int(World& world)>& body);

/// Throws AgreedError when a rank's program version, config or data differs from rank 0's. The message names the value and shows both.
void require_same_run(World& world, const RunConfig& config, const Dataset& dataset);

/// Returns the CPU threads of this rank: `wanted`, or with 0 the number of its cores divided by the ranks that share them.
int threads_of_rank(World& world, int64_t wanted);

/// Returns the index of this rank's GPU among those that the driver shows: one per local rank, in order. It is 0 when each rank sees only
/// its own GPU, and when no GPU will be used. Throws AgreedError when a host has more ranks than GPUs or two ranks would share one.
int gpu_of_rank(World& world, const std::string& device);

/// make_backend for this rank: its share of the cores, its GPU.
std::unique_ptr<Backend> make_backend_of_rank(World& world, const std::string& device, int64_t num_threads);

}  // namespace mbt
