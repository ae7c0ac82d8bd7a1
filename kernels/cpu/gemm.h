// Matrix products of the CPU backend (contract: core/ops/gemm.h). Through oneDNN where the build has it, else own blocked loops.
//  - bf16 operands run on AVX512-BF16 or AMX where the processor has them; elsewhere, and f16 everywhere, as exact f32 copies;
//  - quantised operands are emulated exactly: codes with their power-of-two and block scales are exact bf16 numbers, and the
//    per-tensor factors multiply the fp32 accumulator before its only rounding.
// Same bits for the same operands and thread count.
#pragma once

#include <memory>

#include "core/backend/backend.h"

namespace mbt::cpu {

/// Owns the primitive cache and the scratch that the products share. Not thread-safe: one product at a time.
class Gemm {
 public:
  Gemm();
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  void run(const GemmArgs& args);
  /// Null specs: plain operands of dtype `act`.
  GemmSupport support(const QuantSpec* a, const QuantSpec* b, DType act) const;
  /// What executes the products: "oneDNN 2.6.3, bf16 on AVX512-BF16".
  std::string description() const;
  /// Grows while new shapes come, then stays.
  size_t scratch_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mbt::cpu
