// The runtime API of the emulated device: memory, streams, events, graphs, limits; and launch() on top of it.
#include <cstring>

#include "tests/emulation/device_array.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/kernels/examples.h"
#include "tests/support/catch.h"

namespace mbt::test::runtime_test {

using namespace mbt::cuda;

namespace {

/// A stream for the length of a test.
struct Stream {
  Stream() { check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { static_cast<void>(cudaStreamDestroy(handle)); }
  cudaStream_t handle = nullptr;
};

}  // namespace

TEST_CASE("the device introduces itself", "[runtime]") {
  int count = 0, device = -1, version = 0, processors = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(count == 1);
  CHECK(device == 0);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(properties.name == std::string("emulated device"));
  CHECK(properties.major * 10 + properties.minor == 90);
  CHECK(properties.sharedMemPerBlockOptin == 227 << 10);
  CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0) == cudaSuccess);
  CHECK(processors == properties.multiProcessorCount);
  CHECK(cudaRuntimeGetVersion(&version) == cudaSuccess);
  CHECK(version >= 12000);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("device memory is aligned, poisoned, and counted", "[runtime]") {
  size_t before = 0, after = 0, total = 0;
  CHECK(cudaMemGetInfo(&before, &total) == cudaSuccess);
  {
    const DeviceArray<uint32_t> x(250);
    CHECK(reinterpret_cast<uintptr_t>(x.data()) % 256 == 0);
    CHECK(x.values() == std::vector<uint32_t>(250, 0xFFFFFFFFU));
    CHECK(cudaMemGetInfo(&after, &total) == cudaSuccess);
    CHECK(before - after == 1000);
    CHECK(cudaMemsetAsync(x.data(), 0, 1000, nullptr) == cudaSuccess);
    CHECK(x.values() == std::vector<uint32_t>(250, 0U));
  }
  CHECK(cudaMemGetInfo(&after, &total) == cudaSuccess);
  CHECK(before == after);
  void* data = nullptr;
  CHECK(cudaMalloc(&data, total + 1) == cudaErrorMemoryAllocation);
  CHECK_THROWS_WITH(check(cudaGetLastError(), "the arena"), "the arena: out of memory (cudaErrorMemoryAllocation)");
}

TEST_CASE("copies refuse what is not memory of the side they name", "[runtime]") {
  const DeviceArray<int> x(std::vector<int>{1, 2, 3, 4});
  int host[5] = {};
  CHECK(cudaMemcpy(host, x.data(), 20, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, host + 1, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(x.data(), host, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, x.data() + 2, 8, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(host[1] == 4);
  CHECK(cudaFree(host) == cudaErrorInvalidValue);
  int* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, 16) == cudaSuccess);
  CHECK(cudaMemcpyAsync(pinned, x.data(), 16, cudaMemcpyDeviceToHost, nullptr) == cudaSuccess);
  CHECK(pinned[3] == 4);
  CHECK(cudaFree(pinned) == cudaErrorInvalidValue);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("launches beyond the hardware's limits are refused, by name", "[runtime]") {
  const DeviceArray<float> out(2048);
  CHECK_THROWS_WITH(launch_empty_threads(out.data(), 1, 1056),
                    "kernel 'empty_threads', grid (1,1,1), block (1056,1,1), 0 bytes of shared memory: invalid configuration argument "
                    "(cudaErrorInvalidConfiguration)");
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("shared memory beyond 48 KiB must be granted, and ends at 227 KiB", "[runtime]") {
  const DeviceArray<float> out(64);
  const size_t bytes = (48 << 10) + 4;
  CHECK_THROWS_WITH(launch_large_shared(out.data(), bytes), ContainsSubstring("49156 bytes of shared memory: invalid argument"));
  allow_large_shared(bytes);
  launch_large_shared(out.data(), bytes);
  CHECK(out.values() == std::vector<float>(64, 3.0F));
  CHECK_THROWS_WITH(launch_large_shared(out.data(), bytes + 4), ContainsSubstring("49160 bytes of shared memory: invalid argument"));
  CHECK_THROWS_WITH(allow_large_shared((227 << 10) + 1),
                    ContainsSubstring("kernel 'large_shared': 232449 bytes of shared memory: invalid"));
}

TEST_CASE("events time and order work that is done at once", "[runtime]") {
  const Stream stream;
  cudaEvent_t start = nullptr, end = nullptr, untimed = nullptr;
  CHECK(cudaEventCreate(&start) == cudaSuccess);
  CHECK(cudaEventCreate(&end) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming) == cudaSuccess);
  const DeviceArray<float> out(256);
  CHECK(cudaEventRecord(start, stream.handle) == cudaSuccess);
  launch_many_barriers(out.data(), 10, 1, 256);
  CHECK(cudaEventRecord(end, stream.handle) == cudaSuccess);
  CHECK(cudaEventRecord(untimed, stream.handle) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(stream.handle, end, 0) == cudaSuccess);
  CHECK(cudaEventSynchronize(end) == cudaSuccess);
  CHECK(cudaEventQuery(end) == cudaSuccess);
  float milliseconds = 0;
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaSuccess);
  CHECK(milliseconds > 0);
  CHECK(cudaEventElapsedTime(&milliseconds, start, untimed) == cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {start, end, untimed}) CHECK(cudaEventDestroy(event) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("a graph repeats what its stream and one that joined were asked to do", "[runtime]") {
  const Stream stream, side;
  const DeviceArray<float> x(std::vector<float>(100, 1.0F)), y(std::vector<float>(100, 0.0F)), z(std::vector<float>(100, 0.0F));
  cudaEvent_t fork = nullptr, join = nullptr;
  check(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming), "event");
  check(cudaEventCreateWithFlags(&join, cudaEventDisableTiming), "event");
  check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeGlobal), "begin");
  launch_scale(y.data(), x.data(), 2.0F, 100, stream.handle);
  check(cudaEventRecord(fork, stream.handle), "record");
  check(cudaStreamWaitEvent(side.handle, fork, 0), "wait");
  launch_scale(z.data(), y.data(), 5.0F, 100, side.handle);
  check(cudaEventRecord(join, side.handle), "record");
  CHECK(cudaStreamSynchronize(stream.handle) == cudaErrorStreamCaptureUnsupported);
  void* data = nullptr;
  CHECK(cudaMalloc(&data, 4) == cudaErrorStreamCaptureUnsupported);
  check(cudaStreamWaitEvent(stream.handle, join, 0), "wait");
  check(cudaMemcpyAsync(x.data(), z.data(), 400, cudaMemcpyDeviceToDevice, stream.handle), "copy");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamEndCapture(stream.handle, &graph), "end");
  CHECK(z.values() == std::vector<float>(100, 0.0F));
  check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
  check(cudaGraphDestroy(graph), "destroy");
  for (int i = 0; i < 3; ++i) check(cudaGraphLaunch(executable, stream.handle), "launch");
  CHECK(x.values() == std::vector<float>(100, 1000.0F));
  check(cudaGraphExecDestroy(executable), "destroy");
  static_cast<void>(cudaGetLastError());

