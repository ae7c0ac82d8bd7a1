// Casts with one scale a block. A row of blocks is worked on in four sweeps over its columns, each a loop without branches: magnitudes
// (maximum over the block's rows), block amax, scales, codes.
#include "kernels/cpu/loops/codec_lanes.h"
#include "kernels/cpu/loops/quantize.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

constexpr float kFloatMax = 0x1.fffffep127F;

// -- sweep 1: magnitudes
// -------------------------------------------------------------------------------------------------------------------

/// amax[c] = max(amax[c], bits of the magnitude of x[c]), NaN dropped.
template <class Lane>
void raise_amax(const typename Lane::Type* x, int64_t cols, uint32_t* amax) {
  for (int64_t c = 0; c < cols; ++c) {
    const uint32_t magnitude = bits_of(Lane::load(x[c])) & kMagnitude;
    const uint32_t valid = magnitude > kInfBits ? 0 : magnitude;
    amax[c] = valid > amax[c] ? valid : amax[c];
  }
}

/// amax[c] = bits of the largest magnitude in column c, NaN dropped.
template <class Lane>
void column_amax(const typename Lane::Type* x, int64_t stride, int64_t rows, int64_t cols, uint32_t* amax) {
  for (int64_t c = 0; c < cols; ++c) amax[c] = 0;
  for (int64_t r = 0; r < rows; ++r, x += stride) raise_amax<Lane>(x, cols, amax);
}

// -- sweep 2: one amax a block
// ---------------------------------------------------------------------------------------------------------------

inline uint32_t max_of(const uint32_t* v, int64_t n) {
  uint32_t best = 0;
  for (int64_t i = 0; i < n; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

/// amax[k] = max of the k-th run of B columns, in place.
template <int64_t B>
void reduce_runs(uint32_t* amax, int64_t cols) {
  for (int64_t k = 0; k < cols / B; ++k) amax[k] = max_of(amax + k * B, B);
  if (cols % B != 0) amax[cols / B] = max_of(amax + cols / B * B, cols % B);
}

void reduce_blocks(uint32_t* amax, int64_t cols, int64_t block_cols) {
  switch (block_cols) {
    case 16: return reduce_runs<16>(amax, cols);
    case 32: return reduce_runs<32>(amax, cols);
    case 128: return reduce_runs<128>(amax, cols);
    default: return;  // 1: every column is a block
  }
}

// -- sweep 3: scales
// -------------------------------------------------------------------------------------------------------------------------

void blockwise_scales(const uint32_t* amax, int64_t n, float max, float* multiplier, float* scale_inv) {
  for (int64_t i = 0; i < n; ++i) {
    const float quotient = max / float_of(amax[i]);
    const float finite = quotient > kFloatMax ? kFloatMax : quotient;
    const bool usable = amax[i] != 0 && amax[i] != kInfBits;
    multiplier[i] = usable ? float_of(bits_of(finite) & 0xFF800000) : 1.0F;
    scale_inv[i] = 1.0F / multiplier[i];
  }
}

void mxfp8_scales(const uint32_t* amax, int64_t n, float max, float* multiplier, uint8_t* exponents) {
  const float reciprocal = 1.0F / max;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = bits_of(float_of(amax[i]) * reciprocal);
    const uint32_t field = bits >> 23, mantissa = bits & 0x7FFFFF;
    const uint32_t up = field + (mantissa > (field == 0 ? 0x400000U : 0U) ? 1 : 0);
    const uint32_t e = up < 254 ? up : 254;
    exponents[i] = static_cast<uint8_t>(e);
    multiplier[i] = float_of(e == 254 ? 0x00400000 : (254 - e) << 23);
  }
}

void nvfp4_scales(const uint32_t* amax, int64_t n, float global_encode_scale, float* multiplier, uint8_t* scales) {
  constexpr float kInverse = 1.0F / max_of(QuantFormat::e2m1);
  const float mult = global_encode_scale * kInverse;
  const float global_decode_scale = 1.0F / global_encode_scale;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t code = Code<QuantFormat::e4m3>::encode(float_of(amax[i]) * mult);
    const float inverse = 1.0F / (Code<QuantFormat::e4m3>::decode(code) * global_decode_scale);
    scales[i] = static_cast<uint8_t>(code);
    multiplier[i] = inverse > kFloatMax ? kFloatMax : inverse;
  }
}

/// Fills multiplier[block] and row `block_row` of the stored scales.
void make_scales(const BlockJob& job, int64_t block_row, const uint32_t* amax, int64_t blocks, float* multiplier) {
  const int64_t first = block_row * job.scale_stride;
  switch (job.scaling) {
    case QuantScaling::blockwise:
      return blockwise_scales(amax, blocks, job.format_max, multiplier, static_cast<float*>(job.scale_inv) + first);
    case QuantScaling::mxfp8: return mxfp8_scales(amax, blocks, job.format_max, multiplier, static_cast<uint8_t*>(job.scale_inv) + first);
    case QuantScaling::nvfp4:
      return nvfp4_scales(amax, blocks, job.global_encode_scale, multiplier, static_cast<uint8_t*>(job.scale_inv) + first);
    case QuantScaling::delayed:
    case QuantScaling::tensorwise: return;
  }
}

/// per_column[c] = per_block[c / block_cols].
void spread(const float* per_block, int64_t cols, int64_t block_cols, float* per_column) {
  for (int64_t k = 0; k * block_cols < cols; ++k) {
    const int64_t end = (k + 1) * block_cols < cols ? (k + 1) * block_cols : cols;
    for (int64_t c = k * block_cols; c < end; ++c) per_column[c] = per_block[k];
  }
}

