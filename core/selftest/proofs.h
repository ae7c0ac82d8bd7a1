// Remembers which checks a device has passed, so that a run proves a path once and not at each start.
//
// The file is JSON: {"format": "mbtrain selftest 1", "devices": {DEVICE: {CHECK: {"passed": true, "date": "2026-12-01", "difference": D,
// "allowed": A}}}}. DEVICE names GPU, driver, library and program (Backend::identity): another program proves anew. Deleting the file makes
// the next run prove again.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/selftest/check.h"

namespace mbt::selftest {

struct Proof {
  bool has_passed = false;
  std::string date;  ///< UTC, "2026-12-01"
  double difference = 0, allowed = 0;
};

/// Used by one thread of a process. Several processes may share a file: it is never half written, and a result that two lose between them
/// is found again by the next start.
class Proofs {
 public:
  using Warn = std::function<void(const std::string& message)>;
  /// path empty: remembers only within this process. A file of another format, or one that cannot be read or written, is left unchanged and
  /// not used, with a warning; problems with the file never throw.
  Proofs(std::string path, std::string device, Warn warn);

  const std::string& device() const { return device_; }
  /// Empty: results are not kept.
  const std::string& path() const { return path_; }
  std::optional<Proof> find(const std::string& check) const;
  /// Results of today, in place of earlier ones.
  void remember(const std::vector<CheckResult>& results);

 private:
  void write() const;
  void stop_using_file(const std::string& reason);

  std::string path_, device_;
  Warn warn_;
  std::map<std::string, Proof> mine_;
};

/// What is known about a run's checks on a device.
struct ProofStatus {
  enum class State : uint8_t { proven, untried, failed } state = State::untried;
  std::string date;                 ///< proven: of the oldest result
  std::vector<std::string> failed;  ///< names
  /// "proven here (2026-12-01)", "not yet tried", "failed: gemm.wgrad.mxfp8-e4m3.odd".
  std::string str() const;
};
ProofStatus status_of(const Checks& checks, const Proofs& proofs);

/// Runs the checks that this device has not passed yet and remembers how they went; returns how many ran. Throws InputError, with each that
/// failed, its difference and the way around it.
size_t require_proof(const Checks& checks, Backend& backend, Proofs& proofs);

}  // namespace mbt::selftest
