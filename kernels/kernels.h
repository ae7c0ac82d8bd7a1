// The only header of kernels/ that apps may include: makes a backend by name.
#pragma once

#include <memory>
#include <string>

#include "core/backend/backend.h"

namespace mbt {

/// name: "cpu", "cuda", or "auto": cuda where the build and the machine have it, else cpu. num_threads 0: all cores given to the process.
/// gpu: which of the GPUs that the driver shows (probe_gpus().devices); the CPU has no use for it. Throws InputError when the build or the
/// machine lacks it.
std::unique_ptr<Backend> make_backend(const std::string& name, int num_threads = 0, int gpu = 0);

}  // namespace mbt
