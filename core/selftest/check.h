// One check of the self-test: a function of the backend under test that returns how far its result is from a plain reference.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/backend/backend.h"

namespace mbt::selftest {

/// The largest difference that a check has found, and what is allowed at that place. NaN is never within.
struct Outcome {
  double difference = 0, allowed = 0;
  std::string unit = "absolute";  ///< of both: "absolute" (at the worst element), "relative L2", "bytes"
  std::string note = {};          ///< what else there is to say: where, or that the device refuses such a call and says so

  bool is_within() const { return difference <= allowed; }
  /// In units of what is allowed.
  double ratio() const { return difference == 0 ? 0 : allowed > 0 && difference < INFINITY ? difference / allowed : INFINITY; }
  /// Becomes `other` where that is further off.
  void join(const Outcome& other) {
    if (other.ratio() >= ratio()) *this = other;
  }
};

/// The allowances that several checks share: Check::allowance.
inline constexpr const char* kBits = "none: codes, scales and copies are defined bit for bit";
inline constexpr const char* kRounding = "one rounding to the output's dtype and the op's fp32 arithmetic (core/reference/tolerance.h)";

/// Ways around a path that failed: Check::way_around.
inline constexpr const char* kOtherRecipe = "--mixed-precision bf16_mixed (or another recipe whose checks pass)";
inline constexpr const char* kOtherDevice = "--device cpu, or another driver, library or GPU";

struct Check {
  std::string name;        ///< "gemm.wgrad.mxfp8-e4m3.odd": stays the same from run to run, for results that are remembered
  std::string compared;    ///< what with what
  std::string allowance;   ///< where the allowed difference comes from
  std::string way_around;  ///< what a run can do without this path
  std::function<Outcome(Backend&)> run;
};
using Checks = std::vector<Check>;

struct CheckResult {
  std::string name, compared, allowance, way_around;
  Outcome outcome;
  std::string error;  ///< the check could not be run to its end; empty: it could
  double seconds = 0;
  bool has_passed() const { return error.empty() && outcome.is_within(); }
};

/// Runs one check; what it throws becomes CheckResult::error.
CheckResult run_check(const Check& check, Backend& backend);
bool all_passed(const std::vector<CheckResult>& results);

}  // namespace mbt::selftest
