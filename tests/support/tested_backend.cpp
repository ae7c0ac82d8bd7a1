// The backend that op tests run on: the CPU's. The parity suite links tests/parity/device_backend.cpp in its place.
#include <map>

#include "tests/support/op_cases.h"

namespace mbt::test {

Backend& tested_backend(int threads) {
  static std::map<int, std::unique_ptr<Backend>> made;
  std::unique_ptr<Backend>& cpu = made[threads];
  if (!cpu) cpu = make_backend("cpu", threads);
  return *cpu;
}

Backend& backend() { return tested_backend(0); }

}  // namespace mbt::test
