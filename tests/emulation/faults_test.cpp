// Every kind of fault that the emulated device promises to notice, planted once; the message must say what and where.
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "tests/emulation/device_array.h"
#include "tests/emulation/engine/sanitizer.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/kernels/examples.h"
#include "tests/emulation/kernels/faults.h"
#include "tests/support/catch.h"

namespace mbt::test::faults_test {

using namespace mbt::cuda;

namespace {

std::vector<float> inputs() {
  std::vector<float> v(64);
  for (size_t i = 0; i < v.size(); ++i) v[i] = 1.0F / static_cast<float>(i + 3);
  return v;
}

/// The message of the error that the faulty kernel ends in; afterwards a sound kernel must run.
std::string message_of(const std::string& fault) {
  const DeviceArray<float> out(std::vector<float>(64, 0.0F)), in(inputs());
  std::string message = "no error";
  try {
    launch_fault(fault, out.data(), in.data());
  } catch (const Error& error) {
    message = error.what();
  }
  launch_scale(out.data(), in.data(), 1.0F, 64, nullptr);
  CHECK(out.values() == inputs());
  return message;
}

/// What the process writes to stderr before a sanitizer ends it.
std::string report_of(const std::string& fault) {
  const DeviceArray<float> out(std::vector<float>(64, 0.0F)), in(inputs());
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    try {
      launch_fault(fault, out.data(), in.data());
    } catch (const std::exception& error) {
      static_cast<void>(!write(STDERR_FILENO, error.what(), std::strlen(error.what())));
    }
    _exit(0);
  }
  close(ends[1]);
  std::string report;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;) report.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return report;
}

bool holds(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (message.find(part) == std::string::npos) {
      UNSCOPED_INFO("'" << part << "' is not in: " << message);
      return false;
    }
  }
  return true;
}

const char* const kOrder = "depend on the order of threads or blocks, or on memory that was not written";

}  // namespace

TEST_CASE("accesses outside of memory", "[faults]") {
  if (emulation::kAddressSanitizer) {
    CHECK(holds(report_of("write_beyond"), {"AddressSanitizer: heap-buffer-overflow", "WRITE of size 4", "write_beyond"}));
    CHECK(holds(report_of("write_before"), {"AddressSanitizer: heap-buffer-overflow", "WRITE of size 4", "write_before"}));
    CHECK(holds(report_of("read_beyond"), {"AddressSanitizer: heap-buffer-overflow", "READ of size 4", "read_beyond"}));
    CHECK(holds(report_of("write_beyond_shared"), {"AddressSanitizer: heap-buffer-overflow", "WRITE of size 4", "write_beyond_shared"}));
  } else {
    CHECK(holds(message_of("write_beyond"),
                {"kernel 'write_beyond' wrote outside of memory: byte 264 of device allocation #", "of 256 bytes"}));
    CHECK(holds(message_of("write_before"), {"kernel 'write_before' wrote outside of memory: byte -8 of device allocation #"}));
    CHECK(holds(message_of("read_beyond"),
                {"kernel 'read_beyond'", kOrder, "a read out of bounds", "holds at byte 252 0xffffffff", "0x5a5a5a5a"}));
    CHECK(holds(message_of("write_beyond_shared"), {"'write_beyond_shared', block (0,0,0) wrote beyond its 256 bytes of shared memory"}));
  }
}

#if defined(MBT_UNDEFINED_SANITIZER)
TEST_CASE("a vector read at an address that the hardware would refuse", "[faults]") {
  CHECK(holds(report_of("read_misaligned_vector"), {"faults.cu:", "misaligned address", "float4"}));
}
#endif

TEST_CASE("shared memory: read before written, more than the launch asked for", "[faults]") {
  CHECK(holds(message_of("read_unwritten_shared"), {kOrder, "holds at byte 28 0xffffffff (as float", "0x5a5a5a5a"}));
  CHECK(holds(message_of("use_too_much_shared"),
              {"block (0,0,0), thread (0,0,0), ", "faults.cu:", "uses 400 bytes of shared memory; the launch asked for 256"}));
}

TEST_CASE("missing barriers", "[faults]") {
  CHECK(holds(message_of("miss_barrier"), {"kernel 'miss_barrier'", kOrder}));
  CHECK(holds(message_of("miss_second_barrier"), {"kernel 'miss_second_barrier'", kOrder}));
  CHECK(holds(message_of("miss_barrier_between_warps"), {"kernel 'miss_barrier_between_warps'", kOrder}));
  CHECK(holds(message_of("miss_syncwarp"), {"kernel 'miss_syncwarp'", kOrder}));
}

