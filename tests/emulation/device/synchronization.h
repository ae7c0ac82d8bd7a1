// Built-in variables, barriers, warp primitives. The last parameter is never passed: it is the place of the call, which errors name.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tests/emulation/engine/device.h"

inline constexpr int warpSize = 32;
inline constexpr const uint3& threadIdx = mbt::emulation::here.thread_index;
inline constexpr const uint3& blockIdx = mbt::emulation::here.block_index;
inline constexpr const dim3& blockDim = mbt::emulation::here.block_size;
inline constexpr const dim3& gridDim = mbt::emulation::here.grid_size;

inline void __threadfence() {}  // what a thread writes is there at once
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// -- block -------------------------------------------------------------------------------------------------------------------------------

inline void __syncthreads(mbt::emulation::Site site = mbt::emulation::Site::here()) {
  mbt::emulation::block_barrier(false, "__syncthreads", site);
}
inline int __syncthreads_count(int predicate, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  return mbt::emulation::block_barrier(predicate != 0, "__syncthreads_count", site).count;
}
inline int __syncthreads_or(int predicate, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  return mbt::emulation::block_barrier(predicate != 0, "__syncthreads_or", site).count > 0 ? 1 : 0;
}
inline int __syncthreads_and(int predicate, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  const auto result = mbt::emulation::block_barrier(predicate != 0, "__syncthreads_and", site);
  return result.count == result.threads ? 1 : 0;
}

// -- warp: order and votes ---------------------------------------------------------------------------------------------------------------

/// The smallest answer that CUDA permits: which lanes run together is the hardware's business, and code may not depend on it.
inline unsigned __activemask() { return 1U << mbt::emulation::here.lane; }

inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  mbt::emulation::warp_collective(mask, nullptr, nullptr, "__syncwarp", site);
}

namespace mbt::emulation {

template <class T>
struct LaneValue {
  T value;
  T result;
};

/// Every lane of the mask gets combine(values of all lanes of the mask, in the order of lanes).
template <class T, T (*Combine)(T, T)>
T warp_reduce(unsigned mask, T value, const char* call, Site site) {
  LaneValue<T> own{value, value};
  const WarpFinish finish = [](const Lanes& lanes) {
    bool first = true;
    T sum{};
    for (int lane = 0; lane < 32; ++lane) {
      if (!lanes.has(lane)) continue;
      const T next = lanes.at<LaneValue<T>>(lane).value;
      sum = first ? next : Combine(sum, next);
      first = false;
    }
    for (int lane = 0; lane < 32; ++lane) {
      if (lanes.has(lane)) lanes.at<LaneValue<T>>(lane).result = sum;
    }
  };
  warp_collective(mask, &own, finish, call, site);
  return own.result;
}

template <class T>
T add_of(T a, T b) {
  return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) + static_cast<std::make_unsigned_t<T>>(b));
}
template <class T>
T min_of(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max_of(T a, T b) {
  return a < b ? b : a;
}
template <class T>
T and_of(T a, T b) {
  return a & b;
}
template <class T>
T or_of(T a, T b) {
  return a | b;
}
template <class T>
T xor_of(T a, T b) {
  return a ^ b;
}

inline unsigned ballot(unsigned mask, bool predicate, const char* call, Site site) {
  return warp_reduce<unsigned, or_of<unsigned>>(mask, predicate ? 1U << here.lane : 0U, call, site);
}

template <class T>
unsigned warp_match(unsigned mask, T value, const char* call, Site site) {
  struct Match {
    T value;
    unsigned same;
  } own{value, 0};
  const WarpFinish finish = [](const Lanes& lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int other = 0; other < 32 && lanes.has(lane); ++other) {
        if (lanes.has(other) && lanes.at<Match>(lane).value == lanes.at<Match>(other).value) lanes.at<Match>(lane).same |= 1U << other;
      }
    }
  };
  warp_collective(mask, &own, finish, call, site);
  return own.same;
}

