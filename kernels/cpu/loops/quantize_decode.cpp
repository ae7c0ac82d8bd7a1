// From codes and scales back to f32 or bf16.
#include "kernels/cpu/loops/codec_lanes.h"
#include "kernels/cpu/loops/quantize.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

float scale_at(const DecodeJob& job, int64_t entry) {
  if (job.scale_inv == nullptr) return 1.0F;
  if (job.scaling == QuantScaling::blockwise) return static_cast<const float*>(job.scale_inv)[entry];
  const uint32_t code = static_cast<const uint8_t*>(job.scale_inv)[entry];
  if (job.scaling == QuantScaling::nvfp4) return Code<QuantFormat::e4m3>::decode(code);
  return float_of(code == 0 ? 0x00400000 : code == 255 ? kNanBits : code << 23);  // E8M0
}

/// scale[c] for the row of blocks `block_row`, one entry a column.
void column_scales(const DecodeJob& job, int64_t block_row, float* scale) {
  for (int64_t k = 0; k * job.block_cols < job.cols; ++k) {
    const float value = scale_at(job, block_row * job.scale_stride + k);
    const int64_t end = (k + 1) * job.block_cols < job.cols ? (k + 1) * job.block_cols : job.cols;
    for (int64_t c = k * job.block_cols; c < end; ++c) scale[c] = value;
  }
}

template <class Code, class Out>
void decode_row(const uint8_t* codes, const float* scale, int64_t n, Out* out) {
  for (int64_t c = 0; c < n; ++c) out[c] = from_float<Out>(Code::decode(codes[c]) * scale[c]);
}

template <class Out>
void decode_tile(const DecodeJob& job) {
  alignas(64) float scale[kTileCols];
  for (int64_t r = 0; r < job.rows; ++r) {
    if (r % job.block_rows == 0) column_scales(job, r / job.block_rows, scale);
    const uint8_t* codes = job.codes + r * job.codes_stride;
    Out* out = static_cast<Out*>(job.out) + r * job.out_stride;
    with_format(job.format, [&]<QuantFormat F>() { decode_row<Code<F>>(codes, scale, job.cols, out); });
  }
}

}  // namespace

void decode_blocks(const DecodeJob& job) { job.to_bf16 ? decode_tile<Bf16>(job) : decode_tile<float>(job); }

}  // namespace mbt::cpu::MBT_LEVEL
