#include "core/selftest/exchanges.h"

#include <algorithm>

#include "core/selftest/device_tensor.h"

namespace mbt::selftest {
namespace {

constexpr int64_t kElements = 4099;  // of a rank
constexpr const char* kSumOrder =
    "one rounding of the magnitudes added for each rank: a library chooses its order, and without f32 sums its precision";
constexpr const char* kAround = "fewer ranks, or --ddp.grad_reduce_in_fp32 true where a sum of 16 bits failed";

/// What `rank` gives, on whichever rank it is asked.
GuardedTensor given_by(int rank, DType dtype, int64_t n) { return normal(dtype, {n}, static_cast<uint32_t>(100 + rank)); }

struct Scatter {
  DType dtype;
  bool with_f32_sums, is_in_place;
};

Outcome run_reduce_scatter(Backend& on, Collectives& c, const Scatter& s) {
  constexpr float kFactor = 1.0F / 3;
  const int ranks = c.ranks();
  const int64_t first = c.rank() * kElements;
  std::vector<GuardedTensor> parts;
  for (int r = 0; r < ranks; ++r) parts.push_back(given_by(r, s.dtype, ranks * kElements));
  const DeviceTensor in(on, parts[static_cast<size_t>(c.rank())]), out(on, zeros(s.dtype, {kElements}));
  const TensorView own = in.view().element_range(first, kElements);
  c.wait(c.reduce_scatter({.in = in, .out = s.is_in_place ? own : out.view(), .factor = kFactor, .with_f32_sums = s.with_f32_sums}));
  on.synchronize();
  const GuardedTensor got = s.is_in_place ? in.read() : out.read();
  Outcome worst;
  for (int64_t i = 0; i < kElements; ++i) {
    double want = 0, magnitude = 0;
    for (const GuardedTensor& p : parts) want += p.at(first + i), magnitude += std::fabs(p.at(first + i));
    const double step = s.with_f32_sums ? 0x1p-24 : ref::unit_of(s.dtype);
    const double x = got.at(s.is_in_place ? first + i : i), scaled = want * double{kFactor};
    const double allowed = ranks * step * magnitude * kFactor + 1.01 * ref::unit_of(s.dtype) * std::fabs(scaled) + 0x1p-25;
    worst.join({std::fabs(x - scaled), allowed, "absolute", fmt::format("element {} is {:g}, expected {:g}", i, x, scaled)});
  }
  if (!got.guards_intact()) worst.join({INFINITY, 0, "bytes", "reduce_scatter wrote outside of its tensors"});
  return worst;
}

template <class T>
Outcome run_all_gather(Backend& on, Collectives& c, DType dtype, bool is_in_place) {
  const auto element = [](int64_t r, int64_t i) { return static_cast<T>(r * 7919 + i * 31 + 5); };
  const int64_t ranks = c.ranks(), first = c.rank() * kElements;
  std::vector<T> mine, want;
  for (int64_t i = 0; i < kElements; ++i) mine.push_back(element(c.rank(), i));
  for (int64_t r = 0; r < ranks; ++r)
    for (int64_t i = 0; i < kElements; ++i) want.push_back(element(r, i));
  std::vector<T> start(want.size());
  if (is_in_place) std::copy(mine.begin(), mine.end(), start.begin() + first);
  const DeviceArray<T> in(on, mine, dtype), out(on, start, dtype);
  c.wait(c.all_gather({.in = is_in_place ? out.view().element_range(first, kElements) : in.view(), .out = out}));
  on.synchronize();
  const std::vector<T> got = out.read();
  const auto bytes = [](const std::vector<T>& v) { return std::span(reinterpret_cast<const uint8_t*>(v.data()), v.size() * sizeof(T)); };
  return compare_bytes(bytes(got), bytes(want), "what was gathered");
}

template <class T>
Outcome run_all_reduce(Backend& on, Collectives& c, DType dtype, ReduceOp op) {
  const auto element = [&](int r, int64_t i) {
    const int64_t x = (r * 7919 + i * 104729) % 2000003 - 1000001;
    if constexpr (std::is_integral_v<T>) return static_cast<T>(x);
    else if (op == ReduceOp::max && (r + i) % 3 == 0 && c.ranks() > 1) return std::numeric_limits<T>::quiet_NaN();
    else return static_cast<T>(x) / static_cast<T>(1024);
  };
  std::vector<T> mine;
  for (int64_t i = 0; i < kElements; ++i) mine.push_back(element(c.rank(), i));
  const DeviceArray<T> t(on, mine, dtype);
  c.wait(c.all_reduce({.t = t, .op = op}));
  on.synchronize();
  const std::vector<T> got = t.read();
  double different = 0;
  for (int64_t i = 0; i < kElements; ++i) {
    T want = element(0, i);  // in the order of ranks
    for (int r = 1; r < c.ranks(); ++r) {
      const T other = element(r, i);
      if (op == ReduceOp::sum) want = static_cast<T>(want + other);
      else if (!(want >= other) && other == other) want = other;
    }
    const T x = got[static_cast<size_t>(i)];
    if (x != want && !(x != x && want != want)) ++different;
  }
  return {different, 0, "elements"};
}

template <class T>
void add_gathers(Checks& checks, Collectives& c, DType dtype) {
  for (const bool is_in_place : {false, true})
    checks.push_back({fmt::format("all_gather.{}{}", name_of(dtype), is_in_place ? ".in_place" : ""),
                      "every rank's elements, with what they gave", kBits, kAround,
                      [&c, dtype, is_in_place](Backend& on) { return run_all_gather<T>(on, c, dtype, is_in_place); }});
}

template <class T>
void add_reduces(Checks& checks, Collectives& c, DType dtype) {
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max})
    checks.push_back({fmt::format("all_reduce.{}.{}", name_of(dtype), op == ReduceOp::sum ? "sum" : "max"),
                      "every rank's elements in the order of ranks, with the same loop on this rank", kBits, kAround,
                      [&c, dtype, op](Backend& on) { return run_all_reduce<T>(on, c, dtype, op); }});
}

}  // namespace

Checks exchange_checks(Collectives& c) {
  Checks checks;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const bool f32_sums : {false, true})
      for (const bool is_in_place : {false, true}) {
        if (f32_sums && dtype == DType::f32) continue;
        checks.push_back({fmt::format("reduce_scatter.{}{}{}", name_of(dtype), f32_sums ? ".f32_sums" : "", is_in_place ? ".in_place" : ""),
                          "this rank's piece of a sum with a factor, with double", kSumOrder, kAround,
                          [&c, dtype, f32_sums, is_in_place](Backend& on) {
                            return run_reduce_scatter(on, c, {dtype, f32_sums, is_in_place});
                          }});
      }
  add_gathers<uint8_t>(checks, c, DType::u8);
  add_gathers<uint16_t>(checks, c, DType::bf16);
  add_gathers<uint16_t>(checks, c, DType::f16);
  add_gathers<uint32_t>(checks, c, DType::f32);
  add_gathers<int32_t>(checks, c, DType::i32);
  add_gathers<uint64_t>(checks, c, DType::f64);
  add_reduces<float>(checks, c, DType::f32);
  add_reduces<double>(checks, c, DType::f64);
  add_reduces<int32_t>(checks, c, DType::i32);
  return checks;
}

}  // namespace mbt::selftest
