// Memory of one quantised tensor, planned and bound.
#pragma once

#include "core/quant/quant_tensor.h"
#include "core/tensor/arena_plan.h"

namespace mbt {

/// Planned arrays of a QuantTensorView; empty() when the tensor is not quantised.
struct QuantSlots {
  QuantSpec spec{};
  int64_t rows = 0, cols = 0;
  TensorSlot row_codes, row_scale, row_amax;
  TensorSlot col_codes, col_scale, col_amax;
  bool empty() const { return row_codes.empty() && col_codes.empty(); }
};

/// Which copies a tensor needs: row-wise for sums over its columns, column-wise for sums over its rows.
struct QuantCopies {
  bool rowwise = true;
  bool columnwise = true;
};

QuantSlots plan_quantised(ArenaPlan& arena, MemoryCategory category, const QuantSpec& spec, int64_t rows, int64_t cols, QuantCopies copies);
/// scale and amax (delayed scaling) are left null: DelayedState sets them.
QuantTensorView bind_quantised(const ArenaPlan& arena, void* base, const QuantSlots& slots);

}  // namespace mbt
