#include "kernels/cpu/quantize.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "core/numerics/scaling.h"
#include "kernels/cpu/loops/quantize.h"
#include "kernels/cpu/quantize_parts.h"
#include "kernels/cpu/threads.h"

namespace mbt::cpu {
namespace {

void check_spec(const QuantTensorView& q) {
  const QuantSpec& s = q.spec;
  const bool is_nvfp4 = s.scaling == QuantScaling::nvfp4;
  MBT_CHECK(is_nvfp4 == (s.format == QuantFormat::e2m1), "{} with {}", name_of(s.scaling), name_of(s.format));
  MBT_CHECK(is_nvfp4 || (!s.stochastic_rounding && !s.hadamard_columnwise), "{} with nvfp4's rounding or transform", name_of(s.scaling));
  MBT_CHECK(!s.is_2d || !s.hadamard_columnwise, "square blocks share their codes, so there is no transformed copy");
  MBT_CHECK(!s.is_2d || s.block_size() != 0, "square blocks under one scale a tensor");
  for (const QuantCopy* copy : {&q.rowwise, &q.columnwise}) {
    if (copy->empty()) continue;
    MBT_CHECK(copy->scale_inv != nullptr, "a copy without a scale array");
    MBT_CHECK(!copy->is_transposed, "the CPU keeps codes in [rows, cols] order and makes no transposed copy");
    MBT_CHECK(!is_nvfp4 || copy->global_amax != nullptr, "nvfp4 without a place for the global amax");
  }
  const bool has_both = !q.rowwise.empty() && !q.columnwise.empty();
  MBT_CHECK(
      !has_both || !s.columnwise_shares_codes() || (q.rowwise.codes == q.columnwise.codes && q.rowwise.scale_inv == q.columnwise.scale_inv),
      "two copies where both directions share one");
}

SourceKind kind_of(DType x, DType round_to) {
  if (x == DType::bf16) return SourceKind::bf16;
  if (x == DType::f16) return SourceKind::f16;
  MBT_CHECK(x == DType::f32, "quantize: x is {}, expected f32, bf16 or f16", name_of(x));
  return round_to == DType::bf16 ? SourceKind::f32_as_bf16 : round_to == DType::f16 ? SourceKind::f32_as_f16 : SourceKind::f32;
}

Source offset(const Source& x, int64_t row, int64_t col) {
  const int64_t bytes = x.kind == SourceKind::bf16 || x.kind == SourceKind::f16 ? 2 : 4;
  return {static_cast<const char*>(x.data) + (row * x.stride + col) * bytes, x.kind, x.stride};
}

/// A part of the matrix that one thread works on. The cut depends on the shape alone.
struct Tile {
  int64_t row, col, rows, cols;
};

struct Tiling {
  int64_t rows, cols;
  int64_t across = ceil_div(cols, kTileCols);
  int64_t count = ceil_div(rows, kTileRows) * across;
  Tile operator[](int64_t i) const {
    const int64_t row = i / across * kTileRows, col = i % across * kTileCols;
    return {row, col, std::min(kTileRows, rows - row), std::min(kTileCols, cols - col)};
  }
};

template <class Body>
void for_each_tile(int64_t rows, int64_t cols, const Body& body) {
  const Tiling tiles{rows, cols};
  parallel_tasks(tiles.count, [&](int, int64_t i) { body(tiles[i]); });
}

/// Maximum over the tiles of body(tile), which returns fp32 bits of a magnitude: integers order like the values.
template <class Body>
float max_over_tiles(int64_t rows, int64_t cols, const Body& body) {
  const Tiling tiles{rows, cols};
  std::vector<uint32_t> maxima(static_cast<size_t>(tiles.count));
  parallel_tasks(tiles.count, [&](int, int64_t i) { maxima[static_cast<size_t>(i)] = body(tiles[i]); });
  return maxima.empty() ? 0 : std::bit_cast<float>(*std::max_element(maxima.begin(), maxima.end()));
}

float amax_of(const Source& x, int64_t rows, int64_t cols) {
  const auto amax_bits = MBT_AT_LEVEL(amax_bits);
  return max_over_tiles(rows, cols, [&](const Tile& t) { return amax_bits(offset(x, t.row, t.col), t.rows, t.cols); });
}

// -- one scale a tensor
// ----------------------------------------------------------------------------------------------------------------------

void write_scale_inv(const QuantTensorView& q, float scale_inv) {
  for (const QuantCopy* copy : {&q.rowwise, &q.columnwise}) {
    if (!copy->empty()) *static_cast<float*>(copy->scale_inv) = scale_inv;
  }
}

/// Casts everything with one scale; returns the amax of x, which costs little while x is in the cache.
float cast_tensor(const Source& x, const QuantTensorView& q, float scale, bool with_amax) {
  const auto amax_bits = MBT_AT_LEVEL(amax_bits);
  const auto encode_scaled = MBT_AT_LEVEL(encode_scaled);
  auto* codes = static_cast<uint8_t*>((q.rowwise.empty() ? q.columnwise : q.rowwise).codes);
  return max_over_tiles(q.rows, q.cols, [&](const Tile& t) {
    const Source part = offset(x, t.row, t.col);
    const uint32_t amax = with_amax ? amax_bits(part, t.rows, t.cols) : 0;
    encode_scaled(part, t.rows, t.cols, scale, q.spec.format, codes + t.row * q.cols + t.col, q.cols);
    return amax;
  });
}

/// Both return the amax of x when it is known or asked for.
float quantize_delayed(const Source& x, const QuantTensorView& q, bool with_amax) {
  write_scale_inv(q, 1.0F / *q.scale);
  return cast_tensor(x, q, *q.scale, with_amax);
}

float quantize_tensorwise(const Source& x, const QuantTensorView& q) {
  const float amax = amax_of(x, q.rows, q.cols);
  const float scale = current_scale(amax, max_of(q.spec.format), q.spec.power_of_two_scale);
  write_scale_inv(q, 1.0F / scale);
  cast_tensor(x, q, scale, false);
  return amax;
}

// -- one scale a block
// -----------------------------------------------------------------------------------------------------------------------

/// What all tiles of one copy have in common.
struct CopyPlan {
  const QuantizeArgs& args;
  const QuantCopy& copy;
  int64_t block_rows;
  int64_t block_cols;
  int64_t scale_cols;
  float global_encode_scale;
  bool is_columnwise;

