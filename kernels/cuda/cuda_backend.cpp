#include "kernels/cuda/cuda_backend.h"

#include <nvtx3/nvToolsExt.h>

#include "core/comm/host_collectives.h"
#include "kernels/cuda/make_cuda_backend.h"
#if MBT_HAVE_NCCL
#include "kernels/cuda/nccl/nccl_collectives.h"
#endif

namespace mbt::cuda {
namespace {

constexpr int kOldestMajor = 8;  // mma.m16n8k16 on bf16, cp.async

cudaDeviceProp select_device(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    static_cast<void>(cudaGetLastError());
    throw InputError(fmt::format("train.device=cuda: no usable NVIDIA GPU ({}); check nvidia-smi and the driver, or use train.device=cpu",
                                 status == cudaSuccess ? "none found" : cudaGetErrorString(status)));
  }
  if (device < 0 || device >= count)
    throw InputError(fmt::format("train.device=cuda: there is no GPU {}, only 0 to {}", device, count - 1));
  check(cudaSetDevice(device), fmt::format("selecting GPU {}", device));
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), fmt::format("asking for the properties of GPU {}", device));
  if (properties.major < kOldestMajor)
    throw InputError(
        fmt::format("train.device=cuda: GPU {} ({}) has compute capability {}.{}, expected {}.0 or newer; use train.device=cpu", device,
                    properties.name, properties.major, properties.minor, kOldestMajor));
  return properties;
}

}  // namespace

CudaBackend::CudaBackend(int device) : properties_(select_device(device)) {
  check(cudaMallocHost(reinterpret_cast<void**>(&fault_), sizeof(Fault)), "pinned memory for faults");
  *fault_ = Fault{};
  gemm_ = std::make_unique<Gemm>(properties_);
}

CudaBackend::~CudaBackend() {
  if (PeerWork::is_abandoned()) return;
  static_cast<void>(cudaStreamSynchronize(stream_.get()));
  static_cast<void>(cudaFreeHost(fault_));
}

