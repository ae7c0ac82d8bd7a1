// Kernels on the emulated device give what CUDA's rules say: coordinates, barriers, shared memory, warp primitives, atomics, vectors.
#include <numeric>

#include "tests/emulation/device_array.h"
#include "tests/emulation/kernels/examples.h"
#include "tests/support/catch.h"

namespace mbt::test::execution_test {

using namespace mbt::cuda;

namespace {

std::vector<int> numbers(int n) {
  std::vector<int> v(static_cast<size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

}  // namespace

TEST_CASE("a kernel without barriers runs every thread once", "[emulation]") {
  const DeviceArray<float> x(std::vector<float>(1000, 3.0F)), y(1000);
  launch_scale(y.data(), x.data(), 0.5F, 1000, nullptr);
  CHECK(y.values() == std::vector<float>(1000, 1.5F));
}

TEST_CASE("an empty grid is not launched", "[emulation]") { CHECK_NOTHROW(launch_scale(nullptr, nullptr, 1.0F, 0, nullptr)); }

TEST_CASE("three-dimensional grids and blocks count x first", "[emulation]") {
  const DeviceArray<uint32_t> codes(2 * 3 * 2 * 4 * 2 * 3);
  launch_coordinates(codes.data(), {2, 3, 2}, {4, 2, 3});
  const auto values = codes.values();
  size_t at = 0;
  bool same = true;
  for (uint32_t block = 0; block < 12; ++block) {
    for (uint32_t thread = 0; thread < 24; ++thread) {
      const uint32_t want = thread % 4 | thread / 4 % 2 << 4 | thread / 8 << 8 | block % 2 << 12 | block / 2 % 3 << 16 | block / 6 << 20;
      same = same && values[at++] == want;
    }
  }
  CHECK(same);
}

TEST_CASE("threads exchange data through shared memory across a barrier", "[emulation]") {
  const DeviceArray<int> x(numbers(512)), y(512);
  launch_reverse(y.data(), x.data(), 512);
  const auto values = y.values();
  for (int i = 0; i < 512; ++i) REQUIRE(values[static_cast<size_t>(i)] == i / 256 * 256 + 255 - i % 256);
}

TEST_CASE("a block sums with shuffles, shared memory and a barrier, and warps may end early", "[emulation]") {
  const int threads = GENERATE(32, 64, 256, 1024);
  std::vector<float> ones(5000);
  for (size_t i = 0; i < ones.size(); ++i) ones[i] = static_cast<float>(i % 7);
  const DeviceArray<float> x(ones), sums(4);
  launch_block_sum(sums.data(), x.data(), 5000, threads);
  const auto parts = sums.values();
  CHECK(std::accumulate(parts.begin(), parts.end(), 0.0F) == std::accumulate(ones.begin(), ones.end(), 0.0F));
}

TEST_CASE("a warp makes prefix sums with shuffles", "[emulation]") {
  const DeviceArray<int> x(numbers(32)), y(32);
  launch_prefix_sum(y.data(), x.data());
  const auto values = y.values();
  for (int i = 0; i < 32; ++i) CHECK(values[static_cast<size_t>(i)] == i * (i + 1) / 2);
}

TEST_CASE("votes, matches, reductions and shuffles within segments", "[emulation]") {
  std::vector<int> host(32);
  for (int i = 0; i < 32; ++i) host[static_cast<size_t>(i)] = i * i % 10;
  const DeviceArray<int> x(host);
  const DeviceArray<uint32_t> out(32 * 8);
  launch_votes(out.data(), x.data());
  const auto values = out.values();
  uint32_t odd = 0, sum = 0;
  for (uint32_t i = 0; i < 32; ++i) {
    odd |= (static_cast<uint32_t>(host[i]) & 1) << i;
    sum += static_cast<uint32_t>(host[i]);
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t same = 0;
    for (uint32_t i = 0; i < 32; ++i) same |= (host[i] == host[lane] ? 1U : 0U) << i;
    const uint32_t down = lane % 16 + 2 > 15 ? lane : lane + 2;
    const std::vector<uint32_t> want{
        odd, 0, 1, same, 9, sum, static_cast<uint32_t>(host[lane / 8 * 8 + 3]), static_cast<uint32_t>(host[down])};
    CHECK(std::vector<uint32_t>(values.begin() + lane * 8, values.begin() + lane * 8 + 8) == want);
  }
}

TEST_CASE("the halves of a warp go their own ways and meet again", "[emulation]") {
  const DeviceArray<int> x(std::vector<int>(32, 1)), out(32);
  launch_half_warps(out.data(), x.data());
  const auto values = out.values();
  CHECK(values[0] == 8);
  CHECK(values[31] == 32);
}

TEST_CASE("atomics count in shared and device memory", "[emulation]") {
  std::vector<uint8_t> host(1000);
  std::vector<unsigned> want(256, 0);
  for (size_t i = 0; i < host.size(); ++i) ++want[host[i] = static_cast<uint8_t>(i * i)];
  const DeviceArray<uint8_t> x(host);
  const DeviceArray<unsigned> bins(std::vector<unsigned>(256, 0));
  launch_histogram(bins.data(), x.data(), 1000);
  CHECK(bins.values() == want);
}

TEST_CASE("atomic operations of each kind", "[emulation]") {
  const DeviceArray<unsigned> out(std::vector<unsigned>{0, 99, 0, 0, 0, 0});
  const DeviceArray<unsigned long long> wide(std::vector<unsigned long long>{0});
  const DeviceArray<float> sum(std::vector<float>{0});
  launch_atomics(out.data(), wide.data(), sum.data(), 128);
  CHECK(out.values() == std::vector<unsigned>{127, 0, 0xFFFFFFFFU, 128 % 10, 7, 256});
  CHECK(wide.values().front() == 128ULL << 33);
  CHECK(sum.values().front() == 32.0F);
}

TEST_CASE("vector types read and write whole elements", "[emulation]") {
  std::vector<float> host(100);
  std::iota(host.begin(), host.end(), 0.5F);
  const DeviceArray<float> x(host), y(100);
  launch_vector_copy(y.data(), x.data(), 100);
  CHECK(y.values() == host);
}

TEST_CASE("barriers that count", "[emulation]") {
  const DeviceArray<int> x(numbers(48)), out(48);
  launch_barrier_votes(out.data(), x.data(), 48);
  CHECK(out.values() == std::vector<int>(48, 110046));
}

}  // namespace mbt::test::execution_test