  CopyPlan(const QuantizeArgs& a, bool columnwise, float global_amax)
      : args(a),
        copy(columnwise ? a.to.q.columnwise : a.to.q.rowwise),
        block_rows(a.to.q.spec.is_2d || columnwise ? a.to.q.spec.block_size() : 1),
        block_cols(a.to.q.spec.is_2d || !columnwise ? a.to.q.spec.block_size() : 1),
        scale_cols(ceil_div(a.to.q.cols, block_cols)),
        global_encode_scale(nvfp4_global_encode_scale(global_amax)),
        is_columnwise(columnwise) {}
};

/// Quantizes the tile `t` of x; `part` is the tile's data, transformed or not.
void encode_part(const CopyPlan& plan, const Source& part, const Tile& t) {
  const QuantTensorView& q = plan.args.to.q;
  // Row-wise and column-wise copies draw from the two halves of the counter's range.
  const uint64_t groups = static_cast<uint64_t>(ceil_div(q.cols, kRandomGroup));
  const uint64_t half = plan.is_columnwise ? uint64_t{1} << 63 : 0;
  const uint64_t pass = plan.args.to.random_pass == nullptr ? 0 : *plan.args.to.random_pass;
  const RandomBits random{plan.args.to.random_seed, plan.args.to.random_stream + (pass << 24),
                          half + static_cast<uint64_t>(t.row) * groups + static_cast<uint64_t>(t.col / kRandomGroup), groups};
  const int64_t first_scale = t.row / plan.block_rows * plan.scale_cols + t.col / plan.block_cols;
  MBT_AT_LEVEL(encode_blocks)
  ({.x = part,
    .rows = t.rows,
    .cols = t.cols,
    .block_rows = plan.block_rows,
    .block_cols = plan.block_cols,
    .format = q.spec.format,
    .format_max = max_of(q.spec.format),
    .scaling = q.spec.scaling,
    .global_encode_scale = plan.global_encode_scale,
    .codes = static_cast<uint8_t*>(plan.copy.codes) + t.row * q.cols + t.col,
    .codes_stride = q.cols,
    .scale_inv = static_cast<char*>(plan.copy.scale_inv) + first_scale * q.spec.scale_bytes(),
    .scale_stride = plan.scale_cols,
    .random = q.spec.stochastic_rounding ? &random : nullptr});
}

/// Calls body(transformed group, its place) for each group of 16 rows of the tile.
template <class Body>
void for_each_hadamard_group(const Source& x, const Tile& t, const Body& body) {
  alignas(64) float transformed[kHadamardSize * kTileCols];
  for (int64_t r = 0; r < t.rows; r += kHadamardSize) {
    const Tile group{t.row + r, t.col, std::min(kHadamardSize, t.rows - r), t.cols};
    MBT_AT_LEVEL(hadamard_group)(offset(x, group.row, group.col), group.rows, group.cols, transformed);
    body(Source{transformed, SourceKind::f32, kTileCols}, group);
  }
}

float hadamard_amax(const Source& x, int64_t rows, int64_t cols) {
  return max_over_tiles(rows, cols, [&](const Tile& t) {
    uint32_t amax = 0;
    for_each_hadamard_group(
        x, t, [&](const Source& part, const Tile& group) { amax = std::max(amax, MBT_AT_LEVEL(amax_bits)(part, group.rows, group.cols)); });
    return amax;
  });
}

/// Returns the amax of x when it is known or asked for.
float quantize_in_blocks(const Source& x, const QuantizeArgs& args, bool with_amax) {
  const QuantTensorView& q = args.to.q;
  const bool is_nvfp4 = q.spec.scaling == QuantScaling::nvfp4;
  const bool only_one = q.spec.columnwise_shares_codes() && !q.rowwise.empty();  // the column-wise copy is the row-wise one
  const bool do_rows = !q.rowwise.empty(), do_columns = !q.columnwise.empty() && !only_one;
  const bool transform = do_columns && q.spec.hadamard_columnwise;
  const bool needs_amax = with_amax || (is_nvfp4 && (do_rows || !transform));
  const float amax = needs_amax ? amax_of(x, q.rows, q.cols) : 0;
  const float column_amax = transform ? hadamard_amax(x, q.rows, q.cols) : amax;
  if (is_nvfp4 && !q.rowwise.empty()) *q.rowwise.global_amax = amax;
  if (is_nvfp4 && !q.columnwise.empty()) *q.columnwise.global_amax = column_amax;
  const CopyPlan row_plan(args, false, amax), column_plan(args, true, column_amax);
  for_each_tile(q.rows, q.cols, [&](const Tile& t) {
    const Source part = offset(x, t.row, t.col);
    if (do_rows) encode_part(row_plan, part, t);
    if (do_columns && !transform) encode_part(column_plan, part, t);
    if (transform) for_each_hadamard_group(x, t, [&](const Source& p, const Tile& group) { encode_part(column_plan, p, group); });
  });
  return amax;
}

}  // namespace

void quantize(const QuantizeArgs& args) {
  args.check(op_name(args));
  check_spec(args.to.q);
  const QuantTensorView& q = args.to.q;
  const Source x{args.x.data, kind_of(args.x.dtype, args.round_to), q.cols};
  const bool with_amax = args.to.stage_amax && q.amax != nullptr;
  const float amax = q.spec.scaling == QuantScaling::delayed      ? quantize_delayed(x, q, with_amax)
                     : q.spec.scaling == QuantScaling::tensorwise ? quantize_tensorwise(x, q)
                                                                  : quantize_in_blocks(x, args, with_amax);
  if (with_amax) *q.amax = std::fmax(*q.amax, amax);
}

void delayed_scaling_update(const DelayedScalingUpdateArgs& args) {
  args.check(op_name(args));
  const int64_t length = args.history.rows(), n = args.history.cols();
  auto* history = args.history.as<float>();
  std::vector<float> column(static_cast<size_t>(length));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < length; ++j) column[static_cast<size_t>(j)] = history[j * n + i];
    update_delayed_scale(column, args.scale.as<float>()[i], args.fp8_max.as<float>()[i], args.margin, args.algorithm == AmaxAlgorithm::max);
    for (int64_t j = 0; j < length; ++j) history[j * n + i] = column[static_cast<size_t>(j)];
  }
}