TEST_CASE("results that depend on the order of threads or blocks", "[faults]") {
  CHECK(holds(message_of("sum_in_any_order"), {"kernel 'sum_in_any_order'", kOrder, "holds at byte 0 "}));
  CHECK(holds(message_of("order_of_blocks"), {"kernel 'order_of_blocks'", kOrder}));
  const emulation::RunOnce once;
  CHECK(message_of("sum_in_any_order") == "no error");
}

TEST_CASE("asynchronous copies that are not waited for", "[faults]") {
  CHECK(holds(message_of("miss_copy_wait"), {"kernel 'miss_copy_wait'", kOrder, "0xffffffff"}));
  CHECK(holds(message_of("wait_for_too_few_copies"), {"kernel 'wait_for_too_few_copies'", kOrder, "0xffffffff"}));
  CHECK(holds(message_of("copy_to_odd_address"), {"faults.cu:", "cp.async: shared memory at offset 4 is not aligned to 16 bytes"}));
}

TEST_CASE("barriers in divergent code", "[faults]") {
  CHECK(holds(message_of("divergent_barriers"),
              {"thread (32,0,0), ", "faults.cu:", "__syncthreads in divergent code: thread (0,0,0) waits in __syncthreads at "}));
  CHECK(holds(message_of("end_before_barrier"),
              {"faults.cu:", "__syncthreads in divergent code: 1 of the block's 64 threads never come; thread (5,0,0) has ended"}));
  CHECK(holds(message_of("barrier_against_shuffle"),
              {"__shfl_sync would hang: the mask 0xffffffff names lane 3, which waits in __syncthreads at ", "faults.cu:"}));
}

TEST_CASE("warp primitives with a wrong mask", "[faults]") {
  CHECK(holds(message_of("caller_not_in_mask"),
              {"thread (16,0,0), ", "faults.cu:", "__ballot_sync: the mask 0x0000ffff does not name the calling lane 16"}));
  CHECK(holds(message_of("masks_differ"), {"thread (2,0,0), ", "__shfl_xor_sync: the mask 0xffffffff names lane 0, which has ended"}));
  CHECK(holds(message_of("masks_differ_while_waiting"),
              {"would hang: the mask 0x00000007 names lane 1, which waits in __shfl_xor_sync with the mask 0x00000003 at "}));
  CHECK(holds(message_of("lane_has_ended"), {"the mask 0xffffffff names lane 8, which has ended"}));
  CHECK(
      holds(message_of("lane_waits_elsewhere"),
            {"__shfl_xor_sync would hang: the mask 0xffffffff names lane 1, which waits in __shfl_xor_sync with the mask 0xffffffff at "}));
  CHECK(holds(message_of("read_lane_outside_mask"),
              {"thread (0,0,0), ", "__shfl_sync: lane 0 reads from lane 20, which is not in the mask"}));
  CHECK(holds(message_of("read_row_outside_shared"), {"ldmatrix: the address is not in shared memory"}));
}

TEST_CASE("an exception in one thread unwinds the others and ends the launch", "[faults]") {
  struct Alive {
    explicit Alive(int* n) : count(n) { ++*count; }
    Alive(const Alive&) = delete;
    Alive& operator=(const Alive&) = delete;
    ~Alive() { --*count; }
    int* count;
  };
  static int alive = 0;
  const auto kernel = +[](int bad) {
    const Alive here(&alive);
    if (static_cast<int>(threadIdx.x) == bad) throw std::out_of_range("planted");
    if (bad < 0) throw bad;
    __syncthreads();
  };
  CHECK_THROWS_WITH(launch("throwing", kernel, {1, 64}, nullptr, -1), ContainsSubstring("thread (0,0,0): an exception of an unknown type"));
  for (int bad : {0, 31, 63}) {
    CHECK_THROWS_WITH(launch("throwing", kernel, {2, 64}, nullptr, bad),
                      ContainsSubstring("kernel 'throwing', block (0,0,0), thread (" + std::to_string(bad) + ",0,0): planted"));
    CHECK(alive == 0);
  }
}

}  // namespace mbt::test::faults_test
