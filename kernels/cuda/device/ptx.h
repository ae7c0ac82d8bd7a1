// The instructions that kernels reach only through PTX, as functions. Compute capability 8.0; cvt to and from FP8: 8.9.
//
// Matrix fragments (PTX ISA, mma.m16n8k16): with group = lane / 4 and pair = lane % 4, each register two 16-bit elements, the lower half
// first,
//   A [16,16]: a[0] row group,     columns 2*pair, 2*pair+1      B [16,8]: b[0] rows 2*pair, 2*pair+1, column group
//              a[1] row group + 8, the same columns                        b[1] rows 8 + 2*pair, 9 + 2*pair
//              a[2] row group,     columns 8 + 2*pair, 9 + 2*pair
//              a[3] row group + 8, those                         D [16,8]: d[0], d[1] row group, columns 2*pair, 2*pair+1
//                                                                          d[2], d[3] row group + 8
// ldmatrix reads 8x8 matrices of 16-bit elements from shared memory: lane 8*i + r gives the address of row r of matrix i (16 bytes, aligned
// to 16); the lane gets row lane / 4, columns 2 * (lane % 4) and the next, of each, which is how A and transposed B lie in registers. With
// _trans it gets them of the transposed matrix. All lanes of the warp take part in mma and ldmatrix.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace mbt::cuda {

enum class MmaInput : uint8_t { bf16, f16 };

}  // namespace mbt::cuda

#if defined(MBT_EMULATED_DEVICE)
#include <mbt_emulated_ptx.h>
#else

namespace mbt::cuda {

/// d += a * b in fp32. The order of the sums, and their rounding inside, are the hardware's.
template <MmaInput kInput>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (kInput == MmaInput::bf16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

__device__ __forceinline__ uint32_t shared_address(const void* shared) { return static_cast<uint32_t>(__cvta_generic_to_shared(shared)); }

/// Four matrices: r[i] is this lane's part of matrix i.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
/// Two matrices: the addresses of lanes 0..15 count; the other lanes give any valid ones.
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

/// Begins to copy 16 bytes from device to shared memory, both aligned to 16. The bytes are there for this thread after cp_async_wait, for
/// the others after a barrier that follows it.
__device__ __forceinline__ void cp_async_16(void* shared, const void* source) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(source) : "memory");
}
/// The same when `valid`; else 16 zero bytes, and the source, still a device address, is not read.
__device__ __forceinline__ void cp_async_16_or_zero(void* shared, const void* source, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(source), "r"(valid ? 16 : 0) : "memory");
}
/// Ends a group: the copies begun since the last commit.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most the kGroups latest groups are under way.
template <int kGroups>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}
/// Waits for all copies, committed or not.
__device__ __forceinline__ void cp_async_wait_all() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// Two codes, `low` in the lower half. To nearest even; FP8 saturates, Inf too. NaN gives 0x7F (FP8), 0x7FFF (bf16, fp16).
__device__ __forceinline__ uint16_t cvt_rn_satfinite_e4m3x2(float low, float high) {
  uint16_t codes;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  return codes;
}
__device__ __forceinline__ uint16_t cvt_rn_satfinite_e5m2x2(float low, float high) {
  uint16_t codes;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  return codes;
}
__device__ __forceinline__ uint32_t cvt_rn_bf16x2(float low, float high) {
  uint32_t codes;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(codes) : "f"(high), "f"(low));
  return codes;
}
__device__ __forceinline__ uint32_t cvt_rn_f16x2(float low, float high) {
  uint32_t codes;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(codes) : "f"(high), "f"(low));
  return codes;
}

/// 2^x to 2 units in the last place; results below 2^-126 are 0: for probabilities, where they mean nothing and the exact form costs
/// thrice.
__device__ __forceinline__ float ex2_approx_ftz(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Exact: two FP8 codes as two fp16 values; one fp16 value as fp32.
__device__ __forceinline__ uint32_t cvt_f16x2_e4m3x2(uint16_t codes) {
  uint32_t values;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(values) : "h"(codes));
  return values;
}
__device__ __forceinline__ uint32_t cvt_f16x2_e5m2x2(uint16_t codes) {
  uint32_t values;
  asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(values) : "h"(codes));
  return values;
}
__device__ __forceinline__ float cvt_f32_f16(uint16_t code) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(code));
  return value;
}

}  // namespace mbt::cuda
#endif
