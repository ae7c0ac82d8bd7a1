// The emulated device as the runtime API shows it: errors, properties, launch limits, memory.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/emulation/device/runtime_api.h"
#include "tests/emulation/engine/memory.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/engine/stream.h"

namespace emulation = mbt::emulation;
using emulation::MemoryKind;
using emulation::report;

namespace {

cudaError_t last_error = cudaSuccess;
std::unordered_map<const void*, size_t> granted_shared_bytes;

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice", "no kernel image is available for execution on the device"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched", "capture was not initiated in this stream"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
};

const ErrorText& text_of(cudaError_t error) {
  static constexpr ErrorText unknown{cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};
  for (const ErrorText& entry : kErrors) {
    if (entry.error == error) return entry;
  }
  return unknown;
}

constexpr int kMultiprocessors = 4;  // few, so that grids sized by them stay small
constexpr unsigned kThreadsPerBlock = 1024, kBlockDepth = 64, kGridRows = 65535, kGridColumns = 0x7FFFFFFF;

}  // namespace

cudaError_t emulation::report(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

// -- device ------------------------------------------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return report(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (properties == nullptr) return report(cudaErrorInvalidValue);
  if (device != 0) return report(cudaErrorInvalidDevice);
  cudaDeviceProp p{};
  std::snprintf(p.name, sizeof p.name, "emulated device");
  p.totalGlobalMem = emulation::settings().memory_bytes;
  p.sharedMemPerBlock = emulation::kSharedBytesByDefault;
  p.sharedMemPerBlockOptin = emulation::kSharedBytesAtMost;
  p.sharedMemPerMultiprocessor = emulation::kSharedBytesAtMost + 1024;
  p.reservedSharedMemPerBlock = 1024;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = p.maxThreadsDim[0] = p.maxThreadsDim[1] = kThreadsPerBlock;
  p.maxThreadsDim[2] = kBlockDepth;
  p.maxGridSize[0] = kGridColumns;
  p.maxGridSize[1] = p.maxGridSize[2] = kGridRows;
  p.major = emulation::settings().compute_capability / 10;
  p.minor = emulation::settings().compute_capability % 10;
  p.multiProcessorCount = kMultiprocessors;
  p.maxThreadsPerMultiProcessor = 2048;
  p.maxBlocksPerMultiProcessor = 32;
  p.l2CacheSize = 1 << 20;
  p.concurrentKernels = p.asyncEngineCount = p.unifiedAddressing = p.canMapHostMemory = 1;
  *properties = p;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t status = cudaGetDeviceProperties(&p, device); status != cudaSuccess) return status;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(p.sharedMemPerMultiprocessor); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); break;
    default: return report(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

// -- launches ----------------------------------------------------------------------------------------------------------------------------

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > emulation::kSharedBytesAtMost) return report(cudaErrorInvalidValue);
  granted_shared_bytes[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t emulation::submit_launch(const void* kernel, cudaStream_t stream, Launch launch) {
  const dim3 grid = launch.grid, block = launch.block;
  const bool no_block = block.x == 0 || block.y == 0 || block.z == 0 || block.z > kBlockDepth || block.x > kThreadsPerBlock ||
                        block.y > kThreadsPerBlock || block.x * block.y * block.z > kThreadsPerBlock;
  const bool no_grid = grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > kGridColumns || grid.y > kGridRows || grid.z > kGridRows;
  if (no_block || no_grid) return report(cudaErrorInvalidConfiguration);
  const auto granted = granted_shared_bytes.find(kernel);
  if (launch.shared_bytes > (granted == granted_shared_bytes.end() ? kSharedBytesByDefault : granted->second)) {
    return report(cudaErrorInvalidValue);
  }
  if (lasting_error() != cudaSuccess) return report(lasting_error());
  submit(stream, [launch = std::move(launch)] { run(launch); });
  return cudaSuccess;
}

// -- memory ------------------------------------------------------------------------------------------------------------------------------

namespace {

cudaError_t allocate(void** data, size_t bytes, MemoryKind kind) {
  if (data == nullptr) return report(cudaErrorInvalidValue);
  if (emulation::is_capturing()) return report(cudaErrorStreamCaptureUnsupported);
  *data = bytes == 0 ? nullptr : emulation::memory().allocate(bytes, kind);
  return report(bytes > 0 && *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t release(void* data, MemoryKind kind) {
  if (data == nullptr) return cudaSuccess;
  if (emulation::is_capturing()) return report(cudaErrorStreamCaptureUnsupported);
  emulation::finish_all_streams();
  return report(emulation::memory().release(data, kind) ? cudaSuccess : cudaErrorInvalidValue);
}

/// Whether both sides are what `kind` says: the hardware would fault later, or copy from a wrong address without a word.
cudaError_t check_copy(const void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0 || kind == cudaMemcpyDefault) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  const emulation::Memory& memory = emulation::memory();
  if (memory.is_device(target, to_device ? bytes : 1) != to_device) return cudaErrorInvalidValue;
  if (memory.is_device(source, from_device ? bytes : 1) != from_device) return cudaErrorInvalidValue;
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMalloc(void** data, size_t bytes) { return allocate(data, bytes, MemoryKind::device); }
cudaError_t cudaFree(void* data) { return release(data, MemoryKind::device); }
cudaError_t cudaMallocHost(void** data, size_t bytes) { return allocate(data, bytes, MemoryKind::pinned); }
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) { return allocate(data, bytes, MemoryKind::pinned); }
cudaError_t cudaFreeHost(void* data) { return release(data, MemoryKind::pinned); }

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *total_bytes = emulation::settings().memory_bytes;
  const size_t used = emulation::memory().device_bytes();
  *free_bytes = *total_bytes > used ? *total_bytes - used : 0;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t status = check_copy(target, source, bytes, kind); status != cudaSuccess) return report(status);
  if (bytes == 0) return cudaSuccess;
  const emulation::Memory& memory = emulation::memory();
  if (emulation::settings().late_streams && kind == cudaMemcpyHostToDevice && !memory.is_pinned(source, bytes)) {
    std::vector<char> staged(static_cast<const char*>(source),
                             static_cast<const char*>(source) + bytes);  // pageable: copied before the call returns
    emulation::submit(stream, [=, staged = std::move(staged)] { std::memcpy(target, staged.data(), bytes); });
    return cudaSuccess;
  }
  emulation::submit(stream, [=] { std::memmove(target, source, bytes); });
  const bool waits = kind == cudaMemcpyDeviceToHost && !memory.is_pinned(target, bytes) && !emulation::is_capturing();
  return waits ? cudaStreamSynchronize(stream) : cudaSuccess;  // pageable: CUDA returns when the bytes are there
}

cudaError_t cudaMemcpy(void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
  if (emulation::is_capturing()) return report(cudaErrorStreamCaptureUnsupported);
  return cudaMemcpyAsync(target, source, bytes, kind, nullptr);
}

cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!emulation::memory().is_device(target, bytes)) return report(cudaErrorInvalidValue);
  emulation::submit(stream, [=] { std::memset(target, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemset(void* target, int value, size_t bytes) {
  if (emulation::is_capturing()) return report(cudaErrorStreamCaptureUnsupported);
  return cudaMemsetAsync(target, value, bytes, nullptr);
}
