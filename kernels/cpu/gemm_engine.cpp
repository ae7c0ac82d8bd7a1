// GemmEngine without oneDNN: fp32 only.
#if !MBT_HAVE_ONEDNN

#include "kernels/cpu/gemm_engine.h"

#include "kernels/cpu/loops/gemm.h"

namespace mbt::cpu {

struct GemmEngine::State {};

GemmEngine::GemmEngine() = default;
GemmEngine::~GemmEngine() = default;

void GemmEngine::run(const MatrixProduct& p) {
  MBT_CHECK(p.operand_type == DType::f32 && p.result_type == DType::f32, "the loops multiply f32, not ", name_of(p.operand_type));
  MBT_AT_LEVEL(gemm_f32)
  (p.m, p.n, p.k, static_cast<const float*>(p.a), p.a_is_transposed, static_cast<const float*>(p.b), p.b_is_transposed,
   static_cast<float*>(p.c), p.alpha, p.bias, p.accumulate);
}

size_t GemmEngine::scratch_bytes() const { return 0; }
bool GemmEngine::has_bf16() { return false; }
std::string GemmEngine::description() { return text("own fp32 loops, ", name_of(level())); }

}  // namespace mbt::cpu

#endif  // !MBT_HAVE_ONEDNN
