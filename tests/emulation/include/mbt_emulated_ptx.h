// The twins of kernels/cuda/device/ptx.h for the emulated device; contracts stand there.
#pragma once

#include <math.h>

#include <bit>
#include <cstdint>

#include "core/numerics/codecs.h"
#include "tests/emulation/engine/matrix.h"

namespace mbt::cuda {

template <MmaInput kInput>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], emulation::Site site = emulation::Site::here()) {
  emulation::mma_m16n8k16(kInput == MmaInput::bf16, d, a, b, site);
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, emulation::Site site = emulation::Site::here()) {
  emulation::ldmatrix(r, 4, row, false, site);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, emulation::Site site = emulation::Site::here()) {
  emulation::ldmatrix(r, 4, row, true, site);
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void* row, emulation::Site site = emulation::Site::here()) {
  emulation::ldmatrix(r, 2, row, false, site);
}
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, emulation::Site site = emulation::Site::here()) {
  emulation::ldmatrix(r, 2, row, true, site);
}

inline void cp_async_16(void* shared, const void* source, emulation::Site site = emulation::Site::here()) {
  emulation::async_copy(shared, source, 16, 16, site);
}
inline void cp_async_16_or_zero(void* shared, const void* source, bool valid, emulation::Site site = emulation::Site::here()) {
  emulation::async_copy(shared, source, 16, valid ? 16 : 0, site);
}
inline void cp_async_commit() { emulation::async_commit(); }
template <int kGroups>
void cp_async_wait() {
  emulation::async_wait(kGroups);
}
inline void cp_async_wait_all() { emulation::async_wait(-1); }

inline uint16_t cvt_rn_satfinite_e4m3x2(float low, float high) { return static_cast<uint16_t>(encode_e4m3(low) | encode_e4m3(high) << 8); }
inline uint16_t cvt_rn_satfinite_e5m2x2(float low, float high) { return static_cast<uint16_t>(encode_e5m2(low) | encode_e5m2(high) << 8); }

/// The instruction knows one NaN, where the codecs keep a sign.
inline uint32_t or_nan(uint32_t code, float x) { return is_nan_bits(std::bit_cast<uint32_t>(x)) ? 0x7FFFU : code; }
inline uint32_t cvt_rn_bf16x2(float low, float high) { return or_nan(encode_bf16(low), low) | or_nan(encode_bf16(high), high) << 16; }
inline uint32_t cvt_rn_f16x2(float low, float high) { return or_nan(encode_fp16(low), low) | or_nan(encode_fp16(high), high) << 16; }

inline float ex2_approx_ftz(float x) {
  const float y = exp2f(x);
  return y < 0x1p-126F ? 0.0F : y;  // a NaN stays
}

inline uint32_t cvt_f16x2_e4m3x2(uint16_t codes) {
  return cvt_rn_f16x2(decode_e4m3(static_cast<uint8_t>(codes & 0xFF)), decode_e4m3(static_cast<uint8_t>(codes >> 8)));
}
inline uint32_t cvt_f16x2_e5m2x2(uint16_t codes) {
  return cvt_rn_f16x2(decode_e5m2(static_cast<uint8_t>(codes & 0xFF)), decode_e5m2(static_cast<uint8_t>(codes >> 8)));
}
inline float cvt_f32_f16(uint16_t code) { return decode_fp16(code); }

}  // namespace mbt::cuda
