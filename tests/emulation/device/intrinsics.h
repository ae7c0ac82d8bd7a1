// CUDA's device functions on numbers and bits. The _rn ones round as their names say, since a build for the emulated device never
// contracts; the __fast ones are exact here, where the hardware's are approximate: compare with a tolerance.
#pragma once

#include <math.h>

#include <bit>
#include <cstdint>
#include <cstdlib>

// -- bits --------------------------------------------------------------------------------------------------------------------------------

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1) << (31 - bit);
  return reversed;
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned choice = selector >> (4 * i) & 0xF;
    const unsigned byte = static_cast<unsigned>(bytes >> (8 * (choice & 7))) & 0xFF;
    result |= ((choice & 8) == 0 ? byte : (byte & 0x80) != 0 ? 0xFFU : 0U) << (8 * i);
  }
  return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(uint64_t{x} * y >> 32); }
inline int __mulhi(int x, int y) { return static_cast<int>(int64_t{x} * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(static_cast<Wide>(x) * y >> 64);
}

// -- fp32 arithmetic ---------------------------------------------------------------------------------------------------------------------

inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0F ? (x < 1.0F ? x : 1.0F) : 0.0F; }  // NaN gives 0
inline float rsqrtf(float x) { return static_cast<float>(1.0 / sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.0F, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline void __sincosf(float x, float* sine, float* cosine) {
  *sine = sinf(x);
  *cosine = cosf(x);
}

// -- conversions: out of range saturates, NaN gives 0
// ---------------------------------------------------------------------------------------

namespace mbt::emulation {

template <class Integer>
Integer to_integer(double rounded) {
  if (rounded != rounded) return 0;
  constexpr Integer low = static_cast<Integer>(Integer(-1) < 0 ? Integer(1) << (8 * sizeof(Integer) - 1) : 0),
                    high = static_cast<Integer>(~low);
  if (rounded <= static_cast<double>(low)) return low;
  return rounded >= static_cast<double>(high) ? high : static_cast<Integer>(rounded);
}

}  // namespace mbt::emulation

inline int __float2int_rn(float x) { return mbt::emulation::to_integer<int>(nearbyintf(x)); }
inline int __float2int_rz(float x) { return mbt::emulation::to_integer<int>(truncf(x)); }
inline int __float2int_rd(float x) { return mbt::emulation::to_integer<int>(floorf(x)); }
inline int __float2int_ru(float x) { return mbt::emulation::to_integer<int>(ceilf(x)); }
inline unsigned __float2uint_rn(float x) { return mbt::emulation::to_integer<unsigned>(nearbyintf(x)); }
inline unsigned __float2uint_rz(float x) { return mbt::emulation::to_integer<unsigned>(truncf(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }

// -- smallest and largest ----------------------------------------------------------------------------------------------------------------

#define MBT_MIN_MAX(T)                                \
  constexpr T min(T x, T y) { return y < x ? y : x; } \
  constexpr T max(T x, T y) { return x < y ? y : x; }
MBT_MIN_MAX(int)
MBT_MIN_MAX(unsigned)
MBT_MIN_MAX(long)
MBT_MIN_MAX(unsigned long)
MBT_MIN_MAX(long long)
MBT_MIN_MAX(unsigned long long)
#undef MBT_MIN_MAX
constexpr unsigned min(int x, unsigned y) { return min(static_cast<unsigned>(x), y); }
constexpr unsigned min(unsigned x, int y) { return min(x, static_cast<unsigned>(y)); }
constexpr unsigned max(int x, unsigned y) { return max(static_cast<unsigned>(x), y); }
constexpr unsigned max(unsigned x, int y) { return max(x, static_cast<unsigned>(y)); }
inline float min(float x, float y) { return fminf(x, y); }  // the one that is no NaN, as on the device
inline float max(float x, float y) { return fmaxf(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }

// -- loads and stores with hints, and others ---------------------------------------------------------------------------------------------

#define MBT_LOAD(name)       \
  template <class T>         \
  T name(const T* address) { \
    return *address;         \
  }
#define MBT_STORE(name)            \
  template <class T>               \
  void name(T* address, T value) { \
    *address = value;              \
  }
MBT_LOAD(__ldg)
MBT_LOAD(__ldca)
MBT_LOAD(__ldcg)
MBT_LOAD(__ldcs)
MBT_LOAD(__ldlu)
MBT_LOAD(__ldcv)
MBT_STORE(__stwb)
MBT_STORE(__stcg)
MBT_STORE(__stcs)
MBT_STORE(__stwt)
#undef MBT_LOAD
#undef MBT_STORE
[[noreturn]] inline void __trap() { std::abort(); }
inline void __nanosleep(unsigned) {}
