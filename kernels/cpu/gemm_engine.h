// Executes products of dense matrices of floats: oneDNN where the build has it, else the loops of loops/gemm.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/tensor/dtype.h"

namespace mbt::cpu {

/// c[m,n] = alpha * op(a)[m,k] op(b)[k,n] (+ bias) (+ c), all dense and row-major, accumulated in fp32 and rounded once.
struct MatrixProduct {
  int64_t m, n, k;
  DType operand_type;  // f32, or bf16 when the engine has bf16 units
  const void* a;       // [m,k], or [k,m] when a_is_transposed
  bool a_is_transposed;
  const void* b;  // [k,n], or [n,k] when b_is_transposed
  bool b_is_transposed;
  DType result_type;  // f32, or bf16 from bf16 operands
  void* c;
  float alpha = 1.0f;
  const float* bias = nullptr;  // [n]
  bool accumulate = false;
};

/// f32 products of fewer than `limit` multiply-adds are summed in double (loops/gemm_small.h). False: it is none of those.
bool run_if_small(const MatrixProduct& product, int64_t limit);

/// Not thread-safe. Each product runs on the number of threads that OpenMP gave where its shape came first: one engine must always be
/// called from the same kind of place, inside a parallel region (with omp_set_num_threads(1) in force) or outside.
class GemmEngine {
 public:
  /// small_limit: see run_if_small.
  explicit GemmEngine(int64_t small_limit = 1 << 22);
  ~GemmEngine();
  GemmEngine(const GemmEngine&) = delete;
  GemmEngine& operator=(const GemmEngine&) = delete;

  void run(const MatrixProduct& product);
  size_t scratch_bytes() const;

  /// The processor multiplies bf16 faster than fp32, and the engine uses that. Intel's AVX512-BF16 does not: its dot product issues every
  /// other cycle (0.17 against 0.31 TFLOP/s of fp32 measured on two cores), so there AMX alone counts; AMD's does.
  static bool has_bf16();
  /// "oneDNN 2.6.3, bf16 on AVX512-BF16" or "own fp32 loops, x86-64-v3".
  static std::string description();

 private:
  struct State;
  std::unique_ptr<State> state_;
  int64_t small_limit_;
};

}  // namespace mbt::cpu