BackendFacts CudaBackend::facts() const {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  check(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for the free memory");
  const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
  return {{"GPU", fmt::format("{}, compute capability {}.{}, {} MiB, {} multiprocessors", properties_.name, properties_.major,
                              properties_.minor, properties_.totalGlobalMem >> 20, properties_.multiProcessorCount)},
          {"memory", fmt::format("{} MiB free of {}", free >> 20, total >> 20)},
          {"CUDA", fmt::format("driver {}, runtime {}", version(driver), version(runtime))},
          {"gemm", gemm_->description()},
          {"attention", "flash (tensor cores) for head widths 64 and 128 in bf16 and f16; math for all others"}};
}

void CudaBackend::refuse_while_recording(const char* call) const {
  if (is_recording_) throw Error(fmt::format("{} among ops that are recorded: Backend::replay takes ops alone", call));
}

std::string CudaBackend::identity() const {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  check(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  const std::string gemm = gemm_->description();  // the library's version; then what changes from run to run
  return fmt::format("{}, compute capability {}.{}, driver {}, runtime {}, {}", properties_.name, properties_.major, properties_.minor,
                     driver, runtime, gemm.substr(0, gemm.find(';')));
}

void* CudaBackend::allocate(size_t bytes) {
  refuse_while_recording("allocate");
  void* const data = allocate_device(bytes, "tensors");
  check(cudaMemsetAsync(data, 0, bytes, stream_.get()), "zeroing GPU memory");
  allocated_bytes_ += bytes;
  return data;
}

void CudaBackend::deallocate(void* data, size_t bytes) noexcept {
  if (data == nullptr || PeerWork::is_abandoned()) return;
  wait_.quietly(stream_.get());
  static_cast<void>(cudaFree(data));
  allocated_bytes_ -= bytes;
}

std::optional<AvailableMemory> CudaBackend::available_memory() const {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for the free memory of the GPU");
  return AvailableMemory{.bytes = free, .is_limit = true};
}

void CudaBackend::upload(const void* host, TensorView device) {
  refuse_while_recording("upload");
  staging_.upload(host, device.data, static_cast<size_t>(device.size_bytes()), stream_.get());
}

void* CudaBackend::stage(TensorView device) {
  refuse_while_recording("stage");
  staged_ = device;
  return staging_.next(static_cast<size_t>(device.size_bytes()));
}

void CudaBackend::submit_staged() {
  MBT_CHECK(!staged_.empty(), "submit_staged() without stage()");
  staging_.submit(staged_.data, static_cast<size_t>(staged_.size_bytes()), stream_.get());
  staged_ = {};
}

void CudaBackend::download(ConstTensorView device, void* host) {
  refuse_while_recording("download");
  // A copy to pageable memory waits inside CUDA, where nothing is checked.
  if (wait_.has_check()) wait_.stream(stream_.get(), fmt::format("download after {}", last_op_));
  check(cudaMemcpyAsync(host, device.data, static_cast<size_t>(device.size_bytes()), cudaMemcpyDeviceToHost, stream_.get()),
        fmt::format("download after {}", last_op_));
  synchronize();
}

void CudaBackend::synchronize() {
  refuse_while_recording("synchronize");
  wait_.stream(stream_.get(), fmt::format("waiting for the GPU, the last op of which was {}", last_op_));
  throw_fault();
}

void CudaBackend::replay(Recording& recording, const std::function<void()>& ops) {
  auto* graph = static_cast<Graph*>(recording.state.get());
  if (is_recording_) return ops();  // part of an outer recording
  if (graph == nullptr || graph->generation() != scratch_.generation()) {
    ops();
    recording.state = std::make_unique<Graph>(scratch_.generation());
    return;
  }
  if (!graph->is_tried()) {
    is_recording_ = true;
    scratch_.freeze(true);
    const std::string failure = graph->record(stream_.get(), ops);
    scratch_.freeze(false);
    is_recording_ = false;
    if (!failure.empty()) recording.refusal = fmt::format("micro-batches run op by op, not as one CUDA graph: {}", failure);
  }
  if (!graph->is_executable()) return ops();
  last_op_ = "a CUDA graph";
  graph->launch(stream_.get());
}

void CudaBackend::begin_range(const char* name) { nvtxRangePushA(name); }
void CudaBackend::end_range() noexcept { nvtxRangePop(); }

void CudaBackend::throw_fault() {
  if (fault_->kind == Fault::none) return;
  const Fault f = *fault_;
  *fault_ = Fault{};
  if (f.kind == Fault::document)
    throw Error(fmt::format("attention: document_start[{}] is {} at place {} of its sequence, expected {}{}", f.index, f.value, f.limit,
                            f.limit, f.limit > 0 ? " or what the place before it has" : ""));
  const char* const what = f.kind == Fault::token    ? "embedding: tokens["
                           : f.kind == Fault::target ? "cross_entropy: targets["
                                                     : "rope or embedding: positions[";
  throw Error(fmt::format("{}{}] is {}, expected 0 to {}", what, f.index, f.value, f.limit - 1));
}

void CudaBackend::fill_zero(TensorView t) {
  check(cudaMemsetAsync(t.data, 0, static_cast<size_t>(t.size_bytes()), stream_.get()), "fill_zero");
}

std::unique_ptr<Collectives> CudaBackend::connect(World& world) {
  if (world.ranks() == 1) return std::make_unique<HostCollectives>(world);  // nothing travels
#if MBT_HAVE_NCCL
  return std::make_unique<NcclCollectives>(world, CollectiveSite{stream_.get(), wait_, collective_scratch_bytes_});
#else
  constexpr int kExitCode = 2;  // one build, so the same on all ranks
  throw AgreedError(
      fmt::format(
          "{} ranks on GPUs need NCCL, which this build is without: configure with -DMBT_NCCL=ON; or run one rank, or use train.device=cpu",
          world.ranks()),
      kExitCode);
#endif
}

size_t CudaBackend::exchange_scratch_bytes(int ranks) const {
#if MBT_HAVE_NCCL
  return ranks == 1 ? 0 : NcclCollectives::kScratchBytes;
#else
  static_cast<void>(ranks);
  return 0;  // connect() refuses several
#endif
}

std::unique_ptr<Backend> make_cuda_backend(int device) { return std::make_unique<CudaBackend>(device); }

#define MBT_LAUNCH(op, Args) \
  void CudaBackend::do_##op(const Args& args) { launch_##op(args, context()); }
MBT_FOR_EACH_OP(MBT_LAUNCH)
#undef MBT_LAUNCH

}  // namespace mbt::cuda
