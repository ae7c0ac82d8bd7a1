// Memory of one quantized tensor, planned and bound.
#pragma once

#include <functional>

#include "core/backend/backend.h"
#include "core/quant/quant_tensor.h"
#include "core/tensor/arena_plan.h"

namespace mbt {

/// Planned arrays of a QuantTensorView; empty() when the tensor is not quantized.
struct QuantSlots {
  QuantSpec spec{};
  int64_t rows = 0, cols = 0;
  TensorSlot row_codes, row_scale, row_amax;
  TensorSlot col_codes, col_scale, col_amax;
  bool columnwise_is_transposed = false;
  /// The column-wise copy is the row-wise one.
  bool is_shared() const { return spec.columnwise_shares_codes() && !columnwise_is_transposed; }
  bool empty() const { return row_scale.empty() && col_scale.empty(); }  // row codes may lie elsewhere
};

/// Which copies a tensor needs: row-wise for sums over its columns, column-wise for sums over its rows.
struct QuantCopies {
  bool rowwise = true;
  bool columnwise = true;
  bool columnwise_is_transposed = false;  ///< QuantCopy::is_transposed
  bool row_codes_elsewhere = false;       ///< not planned here: bind_quantized is told where they are
};

/// Backend::wants_transposed, or what stands for it: which column-wise copies are planned transposed.
using TransposedQuery = std::function<bool(const QuantSpec& spec)>;
/// `backend` must outlive the result.
TransposedQuery transposed_query(const Backend& backend);

/// Plans the copies. Copies that share their codes are planned once, whether one or both are needed.
QuantSlots plan_quantized(ArenaPlan& arena, MemoryCategory category, const QuantSpec& spec, int64_t rows, int64_t cols, QuantCopies copies);
/// scale and amax (delayed scaling) are left null: DelayedState sets them. row_codes: where they are, when they were planned elsewhere.
QuantTensorView bind_quantized(const ArenaPlan& arena, void* base, const QuantSlots& slots, void* row_codes = nullptr);

}  // namespace mbt