// -- sweep 4: codes
// --------------------------------------------------------------------------------------------------------------------------

template <class Lane, class Code>
void encode_row(const typename Lane::Type* x, const float* multiplier, int64_t n, uint8_t* codes) {
  for (int64_t c = 0; c < n; ++c) codes[c] = static_cast<uint8_t>(Code::encode(Lane::load(x[c]) * multiplier[c]));
}

template <class Lane>
void encode_row_in(QuantFormat format, const typename Lane::Type* x, const float* multiplier, int64_t n, uint8_t* codes) {
  with_format(format, [&]<QuantFormat F>() { encode_row<Lane, Code<F>>(x, multiplier, n, codes); });
}

template <class Lane>
void encode_row_stochastic(const typename Lane::Type* x, const float* multiplier, const uint8_t* random, int64_t n, uint8_t* codes) {
  for (int64_t c = 0; c < n; ++c) {
    codes[c] = static_cast<uint8_t>(encode_e2m1_stochastic(Lane::load(x[c]) * multiplier[c], random[c]));
  }
}

/// out[16 i + 4 w + b] = byte b of word w of philox(seed, stream, first + i), for kTileCols / 16 counters side by side.
void random_bytes(const RandomBits& random, uint64_t first, uint8_t* out) {
  constexpr int64_t kCounters = kTileCols / kRandomGroup;
  uint32_t c0[kCounters], c1[kCounters], c2[kCounters], c3[kCounters];
  for (int64_t i = 0; i < kCounters; ++i) {
    const uint64_t counter = first + static_cast<uint64_t>(i);
    c0[i] = static_cast<uint32_t>(counter);
    c1[i] = static_cast<uint32_t>(counter >> 32);
    c2[i] = static_cast<uint32_t>(random.stream);
    c3[i] = static_cast<uint32_t>(random.stream >> 32);
  }
  uint32_t key0 = static_cast<uint32_t>(random.seed), key1 = static_cast<uint32_t>(random.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int64_t i = 0; i < kCounters; ++i) {
      const uint64_t a = uint64_t{0xD2511F53} * c0[i], b = uint64_t{0xCD9E8D57} * c2[i];
      c0[i] = static_cast<uint32_t>(b >> 32) ^ c1[i] ^ key0;
      c2[i] = static_cast<uint32_t>(a >> 32) ^ c3[i] ^ key1;
      c1[i] = static_cast<uint32_t>(b);
      c3[i] = static_cast<uint32_t>(a);
    }
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  for (int64_t i = 0; i < kCounters; ++i) {
    const uint32_t words[4] = {c0[i], c1[i], c2[i], c3[i]};
    for (int64_t b = 0; b < kRandomGroup; ++b) out[i * kRandomGroup + b] = static_cast<uint8_t>(words[b / 4] >> (b % 4 * 8));
  }
}

template <class Lane>
void encode_row_of(const BlockJob& job, int64_t row, const float* multiplier) {
  const auto* x = static_cast<const typename Lane::Type*>(job.x.data) + row * job.x.stride;
  uint8_t* codes = job.codes + row * job.codes_stride;
  if (job.random != nullptr) {
    uint8_t random[kTileCols];
    random_bytes(*job.random, job.random->first + static_cast<uint64_t>(row) * job.random->row_step, random);
    return encode_row_stochastic<Lane>(x, multiplier, random, job.cols, codes);
  }
  encode_row_in<Lane>(job.format, x, multiplier, job.cols, codes);
}

template <class Lane>
void encode_tile(const BlockJob& job) {
  alignas(64) uint32_t amax[kTileCols];
  alignas(64) float per_block[kTileCols];
  alignas(64) float multiplier[kTileCols];
  const int64_t blocks = (job.cols + job.block_cols - 1) / job.block_cols;
  for (int64_t r0 = 0, k = 0; r0 < job.rows; r0 += job.block_rows, ++k) {
    const int64_t r1 = r0 + job.block_rows < job.rows ? r0 + job.block_rows : job.rows;
    column_amax<Lane>(static_cast<const typename Lane::Type*>(job.x.data) + r0 * job.x.stride, job.x.stride, r1 - r0, job.cols, amax);
    reduce_blocks(amax, job.cols, job.block_cols);
    make_scales(job, k, amax, blocks, per_block);
    spread(per_block, job.cols, job.block_cols, multiplier);
    for (int64_t r = r0; r < r1; ++r) encode_row_of<Lane>(job, r, multiplier);
  }
}

}  // namespace

void encode_blocks(const BlockJob& job) {
  with_lane(job.x.kind, [&]<class Lane>(Lane) { encode_tile<Lane>(job); });
}

void raise_column_amax(const Source& x, int64_t cols, uint32_t* amax) {
  with_lane(x.kind, [&]<class Lane>(Lane) { raise_amax<Lane>(static_cast<const typename Lane::Type*>(x.data), cols, amax); });
}

void encode_columns(const Source& x, int64_t cols, const float* multiplier, QuantFormat format, uint8_t* codes) {
  with_lane(x.kind, [&]<class Lane>(Lane) {
    encode_row_in<Lane>(format, static_cast<const typename Lane::Type*>(x.data), multiplier, cols, codes);
  });
}

}  // namespace mbt::cpu::MBT_LEVEL
