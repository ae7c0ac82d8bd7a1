// What a test may choose about the emulated device.
#pragma once

#include <cstddef>
#include <utility>

namespace mbt::emulation {

struct Settings {
  /// Every launch runs twice, with other poison and in the opposite order, and must give the same bits. False: once, for long tests;
  /// the environment variable MBT_EMULATION_ONCE=1 sets it for a whole process.
  bool run_twice;
  size_t memory_bytes;          ///< what cudaMalloc can give out in all
  int compute_capability = 90;  ///< 90 for 9.0; what kernels may do does not depend on it
  /// Streams do their work as late as they may: when something waits for it. Shows what is changed or freed while a stream still needs it.
  bool late_streams = false;
};
Settings& settings();

/// The device has another compute capability while this lives.
class WithCapability {
 public:
  explicit WithCapability(int capability) : before_(std::exchange(settings().compute_capability, capability)) {}
  WithCapability(const WithCapability&) = delete;
  WithCapability& operator=(const WithCapability&) = delete;
  ~WithCapability() { settings().compute_capability = before_; }

 private:
  int before_;
};

/// Streams are late while this lives.
class LateStreams {
 public:
  LateStreams() : before_(std::exchange(settings().late_streams, true)) {}
  LateStreams(const LateStreams&) = delete;
  LateStreams& operator=(const LateStreams&) = delete;
  ~LateStreams() { settings().late_streams = before_; }

 private:
  bool before_;
};

/// Launches run once while this lives.
class RunOnce {
 public:
  RunOnce() : before_(std::exchange(settings().run_twice, false)) {}
  RunOnce(const RunOnce&) = delete;
  RunOnce& operator=(const RunOnce&) = delete;
  ~RunOnce() { settings().run_twice = before_; }

 private:
  bool before_;
};

}  // namespace mbt::emulation
