#include "core/reference/quantize.h"

#include <algorithm>
#include <cstring>

#include "core/base/philox.h"
#include "core/numerics/scaling.h"

namespace mbt::ref {
namespace {

struct Geometry {
  int64_t block_rows, block_cols, scale_cols;
  Geometry(const QuantSpec& s, int64_t rows, int64_t cols, bool columnwise) {
    const int64_t b = s.block_size();
    block_rows = b == 0 ? rows : s.is_2d || columnwise ? b : 1;
    block_cols = b == 0 ? cols : s.is_2d || !columnwise ? b : 1;
    scale_cols = quant_copy_shape(s, rows, cols, columnwise).scale_cols;
  }
};

void transform(std::vector<float>& x, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; r += 16) {
    for (int64_t c = 0; c < cols; ++c) {
      std::array<float, 16> group{};
      const int64_t n = std::min<int64_t>(16, rows - r);
      for (int64_t i = 0; i < n; ++i) group[i] = round_to_bf16(x[(r + i) * cols + c]);
      if (n == 16) {
        for (int64_t i = 0; i < n; ++i) group[i] = x[(r + i) * cols + c];
        hadamard16(group);
      }
      for (int64_t i = 0; i < n; ++i) x[(r + i) * cols + c] = group[i];
    }
  }
}

uint8_t random_byte(const ReferenceArgs& a, int64_t row, int64_t col) {
  const auto counter = static_cast<uint64_t>(row * ((a.cols + 15) / 16) + col / 16) + (a.columnwise ? uint64_t{1} << 63 : 0);
  return static_cast<uint8_t>(philox(a.seed, a.stream, counter)[col % 16 / 4] >> (col % 4 * 8));
}

/// Stores the scale of block `k` and returns the multiplier of its elements.
float make_scale(const ReferenceArgs& a, float amax, float global_encode_scale, size_t k, OwnedCopy& out) {
  auto store_f32 = [&](float scale_inv) { std::memcpy(out.scale_inv.data() + 4 * k, &scale_inv, 4); };
  const float max = max_of(a.spec.format);
  float scale = 1;
  switch (a.spec.scaling) {
    case QuantScaling::delayed: scale = a.delayed_scale; break;
    case QuantScaling::tensorwise: scale = current_scale(amax, max, a.spec.power_of_two_scale); break;
    case QuantScaling::blockwise: scale = blockwise_scale(amax, max); break;
    case QuantScaling::mxfp8: out.scale_inv[k] = mxfp8_exponent(amax, max); return exp2_rcp(out.scale_inv[k]);
    case QuantScaling::nvfp4: {
      const Nvfp4BlockScale s = nvfp4_block_scale(amax, global_encode_scale);
      out.scale_inv[k] = s.code;
      return s.multiplier;
    }
  }
  store_f32(1.0F / scale);
  return scale;
}

}  // namespace

OwnedCopy::OwnedCopy(const QuantSpec& spec, int64_t rows, int64_t cols, bool columnwise) {
  const QuantCopyShape shape = quant_copy_shape(spec, rows, cols, columnwise);
  codes.assign(static_cast<size_t>(shape.codes_bytes), 0xAA);
  scale_inv.assign(static_cast<size_t>(shape.scale_bytes), 0xAA);
}
QuantCopy OwnedCopy::view() { return {codes.data(), scale_inv.data(), &global_amax}; }
float OwnedCopy::scale_f32(size_t i) const {
  float v = 0;
  std::memcpy(&v, scale_inv.data() + 4 * i, 4);
  return v;
}

OwnedCopy reference_quantize(const ReferenceArgs& a) {
  OwnedCopy out(a.spec, a.rows, a.cols, a.columnwise);
  std::vector<float> x = a.x;
  if (a.columnwise && a.spec.hadamard_columnwise) transform(x, a.rows, a.cols);
  const bool is_nvfp4 = a.spec.scaling == QuantScaling::nvfp4;
  if (is_nvfp4) out.global_amax = amax_of(x);
  const float global_encode_scale = is_nvfp4 ? nvfp4_global_encode_scale(out.global_amax) : 1;
  const Geometry g(a.spec, a.rows, a.cols, a.columnwise);
  for (int64_t r0 = 0; r0 < a.rows; r0 += g.block_rows) {
    for (int64_t c0 = 0; c0 < a.cols; c0 += g.block_cols) {
      const int64_t r1 = std::min(a.rows, r0 + g.block_rows), c1 = std::min(a.cols, c0 + g.block_cols);
      float amax = 0;
      for (int64_t r = r0; r < r1; ++r) amax = std::fmax(amax, amax_of(std::span(x).subspan(r * a.cols + c0, c1 - c0)));
      const auto k = static_cast<size_t>(r0 / g.block_rows * g.scale_cols + c0 / g.block_cols);
      const float multiplier = make_scale(a, amax, global_encode_scale, k, out);
      for (int64_t r = r0; r < r1; ++r) {
        for (int64_t c = c0; c < c1; ++c) {
          const float t = x[r * a.cols + c] * multiplier;
          out.codes[r * a.cols + c] =
              a.spec.stochastic_rounding ? encode_e2m1_stochastic(t, random_byte(a, r, c)) : encode(a.spec.format, t);
        }
      }
    }
  }
  return out;
}

}  // namespace mbt::ref
