// What collectives must give, for any implementation of them: each function makes a call on every rank and throws Error where the result
// differs from the contract of core/comm/collectives.h by a bit. Tensors lie in test_memory(). No Catch2: ranks are threads or processes.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "core/comm/collectives.h"
#include "tests/support/guarded_tensor.h"

namespace mbt::test {

inline void expect(bool holds, const std::string& what) {
  if (!holds) throw Error(what);
}

/// Collectives, and how to wait until the ops that follow wait() are done.
struct Tested {
  Collectives& collectives;
  std::function<void()> finish = [] {};
  /// Sums of 16-bit types without with_f32_sums are rounded after each addition and after the factor, as a library's may be.
  bool rounds_each_addition = false;
};

struct ReduceScatterCase {
  DType dtype;
  int64_t n;  // of a rank
  float factor = 1.0f;
  bool with_f32_sums = false;
  bool is_in_place = false;

  std::string str() const {
    return fmt::format("reduce_scatter of {} {} a rank, factor {}{}{}", n, name_of(dtype), factor, with_f32_sums ? ", f32 sums" : "",
                       is_in_place ? ", in place" : "");
  }
};

/// A number that looks random, the same for the same place.
inline uint32_t random_at(int64_t rank, int64_t i) {
  uint64_t x = (static_cast<uint64_t>(rank) << 40 ^ static_cast<uint64_t>(i)) + 0x9E3779B97F4A7C15U;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
  x = (x ^ x >> 27) * 0x94D049BB133111EBU;
  return static_cast<uint32_t>(x >> 32);
}
/// Of either sign, in some binades around 1.
inline double value_at(int64_t rank, int64_t i) {
  const uint32_t bits = random_at(rank, i);
  return (static_cast<double>(bits) - 0x1p31) * 0x1p-31 * static_cast<double>(1U << bits % 5);
}

/// What `rank` gives, on whichever rank it is asked.
inline GuardedTensor given_by(int rank, DType dtype, int64_t n) {
  GuardedTensor t(dtype, {n});
  t.fill([&](int64_t i) { return value_at(rank, i); });
  return t;
}

inline double sum_of(const std::vector<GuardedTensor>& parts, int64_t i, float factor, DType dtype, bool rounds_each_addition) {
  float sum = static_cast<float>(parts[0].at(i));
  for (size_t r = 1; r < parts.size(); ++r) {
    sum += static_cast<float>(parts[r].at(i));
    if (rounds_each_addition) sum = static_cast<float>(round_to(dtype, static_cast<double>(sum)));
  }
  return static_cast<double>(sum * factor);  // in f32; rounded where it is stored
}

inline void check_reduce_scatter(const Tested& tested, const ReduceScatterCase& c) {
  Collectives& collectives = tested.collectives;
  const int64_t ranks = collectives.ranks(), rank = collectives.rank();
  std::vector<GuardedTensor> parts;
  for (int r = 0; r < ranks; ++r) parts.push_back(given_by(r, c.dtype, ranks * c.n));
  GuardedTensor in = parts[static_cast<size_t>(rank)], out(c.dtype, {c.n}), want(c.dtype, {c.n});
  const bool rounds = tested.rounds_each_addition && !c.with_f32_sums;
  want.fill([&](int64_t i) { return sum_of(parts, rank * c.n + i, c.factor, c.dtype, rounds); });

  const TensorView own(in.view().as<char>() + rank * c.n * size_of(c.dtype), c.dtype, {c.n});
  const TensorView result = c.is_in_place ? own : out.view();
  collectives.wait(collectives.reduce_scatter({.in = in, .out = result, .factor = c.factor, .with_f32_sums = c.with_f32_sums}));
  tested.finish();
  if (c.is_in_place) std::memcpy(out.view().data, own.data, static_cast<size_t>(own.size_bytes()));
  for (int64_t i = 0; i < c.n; ++i)
    expect(out.at(i) == want.at(i), fmt::format("{}: [{}] is {}, expected {}", c.str(), i, out.at(i), want.at(i)));
  expect(out.guards_intact() && in.guards_intact(), c.str() + ": wrote beside its tensors");
}

/// `T` only gives bytes a size: what travels are patterns of bits.
template <class T>
void check_all_gather(const Tested& tested, DType dtype, int64_t n, bool is_in_place) {
  using Elements = std::vector<T, TestAllocator<T>>;
  Collectives& collectives = tested.collectives;
  const int64_t ranks = collectives.ranks(), rank = collectives.rank();
  const auto element = [&](int64_t r, int64_t i) { return static_cast<T>(r * 7919 + i * 31 + 5); };
  const auto guarded = static_cast<size_t>(ranks * n + 2);
  Elements in(static_cast<size_t>(n)), out(guarded, T{99});
  const TensorView result(out.data() + 1, dtype, {ranks * n});
  T* const own = is_in_place ? out.data() + 1 + rank * n : in.data();
  for (int64_t i = 0; i < n; ++i) own[i] = element(rank, i);

  collectives.wait(collectives.all_gather({.in = ConstTensorView(own, dtype, {n}), .out = result}));
  tested.finish();
  for (int64_t r = 0; r < ranks; ++r)
    for (int64_t i = 0; i < n; ++i)
      expect(out[static_cast<size_t>(1 + r * n + i)] == element(r, i),
             fmt::format("all_gather of {} {}{}: [{}][{}] is not rank {}'s", n, name_of(dtype), is_in_place ? ", in place" : "", r, i, r));
  expect(out.front() == T{99} && out.back() == T{99}, "all_gather: wrote beside its tensor");
}

/// In the order of ranks; a maximum passes over NaN, of which T = float and double get some.
template <class T>
void check_all_reduce(const Tested& tested, DType dtype, int64_t n, ReduceOp op) {
  Collectives& collectives = tested.collectives;
  const int ranks = collectives.ranks();
  const auto element = [&](int r, int64_t i) {
    if constexpr (std::is_integral_v<T>) return static_cast<T>(random_at(r, i) % 2000001) - 1000000;
    else if (op == ReduceOp::max && (r + i) % 3 == 0) return std::numeric_limits<T>::quiet_NaN();
    else return static_cast<T>(value_at(r, i));
  };
  std::vector<T, TestAllocator<T>> t(static_cast<size_t>(n + 2), T{99});
  for (int64_t i = 0; i < n; ++i) t[static_cast<size_t>(i + 1)] = element(collectives.rank(), i);
  collectives.wait(collectives.all_reduce({.t = TensorView(t.data() + 1, dtype, {n}), .op = op}));
  tested.finish();
  for (int64_t i = 0; i < n; ++i) {
    T want = element(0, i);
    for (int r = 1; r < ranks; ++r) {
      const T other = element(r, i);
      if (op == ReduceOp::sum) want = static_cast<T>(want + other);
      else if (!(want >= other) && other == other) want = other;
    }
    const T got = t[static_cast<size_t>(i + 1)];
    expect(got == want || (got != got && want != want),
           fmt::format("all_reduce of {} {}: [{}] is {}, expected {}", n, name_of(dtype), i, got, want));
  }
  expect(t.front() == T{99} && t.back() == T{99}, "all_reduce: wrote beside its tensor");
}

/// All of them with `n` elements a rank.
inline void check_collectives(const Tested& tested, int64_t n) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (float factor : {1.0f, 1.0f / 3})
      for (bool with_f32_sums : {false, true})
        for (bool is_in_place : {false, true}) check_reduce_scatter(tested, {dtype, n, factor, with_f32_sums, is_in_place});
  for (bool is_in_place : {false, true}) {
    check_all_gather<uint8_t>(tested, DType::u8, n, is_in_place);
    check_all_gather<uint16_t>(tested, DType::bf16, n, is_in_place);
    check_all_gather<uint32_t>(tested, DType::f32, n, is_in_place);
    check_all_gather<uint64_t>(tested, DType::f64, n, is_in_place);
  }
  for (ReduceOp op : {ReduceOp::sum, ReduceOp::max}) {
    check_all_reduce<float>(tested, DType::f32, n, op);
    check_all_reduce<double>(tested, DType::f64, n, op);
    check_all_reduce<int32_t>(tested, DType::i32, n, op);
  }
}

}  // namespace mbt::test
