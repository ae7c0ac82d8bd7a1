#include "core/selftest/check.h"

#include <algorithm>
#include <chrono>

namespace mbt::selftest {

CheckResult run_check(const Check& check, Backend& backend) {
  const auto start = std::chrono::steady_clock::now();
  CheckResult r{check.name, check.compared, check.allowance, check.way_around, {}, {}};
  try {
    r.outcome = check.run(backend);
  } catch (const std::exception& e) {
    r.error = e.what();
  }
  r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return r;
}

bool all_passed(const std::vector<CheckResult>& results) {
  return std::all_of(results.begin(), results.end(), [](const CheckResult& r) { return r.has_passed(); });
}

}  // namespace mbt::selftest
