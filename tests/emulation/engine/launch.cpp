#include "tests/emulation/engine/launch.h"

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/base/error.h"
#include "tests/emulation/engine/launch_log.h"
#include "tests/emulation/engine/memory.h"
#include "tests/emulation/engine/sanitizer.h"
#include "tests/emulation/engine/settings.h"

namespace mbt::emulation {
namespace {

// Ones are NaN in every float format and -1 in every integer; the other is a finite float and a large integer. A result that survives both
// does not depend on them.
constexpr Pass kPasses[2] = {{0xFF, false, false}, {0x5A, true, true}};
constexpr size_t kSharedGuardBytes = kAddressSanitizer ? 0 : 1024;
constexpr size_t kSharedAlignment = 1024;  // what the strictest user (TMA with 128-byte swizzle) may count on

/// The block's shared memory: exactly as many bytes as the launch asked for.
class SharedArena {
 public:
  explicit SharedArena(size_t bytes) : bytes_(bytes) {
    void* block = nullptr;
    if (posix_memalign(&block, kSharedAlignment, bytes + kSharedGuardBytes) != 0) throw Error("no memory for the block's shared memory");
    data_ = static_cast<char*>(block);
  }
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;
  ~SharedArena() { std::free(data_); }
  char* data() const { return data_; }
  void fill(unsigned char poison) { std::memset(data_, poison, bytes_ + kSharedGuardBytes); }
  bool is_damaged(unsigned char poison) const {
    for (size_t i = 0; i < kSharedGuardBytes; ++i) {
      if (static_cast<unsigned char>(data_[bytes_ + i]) != poison) return true;
    }
    return false;
  }

 private:
  char* data_ = nullptr;
  size_t bytes_;
};

void run_pass(const Launch& launch, const Pass& pass, SharedArena& shared) {
  memory().fill_guards(pass.poison);
  const size_t columns = launch.grid.x, rows = launch.grid.y, count = columns * rows * launch.grid.z;
  for (size_t n = 0; n < count; ++n) {
    const size_t block = pass.descending ? count - 1 - n : n;
    const uint3 index{static_cast<unsigned>(block % columns), static_cast<unsigned>(block / columns % rows),
                      static_cast<unsigned>(block / columns / rows)};
    shared.fill(pass.poison);
    block_runner().run(launch, index, pass, shared.data());
    if (shared.is_damaged(pass.poison)) {
      throw Error(fmt::format("kernel '{}', block ({},{},{}) wrote beyond its {} bytes of shared memory", launch.name, index.x, index.y,
                              index.z, launch.shared_bytes));
    }
  }
  const std::string damage = memory().guard_damage(pass.poison);
  if (!damage.empty()) throw Error(fmt::format("kernel '{}' wrote outside of memory: {}", launch.name, damage));
}

}  // namespace

Settings& settings() {
  static Settings chosen{std::getenv("MBT_EMULATION_ONCE") == nullptr, size_t{8} << 30, 90, false};
  return chosen;
}

void run(const Launch& launch) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  LaunchLog::note(launch.name);
  SharedArena shared(launch.shared_bytes);
  try {
    if (!settings().run_twice) return run_pass(launch, kPasses[0], shared);
    memory().take_snapshot();
    run_pass(launch, kPasses[0], shared);
    memory().swap_with_snapshot();
    run_pass(launch, kPasses[1], shared);
  } catch (...) {
    memory().fill_guards(kPasses[0].poison);  // the next launch is not to blame for this one's damage
    throw;
  }
  const std::string difference = memory().difference_from_snapshot();
  if (difference.empty()) return;
  throw Error(
      fmt::format("kernel '{}' gives results that depend on the order of threads or blocks, or on memory that was not written (a missing "
                  "barrier, shared memory read too early, a read out of bounds): {}",
                  launch.name, difference));
}

}  // namespace mbt::emulation
