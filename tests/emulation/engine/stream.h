// Streams, graphs and the way of all work through them: done at once, or recorded while the stream captures.
#pragma once

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

/// Does `work` now, or records it when the stream captures.
void submit(cudaStream_t stream, Work work);
/// True while any stream captures: calls that wait or allocate are then errors, as in CUDA's global capture mode.
bool is_capturing();
/// Remembers `status` for cudaGetLastError unless it is success; returns it.
cudaError_t report(cudaError_t status);

/// What the hardware would say to this launch, and the launch. Throws Error as emulation::run does.
cudaError_t submit_launch(const void* kernel, cudaStream_t stream, Launch launch);

}  // namespace mbt::emulation
