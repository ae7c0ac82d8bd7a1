// Matrix products of the CPU backend (contract: core/ops/gemm.h). Through oneDNN where the build has it, else own blocked loops.
//  - few rows of 16 bits read the weight as it is, in own loops: they are bound by memory;
//  - bf16 operands run on AVX512-BF16 or AMX where those are faster than fp32; elsewhere, and f16 everywhere, as exact f32 copies;
//  - quantized operands are emulated exactly: codes with their power-of-two and block scales are exact bf16 numbers, and the
//    per-tensor factors multiply the fp32 accumulator before its only rounding.
// Same bits for the same operands and thread count.
#pragma once

#include <memory>

#include "core/backend/backend.h"

namespace mbt::cpu {

/// Owns the primitive cache and the scratch that the products share. Not thread-safe: one product at a time.
class Gemm {
 public:
  /// block_elements: f32 copies of operands and sums that a product may hold at a time, beside the whole of its second operand; larger
  /// products run in blocks of rows.
  explicit Gemm(int64_t block_elements = 16 << 20);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  void run(const GemmArgs& args);
  /// Null specs: plain operands of dtype `act`.
  GemmSupport support(const QuantSpec* a, const QuantSpec* b, DType act) const;
  /// Scratch that a product needs while it runs; what run() takes for the same product.
  size_t scratch_bytes_for(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const;
  /// What executes the products: "oneDNN 2.6.3, bf16 on AVX512-BF16".
  std::string description() const;
  /// Grows while new shapes come, then stays.
  size_t scratch_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  int64_t block_elements_;
};

}  // namespace mbt::cpu
