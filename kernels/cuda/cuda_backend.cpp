#include "kernels/cuda/cuda_backend.h"

#include "kernels/cuda/make_cuda_backend.h"

namespace mbt::cuda {
namespace {

constexpr int kOldestMajor = 8;  // mma.m16n8k16 on bf16, cp.async

cudaDeviceProp select_device(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    static_cast<void>(cudaGetLastError());
    throw InputError(text("train.device=cuda: no usable NVIDIA GPU (", status == cudaSuccess ? "none found" : cudaGetErrorString(status),
                          "); check nvidia-smi and the driver, or use train.device=cpu"));
  }
  if (device < 0 || device >= count) throw InputError(text("train.device=cuda: there is no GPU ", device, ", only 0 to ", count - 1));
  check(cudaSetDevice(device), text("selecting GPU ", device));
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), text("asking for the properties of GPU ", device));
  if (properties.major < kOldestMajor)
    throw InputError(text("train.device=cuda: GPU ", device, " (", properties.name, ") has compute capability ", properties.major, ".",
                          properties.minor, ", expected ", kOldestMajor, ".0 or newer; use train.device=cpu"));
  return properties;
}

}  // namespace

CudaBackend::CudaBackend(int device) : properties_(select_device(device)) {
  check(cudaMallocHost(reinterpret_cast<void**>(&fault_), sizeof(Fault)), "pinned memory for faults");
  *fault_ = Fault{};
  gemm_ = std::make_unique<Gemm>(properties_);
}

CudaBackend::~CudaBackend() {
  static_cast<void>(cudaStreamSynchronize(stream_.get()));
  static_cast<void>(cudaFreeHost(fault_));
}

BackendFacts CudaBackend::facts() const {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  check(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for the free memory");
  const auto version = [](int v) { return text(v / 1000, ".", v % 1000 / 10); };
  return {{"GPU", text(properties_.name, ", compute capability ", properties_.major, ".", properties_.minor, ", ",
                       properties_.totalGlobalMem >> 20, " MiB, ", properties_.multiProcessorCount, " multiprocessors")},
          {"memory", text(free >> 20, " MiB free of ", total >> 20)},
          {"CUDA", text("driver ", version(driver), ", runtime ", version(runtime))},
          {"gemm", gemm_->description()},
          {"attention", "flash (tensor cores) for head widths 64 and 128 in bf16 and f16; math for all others"}};
}

void* CudaBackend::allocate(size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    size_t free = 0, total = 0;
    static_cast<void>(cudaMemGetInfo(&free, &total));
    throw Error(text("GPU memory: ", bytes, " bytes wanted, ", free, " of ", total, " free (", cudaGetErrorString(status),
                     "); mbtrain plan lists what needs it; lower train.micro_batch_size or set model.recompute_granularity"));
  }
  check(cudaMemsetAsync(data, 0, bytes, stream_.get()), "zeroing GPU memory");
  allocated_bytes_ += bytes;
  return data;
}

void CudaBackend::deallocate(void* data, size_t bytes) noexcept {
  if (data == nullptr) return;
  static_cast<void>(cudaStreamSynchronize(stream_.get()));
  static_cast<void>(cudaFree(data));
  allocated_bytes_ -= bytes;
}

void CudaBackend::upload(const void* host, TensorView device) {
  // Pageable memory: the call returns when the host bytes are staged.
  check(cudaMemcpyAsync(device.data, host, static_cast<size_t>(device.size_bytes()), cudaMemcpyHostToDevice, stream_.get()), "upload");
}

void CudaBackend::download(ConstTensorView device, void* host) {
  check(cudaMemcpyAsync(host, device.data, static_cast<size_t>(device.size_bytes()), cudaMemcpyDeviceToHost, stream_.get()), "download");
  synchronize();
}

void CudaBackend::synchronize() {
  check(cudaStreamSynchronize(stream_.get()), "waiting for the GPU");
  throw_fault();
}

void CudaBackend::throw_fault() {
  if (fault_->kind == Fault::none) return;
  const Fault f = *fault_;
  *fault_ = Fault{};
  throw Error(text(f.kind == Fault::token ? "embedding: tokens[" : "cross_entropy: targets[", f.index, "] is ", f.value, ", expected 0 to ", f.limit - 1));
}

void CudaBackend::fill_zero(TensorView t) {
  check(cudaMemsetAsync(t.data, 0, static_cast<size_t>(t.size_bytes()), stream_.get()), "fill_zero");
}

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<CudaBackend>(); }

#define MBT_LAUNCH(op, Args) \
  void CudaBackend::do_##op(const Args& args) { launch_##op(args, context()); }
MBT_LAUNCH(embedding_fwd, EmbeddingFwdArgs)
MBT_LAUNCH(embedding_bwd, EmbeddingBwdArgs)
MBT_LAUNCH(norm_fwd, NormFwdArgs)
MBT_LAUNCH(norm_bwd, NormBwdArgs)
MBT_LAUNCH(qk_norm_fwd, QkNormFwdArgs)
MBT_LAUNCH(qk_norm_bwd, QkNormBwdArgs)
MBT_LAUNCH(rope, RopeArgs)
MBT_LAUNCH(attention_fwd, AttentionFwdArgs)
MBT_LAUNCH(attention_bwd, AttentionBwdArgs)
MBT_LAUNCH(attention_cached, AttentionCachedArgs)
MBT_LAUNCH(activation_fwd, ActivationFwdArgs)
MBT_LAUNCH(activation_bwd, ActivationBwdArgs)
MBT_LAUNCH(cross_entropy, CrossEntropyArgs)
MBT_LAUNCH(bias_bwd, BiasBwdArgs)
MBT_LAUNCH(quantize, QuantizeArgs)
MBT_LAUNCH(delayed_scaling_update, DelayedScalingUpdateArgs)
MBT_LAUNCH(grad_norm, GradNormArgs)
MBT_LAUNCH(clip_scale, ClipScaleArgs)
MBT_LAUNCH(adamw, AdamwArgs)
MBT_LAUNCH(cast, CastArgs)
MBT_LAUNCH(add, AddArgs)
MBT_LAUNCH(sum, SumArgs)
#undef MBT_LAUNCH
void CudaBackend::do_gemm(const GemmArgs& args) { gemm_->run(args, context()); }

}  // namespace mbt::cuda