  check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeGlobal), "begin");
  check(cudaEventRecord(fork, stream.handle), "record");
  check(cudaStreamWaitEvent(side.handle, fork, 0), "wait");
  launch_scale(z.data(), y.data(), 5.0F, 100, side.handle);
  CHECK(cudaStreamEndCapture(side.handle, &graph) == cudaErrorStreamCaptureUnmatched);
  CHECK(cudaStreamEndCapture(stream.handle, &graph) == cudaErrorStreamCaptureUnjoined);
  CHECK(graph == nullptr);
  CHECK(cudaStreamEndCapture(stream.handle, &graph) == cudaErrorIllegalState);
  for (cudaEvent_t event : {fork, join}) check(cudaEventDestroy(event), "destroy");
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("a late stream works when something waits for it, and pinned memory changed too early shows", "[runtime]") {
  const emulation::LateStreams late;
  const DeviceArray<float> x(std::vector<float>(100, 1.0F)), y(std::vector<float>(100, 0.0F));
  const Stream stream, other;
  float* pinned = nullptr;
  check(cudaMallocHost(&pinned, 400), "pinned");
  std::fill(pinned, pinned + 100, 3.0F);
  cudaEvent_t copied = nullptr;
  check(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming), "event");
  check(cudaMemcpyAsync(x.data(), pinned, 400, cudaMemcpyHostToDevice, stream.handle), "copy");
  check(cudaEventRecord(copied, stream.handle), "record");
  CHECK(cudaEventQuery(copied) == cudaErrorNotReady);
  pinned[7] = 4.0F;  // too early
  check(cudaStreamWaitEvent(other.handle, copied, 0), "wait");
  launch_scale(y.data(), x.data(), 2.0F, 100, other.handle);
  CHECK(cudaStreamQuery(other.handle) == cudaErrorNotReady);
  check(cudaStreamSynchronize(other.handle), "wait");
  CHECK(cudaEventQuery(copied) == cudaSuccess);
  CHECK(y.values()[6] == 6.0F);
  CHECK(y.values()[7] == 8.0F);
  std::vector<float> pageable(100, 5.0F);
  check(cudaMemcpyAsync(x.data(), pageable.data(), 400, cudaMemcpyHostToDevice, stream.handle), "copy");
  pageable[7] = 4.0F;  // CUDA has copied it before it returned
  CHECK(x.values()[7] == 5.0F);
  check(cudaEventDestroy(copied), "destroy");
  check(cudaFreeHost(pinned), "free");
}

}  // namespace mbt::test::runtime_test
