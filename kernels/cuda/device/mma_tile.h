// Products of tiles of 16-bit elements on the tensor cores (mma.m16n8k16), and the tiles' way through shared memory.
//
// A tile is rows of kWidth elements (a multiple of 64) in shared memory. The 16-byte chunk c of row r stands at place c ^ (r % 8) of its
// row, so that the eight rows that an ldmatrix reads lie in different banks. Tiles, and what is named as their part, begin at a row that is
// a multiple of 8. Sums are fp32 fragments: d[m][n] covers rows 16 m .., columns 8 n ..; a lane holds rows row_of(m, 0), row_of(m, 1) and,
// of each, columns column_of(n) and the next.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/reduce.h"

namespace mbt::cuda::tile {

__device__ __forceinline__ int lane_of() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int row_of(int m, int half) { return m * 16 + lane_of() / 4 + half * 8; }
__device__ __forceinline__ int column_of(int n) { return n * 8 + lane_of() % 4 * 2; }

/// Where chunk `chunk` of a row stands, in elements; `row` counts modulo 8.
__device__ __forceinline__ int place_of(int chunk, int row) { return (chunk ^ (row & 7)) * 8; }

/// Two fp32 values in the tile's format, `low` in the lower half.
template <MmaInput kInput>
__device__ __forceinline__ uint32_t pack(float low, float high) {
  return kInput == MmaInput::bf16 ? cvt_rn_bf16x2(low, high) : cvt_rn_f16x2(low, high);
}

/// Begins to copy rows 0 .. kRows of `source` into `tile`; rows from `valid_rows` (1 or more) on become zeros and are not read. By all
/// kThreads threads of the block.
template <int kWidth, int kRows, int kThreads>
__device__ __forceinline__ void begin_load(uint16_t* tile, const uint16_t* source, int stride, int valid_rows) {
  constexpr int kChunks = kWidth / 8, kRowsAtOnce = kThreads / kChunks;
  static_assert(kRowsAtOnce % 8 == 0 && kRows % kRowsAtOnce == 0);  // so a thread's chunks stand at one place of their rows
  const int first = static_cast<int>(threadIdx.x) / kChunks, chunk = static_cast<int>(threadIdx.x) % kChunks;
  tile += first * kWidth + place_of(chunk, first);
  const uint16_t* from = source + first * stride + chunk * 8;
#pragma unroll
  for (int i = 0; i < kRows; i += kRowsAtOnce) {
    const bool valid = first + i < valid_rows;
    cp_async_16_or_zero(tile + i * kWidth, valid ? from : source, valid);
    from += kRowsAtOnce * stride;
  }
}

/// d += a b^T: a [16 kM, kWidth], b [8 kN, kWidth]. kSteps of 16 columns are unrolled: fewer where registers are short.
template <MmaInput kInput, int kWidth, int kSteps = kWidth / 16, int kM, int kN>
__device__ __forceinline__ void multiply_transposed(float (&d)[kM][kN][4], const uint16_t* a, const uint16_t* b) {
  const int lane = lane_of();
  a += lane % 16 * kWidth;
  b += (lane % 8 + lane / 16 * 8) * kWidth;
  const int a_first = place_of(lane / 16, lane), b_first = place_of(lane / 8 % 2, lane);
#pragma unroll kSteps
  for (int k = 0; k < kWidth / 16; ++k) {
    const int a_place = a_first ^ 16 * k, b_place = b_first ^ 16 * k;  // chunk 2 k further
    uint32_t a_part[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) ldmatrix_x4(a_part[m], a + m * 16 * kWidth + a_place);
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t r[4];
      ldmatrix_x4(r, b + n * 8 * kWidth + b_place);
      const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        mma_m16n8k16<kInput>(d[m][n], a_part[m], low);
        mma_m16n8k16<kInput>(d[m][n + 1], a_part[m], high);
      }
    }
  }
}

/// d += x b: x [16 kM, 8 kN] are sums of an earlier product, rounded to 16 bits; b [8 kN, kWidth].
template <MmaInput kInput, int kWidth, int kM, int kN>
__device__ __forceinline__ void multiply(float (&d)[kM][kWidth / 8][4], const float (&x)[kM][kN][4], const uint16_t* b) {
  const int lane = lane_of();
  b += lane % 16 * kWidth;
  const int first = place_of(lane / 16, lane);
#pragma unroll
  for (int k = 0; k < kN / 2; ++k) {
    uint32_t a[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) a[m][i] = pack<kInput>(x[m][2 * k + i / 2][i % 2 * 2], x[m][2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
    for (int n = 0; n < kWidth / 8; n += 2) {
      uint32_t r[4];
      ldmatrix_x4_trans(r, b + k * 16 * kWidth + (first ^ 8 * n));
      const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        mma_m16n8k16<kInput>(d[m][n], a[m], low);
        mma_m16n8k16<kInput>(d[m][n + 1], a[m], high);
      }
    }
  }
}

/// Rounds a warp's sums, times a factor per row, and writes rows 0 .. valid_rows to `out` 16 bytes at a time, by way of `tile`
/// [16 kM, kWidth], which no other warp may use. also(8 elements as they are stored, their offset from `out`) sees each of them once.
template <MmaInput kInput, int kWidth, int kM, class Also>
__device__ __forceinline__ void store_rows(uint16_t* tile, const float (&d)[kM][kWidth / 8][4], const float (&factor)[kM][2], uint16_t* out,
                                           int stride, int valid_rows, const Also& also) {
  constexpr int kChunks = kWidth / 8;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) {
        uint16_t* const to = tile + row_of(m, half) * kWidth + place_of(n, lane_of() / 4) + column_of(0);
        *reinterpret_cast<uint32_t*>(to) = pack<kInput>(d[m][n][2 * half] * factor[m][half], d[m][n][2 * half + 1] * factor[m][half]);
      }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kM * 16 * kChunks; i += kWarp) {
    const int row = (i + lane_of()) / kChunks, chunk = (i + lane_of()) % kChunks;
    if (row < valid_rows) {
      const uint4 bytes = *reinterpret_cast<const uint4*>(tile + row * kWidth + place_of(chunk, row));
      const int64_t offset = static_cast<int64_t>(row) * stride + chunk * 8;
      *reinterpret_cast<uint4*>(out + offset) = bytes;
      also(bytes, offset);
    }
  }
}

}  // namespace mbt::cuda::tile