// -- and back
// --------------------------------------------------------------------------------------------------------------------------------

namespace {

const QuantCopy& copy_of(const QuantTensorView& q, bool columnwise) {
  const QuantCopy& wanted = columnwise ? q.columnwise : q.rowwise;
  const QuantCopy& copy = wanted.empty() && q.spec.columnwise_shares_codes() ? (columnwise ? q.rowwise : q.columnwise) : wanted;
  MBT_CHECK(!copy.empty(), "decode: no {} copy", columnwise ? "column-wise" : "row-wise");
  MBT_CHECK(!copy.is_transposed, "the CPU reads no transposed codes");
  return copy;
}

void decode(const QuantTensorView& q, bool columnwise, bool to_bf16, void* out) {
  const QuantCopy& copy = copy_of(q, columnwise);
  const QuantSpec& s = q.spec;
  const int64_t block_rows = s.is_per_tensor() ? kTileRows : s.is_2d || columnwise ? s.block_size() : 1;
  const int64_t block_cols = s.is_per_tensor() ? kTileCols : s.is_2d || !columnwise ? s.block_size() : 1;
  const int64_t scale_cols = ceil_div(q.cols, block_cols);
  const auto decode_blocks = MBT_AT_LEVEL(decode_blocks);
  for_each_tile(q.rows, q.cols, [&](const Tile& t) {
    const int64_t first_scale = t.row / block_rows * scale_cols + t.col / block_cols;
    decode_blocks({.codes = static_cast<const uint8_t*>(copy.codes) + t.row * q.cols + t.col,
                   .codes_stride = q.cols,
                   .rows = t.rows,
                   .cols = t.cols,
                   .block_rows = block_rows,
                   .block_cols = block_cols,
                   .format = s.format,
                   .scaling = s.scaling,
                   .scale_inv = s.is_per_tensor() ? nullptr : static_cast<const char*>(copy.scale_inv) + first_scale * s.scale_bytes(),
                   .scale_stride = scale_cols,
                   .to_bf16 = to_bf16,
                   .out = static_cast<char*>(out) + (t.row * q.cols + t.col) * (to_bf16 ? 2 : 4),
                   .out_stride = q.cols});
  });
}

}  // namespace

void decode_to_bf16(const QuantTensorView& q, bool columnwise, uint16_t* out) { decode(q, columnwise, true, out); }
void decode_to_f32(const QuantTensorView& q, bool columnwise, float* out) { decode(q, columnwise, false, out); }

float gemm_alpha(const QuantTensorView& q, bool columnwise) {
  const QuantCopy& copy = copy_of(q, columnwise);
  if (q.spec.is_per_tensor()) return *static_cast<const float*>(copy.scale_inv);
  return q.spec.scaling == QuantScaling::nvfp4 ? nvfp4_gemm_factor(*copy.global_amax) : 1.0F;
}

}  // namespace mbt::cpu
