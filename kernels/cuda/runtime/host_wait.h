// Where the host waits for the device.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {

/// Waits for streams and events. While there are collectives, it polls and checks them in between, because a collective that waits for a
/// dead rank never ends, and neither would CUDA's own wait.
class HostWait {
 public:
  /// `check` throws when device work can no longer complete. `collectives` is the stream of the collectives.
  void set_check(std::function<void()> check, cudaStream_t collectives) { check_ = std::move(check), collectives_ = collectives; }
  void clear_check() { check_ = nullptr; }
  bool has_check() const { return check_ != nullptr; }

  void stream(cudaStream_t stream, const std::string& what) const {
    if (check_) poll([&] { return cudaStreamQuery(stream); }, what);
    else check(cudaStreamSynchronize(stream), what);
  }
  void event(cudaEvent_t event, const char* what) const {
    if (check_) poll([&] { return cudaEventQuery(event); }, what);
    else check(cudaEventSynchronize(event), what);
  }
  /// `stream` and collectives, done or ended: afterwards nothing that CUDA does by itself waits for another rank.
  void quietly(cudaStream_t stream) const noexcept {
    for (cudaStream_t each : {stream, check_ ? collectives_ : stream}) {
      try {
        this->stream(each, "");
      } catch (const Error&) {  // told where somebody wants to know
      }
    }
  }

 private:
  template <class Query>
  void poll(Query query, const std::string& what) const {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds kBetweenChecks(10);
    Clock::time_point next = Clock::now() + kBetweenChecks;
    cudaError_t status = query();
    for (; status == cudaErrorNotReady; status = query()) {
      std::this_thread::yield();
      if (Clock::now() < next) continue;
      check_();
      next = Clock::now() + kBetweenChecks;
    }
    check(status, what);
  }

  std::function<void()> check_;
  cudaStream_t collectives_ = nullptr;
};

}  // namespace mbt::cuda
