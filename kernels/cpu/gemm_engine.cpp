// Small products, and the whole GemmEngine for builds without oneDNN: fp32 only.
#include "kernels/cpu/gemm_engine.h"

#include "kernels/cpu/loops/gemm.h"
#include "kernels/cpu/loops/gemm_small.h"

namespace mbt::cpu {

bool run_if_small(const MatrixProduct& p, int64_t limit) {
  if (p.operand_type != DType::f32 || p.result_type != DType::f32 || p.m * p.n * p.k >= limit) return false;
  MBT_AT_LEVEL(gemm_f32_small)
  (p.m, p.n, p.k, static_cast<const float*>(p.a), p.a_is_transposed, static_cast<const float*>(p.b), p.b_is_transposed,
   static_cast<float*>(p.c), p.alpha, p.bias, p.accumulate);
  return true;
}

#if !MBT_HAVE_ONEDNN

struct GemmEngine::State {};

GemmEngine::GemmEngine(int64_t small_limit) : small_limit_(small_limit) {}
GemmEngine::~GemmEngine() = default;

void GemmEngine::run(const MatrixProduct& p) {
  if (run_if_small(p, small_limit_)) return;
  MBT_CHECK(p.operand_type == DType::f32 && p.result_type == DType::f32, "the loops multiply f32, not {}", name_of(p.operand_type));
  MBT_AT_LEVEL(gemm_f32)
  (p.m, p.n, p.k, static_cast<const float*>(p.a), p.a_is_transposed, static_cast<const float*>(p.b), p.b_is_transposed,
   static_cast<float*>(p.c), p.alpha, p.bias, p.accumulate);
}

size_t GemmEngine::scratch_bytes() const { return 0; }
bool GemmEngine::has_bf16() { return false; }
std::string GemmEngine::description() { return fmt::format("own fp32 loops, {}", name_of(level())); }

#endif  // !MBT_HAVE_ONEDNN

}  // namespace mbt::cpu
