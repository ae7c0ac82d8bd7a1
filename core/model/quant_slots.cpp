#include "core/model/quant_slots.h"

namespace mbt {
namespace {

struct CopySlots {
  TensorSlot codes, scale, amax;
};

CopySlots plan_copy(ArenaPlan& arena, MemoryCategory category, const QuantSpec& spec, int64_t rows, int64_t cols, bool is_columnwise,
                    bool without_codes = false) {
  const QuantCopyShape shape = quant_copy_shape(spec, rows, cols, is_columnwise);
  CopySlots s;
  if (!without_codes) s.codes = arena.add(category, DType::u8, {shape.codes_bytes});
  s.scale = arena.add(category, DType::u8, {shape.scale_bytes});
  if (spec.scaling == QuantScaling::nvfp4) s.amax = arena.add(category, DType::f32, {1});
  return s;
}

QuantCopy bind_copy(const ArenaPlan& arena, void* base, const CopySlots& s) {
  return {.codes = arena.bind(base, s.codes).data,
          .scale_inv = arena.bind(base, s.scale).data,
          .global_amax = static_cast<float*>(arena.bind(base, s.amax).data)};
}

}  // namespace

TransposedQuery transposed_query(const Backend& backend) {
  return [&backend](const QuantSpec& spec) { return backend.wants_transposed(spec); };
}

QuantSlots plan_quantized(ArenaPlan& arena, MemoryCategory category, const QuantSpec& spec, int64_t rows, int64_t cols,
                          QuantCopies copies) {
  QuantSlots slots;
  slots.spec = spec;
  slots.rows = rows;
  slots.cols = cols;
  slots.columnwise_is_transposed = copies.columnwise_is_transposed;
  const bool is_shared = slots.is_shared();
  if (copies.rowwise || is_shared) {
    const CopySlots s = plan_copy(arena, category, spec, rows, cols, false, copies.row_codes_elsewhere);
    slots.row_codes = s.codes, slots.row_scale = s.scale, slots.row_amax = s.amax;
  }
  if (copies.columnwise && !is_shared) {
    const CopySlots s = plan_copy(arena, category, spec, rows, cols, true);
    slots.col_codes = s.codes, slots.col_scale = s.scale, slots.col_amax = s.amax;
  }
  return slots;
}

QuantTensorView bind_quantized(const ArenaPlan& arena, void* base, const QuantSlots& s, void* row_codes) {
  QuantTensorView q;
  if (s.empty()) return q;
  q.spec = s.spec;
  q.rows = s.rows;
  q.cols = s.cols;
  q.rowwise = bind_copy(arena, base, {s.row_codes, s.row_scale, s.row_amax});
  if (row_codes != nullptr) q.rowwise.codes = row_codes;
  q.columnwise = s.is_shared() ? q.rowwise : bind_copy(arena, base, {s.col_codes, s.col_scale, s.col_amax});
  q.columnwise.is_transposed = s.columnwise_is_transposed && !q.columnwise.empty();
  return q;
}

}  // namespace mbt
