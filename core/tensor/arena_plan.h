// Planning memory before any is allocated: a list of tensors with offsets. The same plan serves `mbtrain plan` (sizes by category) and the
// model (one allocation, then views into it).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/tensor/tensor_view.h"

namespace mbt {

/// What a tensor is for; `mbtrain plan` reports memory by these.
enum class MemoryCategory : uint8_t {
  weights,            ///< working weights in the activation dtype
  quantized_weights,  ///< codes and scales of weights
  masters,            ///< fp32 master weights
  moments,            ///< Adam's two moments
  gradients,          ///< fp32 main gradients
  activations,        ///< kept from forward to backward
  workspace,          ///< shared between layers: activation gradients, logits, temporaries
};
constexpr int kMemoryCategories = 7;
constexpr std::string_view name_of(MemoryCategory c) {
  constexpr std::string_view names[] = {"weights",        "quantized weights", "master weights", "Adam moments",
                                        "main gradients", "activations",       "workspace"};
  return names[static_cast<int>(c)];
}

/// Index of a planned tensor. Bound to memory by Arena.
struct TensorSlot {
  int32_t index = -1;
  bool empty() const { return index < 0; }
};

class ArenaPlan {
 public:
  static constexpr int64_t kAlignment = 256;  // bytes; also enough for 512-bit loads and cuBLASLt

  TensorSlot add(MemoryCategory category, DType dtype, const Shape& shape) {
    tensors_.push_back({category, dtype, shape, total_bytes_});
    const int64_t bytes = (shape.size() * size_of(dtype) + kAlignment - 1) / kAlignment * kAlignment;
    total_bytes_ += bytes;
    by_category_[static_cast<size_t>(category)] += bytes;
    return {static_cast<int32_t>(tensors_.size()) - 1};
  }
  int64_t total_bytes() const { return total_bytes_; }
  int64_t bytes(MemoryCategory c) const { return by_category_[static_cast<size_t>(c)]; }

  /// The view of a slot inside memory that starts at `base`; the empty view for the empty slot.
  TensorView bind(void* base, TensorSlot slot) const {
    if (slot.empty()) return {};
    const Planned& p = tensors_[static_cast<size_t>(slot.index)];
    return {static_cast<char*>(base) + p.offset, p.dtype, p.shape};
  }

 private:
  struct Planned {
    MemoryCategory category;
    DType dtype;
    Shape shape;
    int64_t offset;
  };
  std::vector<Planned> tensors_;
  int64_t total_bytes_ = 0;
  std::array<int64_t, kMemoryCategories> by_category_{};
};

}  // namespace mbt
