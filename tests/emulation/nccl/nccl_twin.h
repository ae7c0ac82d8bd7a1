// NCCL on the emulated device: the functions of include/nccl.h over a World. Each process is one rank with a device of its own. Work is
// done by the stream it was given to, as a kernel's. What NCCL's documentation asks of callers is checked: device memory, in-place only at
// the documented place, groups that are closed; and that all ranks make the same call, which NCCL does not notice.
#pragma once

#include <cstdint>
#include <string>

#include "core/comm/world.h"

namespace mbt::emulation {

/// The ranks of communicators made from now on. Nobody else may use `world`: exchanges come when a stream does its work.
void set_nccl_world(World* world);

/// What nccl_problem() says; empty unless a test sets it.
std::string& nccl_twin_problem();

/// The next communicator cannot be made: ncclCommInitRank returns ncclSystemError.
void fail_next_nccl_init();

/// Communicators of this process: made and not destroyed.
int live_nccl_communicators();

}  // namespace mbt::emulation
