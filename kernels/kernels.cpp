#include "kernels/kernels.h"

#include "kernels/cpu/cpu_backend.h"
#if MBT_HAVE_CUDA
#include "kernels/cuda/make_cuda_backend.h"
#endif

namespace mbt {

std::unique_ptr<Backend> make_backend(const std::string& name, int num_threads) {
#if MBT_HAVE_CUDA
  if (name == "cuda" || (name == "auto" && cuda::has_usable_gpu())) return cuda::make_cuda_backend();
#endif
  if (name == "cpu" || name == "auto") return std::make_unique<cpu::CpuBackend>(num_threads);
  if (name == "cuda") throw InputError("backend 'cuda': built without CUDA; configure with -DMBT_CUDA=ON, or use 'cpu'");
  throw InputError(text("backend '", name, "' does not exist; known: auto, cpu, cuda"));
}

}  // namespace mbt
