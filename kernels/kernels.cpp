#include "kernels/kernels.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/gpus.h"
#if MBT_HAVE_CUDA
#include "kernels/cuda/gemm/cublaslt_library.h"
#include "kernels/cuda/make_cuda_backend.h"
#endif

namespace mbt {
namespace {

std::unique_ptr<Backend> make_gpu_backend(int gpu) {
  const std::string problem = gpu_problem(probe_gpus(), cuda_build(), gpu);
  if (!problem.empty()) throw InputError(fmt::format("train.device=cuda: no usable NVIDIA GPU: {}; or use train.device=cpu", problem));
#if MBT_HAVE_CUDA
  const std::string missing = cuda::cublaslt_problem();
  if (!missing.empty()) throw InputError(fmt::format("train.device=cuda: {}; or use train.device=cpu", missing));
  return cuda::make_cuda_backend(gpu);
#else
  return nullptr;  // not reached: a build without CUDA is a problem
#endif
}

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& name, int num_threads, int gpu) {
  // With a usable GPU but without cuBLASLt, or with fewer GPUs than ranks, "auto" is an error too: whoever forgot to load CUDA's module
  // does not want the CPU.
  if (name == "cuda" || (name == "auto" && gpu_problem(probe_gpus(), cuda_build()).empty())) return make_gpu_backend(gpu);
  if (name == "cpu" || name == "auto") return std::make_unique<cpu::CpuBackend>(num_threads);
  throw InputError(fmt::format("backend '{}' does not exist; known: auto, cpu, cuda", name));
}

}  // namespace mbt
