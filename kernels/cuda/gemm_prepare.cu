// Before a product: codes transposed for FP8 products, and the scalar factors of decoded operands. Both move few bytes beside the product.
#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/gemm_prepare.h"
#include "kernels/cuda/launch.h"

namespace mbt::cuda {
namespace {

constexpr int kTile = 64;  // of codes: 64 bytes a row, and of the transposed
constexpr int kThreads = 256;

struct TransposeShared {
  uint8_t tile[kTile][kTile + 4];  // rows 68 bytes apart: the banks of a column differ
};

/// One tile a block: read by rows, written by columns.
__global__ void __launch_bounds__(kThreads) transpose_codes_kernel(const uint8_t* __restrict__ codes, int64_t rows, int64_t cols,
                                                                   uint8_t* __restrict__ out) {
  auto& shared = shared_memory<TransposeShared>();
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kTile, first_col = static_cast<int64_t>(blockIdx.x) * kTile;
  const int x = static_cast<int>(threadIdx.x) % kTile, y = static_cast<int>(threadIdx.x) / kTile;
  for (int r = y; r < kTile; r += kThreads / kTile) {
    if (first_row + r < rows && first_col + x < cols) shared.tile[r][x] = codes[(first_row + r) * cols + first_col + x];
  }
  __syncthreads();
  for (int c = y; c < kTile; c += kThreads / kTile) {
    if (first_col + c < cols && first_row + x < rows) out[(first_col + c) * rows + first_row + x] = shared.tile[x][c];
  }
}

/// `factor` times `divisor`-th part; null: 1.
struct Factor {
  const float* value;
  float divisor;
};

__device__ float value_of(Factor f) { return f.value == nullptr ? 1.0F : __fdiv_rn(*f.value, f.divisor); }

__global__ void gemm_alpha_kernel(Factor a, Factor b, float beta, float* out) {
  out[0] = __fmul_rn(value_of(a), value_of(b));
  out[1] = beta;
}

Factor factor_of(const QuantTensorView& q, bool columnwise) {
  const QuantCopy& copy = columnwise ? q.columnwise : q.rowwise;
  if (q.spec.is_per_tensor()) return {static_cast<const float*>(copy.scale_inv), 1.0F};
  if (q.spec.scaling == QuantScaling::nvfp4) return {copy.global_amax, 2688.0F};
  return {nullptr, 1.0F};
}

}  // namespace

void launch_transpose_codes(const uint8_t* codes, int64_t rows, int64_t cols, uint8_t* out, const LaunchContext& context) {
  const dim3 grid(static_cast<unsigned>((cols + kTile - 1) / kTile), static_cast<unsigned>((rows + kTile - 1) / kTile));
  launch("transpose_codes", transpose_codes_kernel, {grid, dim3(kThreads), sizeof(TransposeShared)}, context.stream, codes, rows, cols, out);
}

void launch_gemm_alpha(const QuantTensorView& a, bool a_columnwise, const QuantTensorView& b, bool b_columnwise, bool accumulate, float* out,
                       const LaunchContext& context) {
  launch("gemm_alpha", gemm_alpha_kernel, {dim3(1), dim3(1)}, context.stream, factor_of(a, a_columnwise), factor_of(b, b_columnwise),
         accumulate ? 1.0F : 0.0F, out);
}

}  // namespace mbt::cuda
