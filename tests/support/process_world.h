// Ranks as processes: forked from this one, each with a World of its own and, where this one has an emulated device, one of those too.
#pragma once

#include <string>
#include <vector>

#include "core/comm/world.h"

namespace mbt::test {

/// `beside`: a second World of the same ranks, for what makes exchanges on its own account (emulation::set_nccl_world).
using ProcessJob = std::function<void(World& world, World& beside)>;

/// Runs `job` in `ranks` forked processes. Returns what each rank threw or how else it ended, by rank; all empty: all is well. A rank that
/// has ended is gone for the others: what they exchange with it throws. After `seconds` those that still run are killed. Jobs see what this
/// process had in memory when they began, change nothing in it, may not use Catch2's assertions, and use no OpenMP, whose threads do not
/// survive a fork.
std::vector<std::string> run_processes(int ranks, const ProcessJob& job, int seconds = 120);

}  // namespace mbt::test