/// The value of lane `source`, which must be in the mask.
template <class T>
T shuffle(unsigned mask, T value, int source, const char* call, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "CUDA shuffles 32- and 64-bit numbers");
  struct Shuffle {
    T value, result;
    int source;
    const char* call;
    Site site;
  } own{value, value, source, call, site};
  const WarpFinish finish = [](const Lanes& lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      if (!lanes.has(lane)) continue;
      Shuffle& reader = lanes.at<Shuffle>(lane);
      if (!lanes.has(reader.source)) {
        fail_lane(lane, reader.site,
                  std::string(reader.call) + ": lane " + std::to_string(lane) + " reads from lane " + std::to_string(reader.source) +
                      ", which is not in the mask");
      }
      reader.result = lanes.at<Shuffle>(reader.source).value;
    }
  };
  warp_collective(mask, &own, finish, call, site);
  return own.result;
}

/// First lane of the caller's segment of `width` lanes (a power of two up to 32).
inline int segment(int width, const char* call, Site site) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    fail_here(site, std::string(call) + ": the width is not a power of two up to 32");
  return static_cast<int>(here.lane) & ~(width - 1);
}

}  // namespace mbt::emulation

inline unsigned __ballot_sync(unsigned mask, int predicate, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  return mbt::emulation::ballot(mask, predicate != 0, "__ballot_sync", site);
}
inline int __any_sync(unsigned mask, int predicate, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  return mbt::emulation::ballot(mask, predicate != 0, "__any_sync", site) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  return mbt::emulation::ballot(mask, predicate != 0, "__all_sync", site) == mask ? 1 : 0;
}

template <class T>
unsigned __match_any_sync(unsigned mask, T value, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  return mbt::emulation::warp_match(mask, value, "__match_any_sync", site);
}
template <class T>
unsigned __match_all_sync(unsigned mask, T value, int* predicate, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  *predicate = mbt::emulation::warp_match(mask, value, "__match_all_sync", site) == mask ? 1 : 0;
  return *predicate != 0 ? mask : 0U;
}

#define MBT_WARP_REDUCE(T, name)                                                                                       \
  inline T __reduce_##name##_sync(unsigned mask, T value, mbt::emulation::Site site = mbt::emulation::Site::here()) {  \
    return mbt::emulation::warp_reduce<T, mbt::emulation::name##_of<T>>(mask, value, "__reduce_" #name "_sync", site); \
  }
MBT_WARP_REDUCE(int, add)
MBT_WARP_REDUCE(unsigned, add)
MBT_WARP_REDUCE(int, min)
MBT_WARP_REDUCE(unsigned, min)
MBT_WARP_REDUCE(int, max)
MBT_WARP_REDUCE(unsigned, max)
MBT_WARP_REDUCE(unsigned, and)
MBT_WARP_REDUCE(unsigned, or)
MBT_WARP_REDUCE(unsigned, xor)
#undef MBT_WARP_REDUCE

// -- warp: shuffles ----------------------------------------------------------------------------------------------------------------------

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  const int first = mbt::emulation::segment(width, "__shfl_sync", site);
  return mbt::emulation::shuffle(mask, value, first + (source & (width - 1)), "__shfl_sync", site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  const int first = mbt::emulation::segment(width, "__shfl_up_sync", site), lane = static_cast<int>(mbt::emulation::here.lane);
  const int source = lane - static_cast<int>(delta & 31);
  return mbt::emulation::shuffle(mask, value, source < first ? lane : source, "__shfl_up_sync", site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  const int first = mbt::emulation::segment(width, "__shfl_down_sync", site), lane = static_cast<int>(mbt::emulation::here.lane);
  const int source = lane + static_cast<int>(delta & 31);
  return mbt::emulation::shuffle(mask, value, source >= first + width ? lane : source, "__shfl_down_sync", site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, mbt::emulation::Site site = mbt::emulation::Site::here()) {
  const int first = mbt::emulation::segment(width, "__shfl_xor_sync", site), lane = static_cast<int>(mbt::emulation::here.lane);
  const int source = lane ^ (lane_mask & 31);
  return mbt::emulation::shuffle(mask, value, source >= first + width ? lane : source, "__shfl_xor_sync", site);
}
