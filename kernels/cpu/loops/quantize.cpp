// amax, casts with one scale, and the Hadamard transform. Casts in blocks: quantize_blocks.cpp.
#include "kernels/cpu/loops/quantize.h"

#include "kernels/cpu/loops/codec_lanes.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

/// Max of the magnitude bits of n values, NaN (bits above `inf`) dropped. The mask by product keeps compilers from making it a branch.
template <class Bits>
Bits max_magnitude(const Bits* x, int64_t n, Bits mask, Bits inf) {
  Bits best = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Bits magnitude = x[i] & mask;
    const Bits valid = static_cast<Bits>(magnitude * (magnitude <= inf));
    best = valid > best ? valid : best;
  }
  return best;
}

template <class Bits>
Bits max_magnitude_rows(const Source& x, int64_t rows, int64_t cols, Bits mask, Bits inf) {
  Bits best = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const Bits m = max_magnitude(static_cast<const Bits*>(x.data) + r * x.stride, cols, mask, inf);
    best = m > best ? m : best;
  }
  return best;
}

template <class Lane, class Code>
void encode_row(const typename Lane::Type* x, int64_t n, float scale, uint8_t* codes) {
  for (int64_t i = 0; i < n; ++i) codes[i] = static_cast<uint8_t>(Code::encode(Lane::load(x[i]) * scale));
}

template <class Lane>
void encode_rows(const Source& x, int64_t rows, int64_t cols, float scale, QuantFormat format, uint8_t* codes, int64_t codes_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    const auto* row = static_cast<const typename Lane::Type*>(x.data) + r * x.stride;
    uint8_t* out = codes + r * codes_stride;
    with_format(format, [&]<QuantFormat F>() { encode_row<Lane, Code<F>>(row, cols, scale, out); });
  }
}

constexpr int64_t kLanes = 64;  // many vectors, so that compilers keep the loop over lanes and vectorize it
constexpr uint32_t kHadamardNegative = 0xD7E8;

/// v[16][kLanes] = H v, unscaled.
void butterflies(double (&v)[kHadamardSize][kLanes]) {
  for (int64_t half = 1; half < kHadamardSize; half *= 2) {
    for (int64_t i = 0; i < kHadamardSize; ++i) {
      if ((i & half) != 0) continue;
      for (int64_t w = 0; w < kLanes; ++w) {
        const double a = v[i][w], b = v[i + half][w];
        v[i][w] = a + b;
        v[i + half][w] = a - b;
      }
    }
  }
}

template <class Lane>
void hadamard(const Source& x, int64_t cols, float* out) {
  double v[kHadamardSize][kLanes];
  for (int64_t c = 0; c < cols; c += kLanes) {
    const int64_t n = cols - c < kLanes ? cols - c : kLanes;
    for (int64_t i = 0; i < kHadamardSize; ++i) {
      const auto* row = static_cast<const typename Lane::Type*>(x.data) + i * x.stride + c;
      const double sign = (kHadamardNegative >> i & 1) != 0 ? -1.0 : 1.0;
      for (int64_t w = 0; w < kLanes; ++w) v[i][w] = w < n ? sign * static_cast<double>(Lane::load(row[w < n ? w : 0])) : 0.0;
    }
    butterflies(v);
    for (int64_t i = 0; i < kHadamardSize; ++i) {
      for (int64_t w = 0; w < n; ++w) out[i * kTileCols + c + w] = to_float(from_float<Bf16>(static_cast<float>(0.25 * v[i][w])));
    }
  }
}

template <class Lane>
void hadamard_or_copy(const Source& x, int64_t rows, int64_t cols, float* out) {
  if (rows == kHadamardSize) return hadamard<Lane>(x, cols, out);
  for (int64_t r = 0; r < rows; ++r) {
    const auto* row = static_cast<const typename Lane::Type*>(x.data) + r * x.stride;
    for (int64_t c = 0; c < cols; ++c) out[r * kTileCols + c] = to_float(from_float<Bf16>(Lane::load(row[c])));
  }
}

}  // namespace

uint32_t amax_bits(const Source& x, int64_t rows, int64_t cols) {
  const auto f32_bits = [&] { return max_magnitude_rows<uint32_t>(x, rows, cols, kMagnitude, kInfBits); };
  // Conversion and rounding keep the order, so the amax of converted values is the converted amax.
  switch (x.kind) {
    case SourceKind::bf16: return uint32_t{max_magnitude_rows<uint16_t>(x, rows, cols, 0x7FFF, 0x7F80)} << 16;
    case SourceKind::f16: return bits_of(to_float(F16{max_magnitude_rows<uint16_t>(x, rows, cols, 0x7FFF, 0x7C00)}));
    case SourceKind::f32: return f32_bits();
    case SourceKind::f32_as_bf16: return bits_of(to_float(from_float<Bf16>(float_of(f32_bits()))));
    case SourceKind::f32_as_f16: return bits_of(to_float(from_float<F16>(float_of(f32_bits()))));
  }
  return 0;
}

void encode_scaled(const Source& x, int64_t rows, int64_t cols, float scale, QuantFormat format, uint8_t* codes, int64_t codes_stride) {
  with_lane(x.kind, [&]<class Lane>(Lane) { encode_rows<Lane>(x, rows, cols, scale, format, codes, codes_stride); });
}

void hadamard_group(const Source& x, int64_t rows, int64_t cols, float* out) {
  with_lane(x.kind, [&]<class Lane>(Lane) { hadamard_or_copy<Lane>(x, rows, cols, out); });
}

}  // namespace mbt::cpu::MBT_LEVEL
