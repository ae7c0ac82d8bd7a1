// Streams, graphs and the way of all work through them: done at once (or late: Settings), or recorded while the stream captures.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tests/emulation/device/runtime_api.h"
#include "tests/emulation/engine/launch.h"

namespace mbt::emulation {

using Work = std::function<void()>;
struct Capture {
  std::vector<Work> work;
  std::vector<cudaStream_t> streams;  ///< that take part; the first began it
};

/// Does `work` now or late, or records it when the stream captures.
void submit(cudaStream_t stream, Work work);
/// All streams do what they were given: what waits for the device calls this first.
void finish_all_streams();
/// Called by a work: it cannot end yet (a collective that other ranks have not come to). It stands first in its stream, and is done again
/// when something waits for it; what would wait for ever throws Error.
void hold();
/// True while any stream captures: calls that wait or allocate are then errors, as in CUDA's global capture mode.
bool is_capturing();
/// cudaGraphLaunch calls of this process so far.
int64_t graph_launches();
/// From now on the device is in the state that a kernel's fault leaves: what waits or launches returns `error`. cudaSuccess mends it.
void fail_from_now_on(cudaError_t error);
cudaError_t lasting_error();
/// Remembers `status` for cudaGetLastError unless it is success; returns it.
cudaError_t report(cudaError_t status);

/// What the hardware would say to this launch, and the launch. Throws Error as emulation::run does.
cudaError_t submit_launch(const void* kernel, cudaStream_t stream, Launch launch);

}  // namespace mbt::emulation
