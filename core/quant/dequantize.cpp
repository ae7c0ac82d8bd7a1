#include "core/quant/dequantize.h"

#include "core/base/error.h"
#include "core/numerics/scaling.h"

namespace mbt {
namespace {

float decode_scale(const QuantSpec& s, const QuantCopy& copy, int64_t i) {
  if (s.scaling == QuantScaling::mxfp8) return decode_e8m0(static_cast<const uint8_t*>(copy.scale_inv)[i]);
  if (s.scaling == QuantScaling::nvfp4) return decode_e4m3(static_cast<const uint8_t*>(copy.scale_inv)[i]);
  return static_cast<const float*>(copy.scale_inv)[i];
}

}  // namespace

std::vector<float> dequantize(const QuantTensorView& q, bool columnwise) {
  const QuantCopy& copy = columnwise ? q.columnwise : q.rowwise;
  MBT_CHECK(!copy.empty(), "dequantize: no {} copy", columnwise ? "column-wise" : "row-wise");
  const int64_t b = q.spec.block_size();
  const int64_t block_rows = b == 0 ? q.rows : q.spec.is_2d || columnwise ? b : 1;
  const int64_t block_cols = b == 0 ? q.cols : q.spec.is_2d || !columnwise ? b : 1;
  const int64_t scale_cols = quant_copy_shape(q.spec, q.rows, q.cols, columnwise).scale_cols;
  const float factor = q.spec.scaling == QuantScaling::nvfp4 ? 1.0F / nvfp4_global_encode_scale(*copy.global_amax) : 1.0F;
  std::vector<float> values;
  values.reserve(static_cast<size_t>(q.rows * q.cols));
  for (int64_t r = 0; r < q.rows; ++r) {
    for (int64_t c = 0; c < q.cols; ++c) {
      const float code =
          decode(q.spec.format, static_cast<const uint8_t*>(copy.codes)[copy.is_transposed ? c * q.rows + r : r * q.cols + c]);
      values.push_back(code * decode_scale(q.spec, copy, r / block_rows * scale_cols + c / block_cols) * factor);
    }
  }
  return values;
}

}  // namespace mbt
