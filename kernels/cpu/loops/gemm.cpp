#include "kernels/cpu/loops/gemm.h"

#include <memory>

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

// A register tile of kTileRows x 2 vectors; blocks that keep the packed operands and the sums of one block of c in the L2 cache.
#if defined(__AVX512F__)
constexpr int kLanes = 16, kTileRows = 12;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kTileRows = 6;
#else
constexpr int kLanes = 4, kTileRows = 6;
#endif
constexpr int kTileCols = 2 * kLanes;
constexpr int64_t kBlockRows = 96, kBlockCols = 256, kBlockSummed = 256;
static_assert(kBlockRows % kTileRows == 0 && kBlockCols % kTileCols == 0);

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

struct Blocks {
  alignas(64) float a[kBlockRows * kBlockSummed];  // panels of kTileRows rows: [panel][summed][row]
  alignas(64) float b[kBlockSummed * kBlockCols];  // panels of kTileCols columns: [panel][summed][column]
  alignas(64) float c[kBlockRows * kBlockCols];
};

/// Elements below which starting the threads takes longer than the loop.
constexpr int64_t kWorthThreads = 1 << 14;
constexpr int64_t kWidenPiece = 4096;

constexpr int64_t smaller(int64_t x, int64_t y) { return x < y ? x : y; }

/// Packs `extent` x `summed` elements into panels of kPanel; element (i, p) lies at x[i * stride_i + p * stride_p]. Pads with zeros.
template <int kPanel>
void pack(const float* x, int64_t stride_i, int64_t stride_p, int64_t extent, int64_t summed, float* out) {
  for (int64_t first = 0; first < extent; first += kPanel, out += kPanel * summed) {
    const int64_t count = smaller(kPanel, extent - first);
    const float* panel = x + first * stride_i;
    for (int64_t p = 0; p < summed; ++p)
      for (int64_t i = 0; i < kPanel; ++i) out[p * kPanel + i] = i < count ? panel[i * stride_i + p * stride_p] : 0.0f;
  }
}

/// c (row stride kBlockCols) += a panel times b panel.
void multiply_tile(int64_t summed, const float* a, const float* b, float* c) {
  Vector sum[kTileRows][2];
  for (int i = 0; i < kTileRows; ++i)
    for (int j = 0; j < 2; ++j) sum[i][j] = *reinterpret_cast<const Vector*>(c + i * kBlockCols + j * kLanes);
  for (int64_t p = 0; p < summed; ++p, a += kTileRows, b += kTileCols) {
    const Vector b0 = *reinterpret_cast<const Vector*>(b);
    const Vector b1 = *reinterpret_cast<const Vector*>(b + kLanes);
    for (int i = 0; i < kTileRows; ++i) {
      sum[i][0] += a[i] * b0;
      sum[i][1] += a[i] * b1;
    }
  }
  for (int i = 0; i < kTileRows; ++i)
    for (int j = 0; j < 2; ++j) *reinterpret_cast<Vector*>(c + i * kBlockCols + j * kLanes) = sum[i][j];
}

struct Product {
  int64_t m, n, k;
  const float *a, *b;
  int64_t a_row_stride, a_summed_stride, b_col_stride, b_summed_stride;
};

/// blocks.c = the sums of the block of c at (row, col).
void multiply_block(const Product& g, int64_t row, int64_t rows, int64_t col, int64_t cols, Blocks& blocks) {
  for (float& x : blocks.c) x = 0.0f;
  for (int64_t p = 0; p < g.k; p += kBlockSummed) {
    const int64_t summed = smaller(kBlockSummed, g.k - p);
    pack<kTileRows>(g.a + row * g.a_row_stride + p * g.a_summed_stride, g.a_row_stride, g.a_summed_stride, rows, summed, blocks.a);
    pack<kTileCols>(g.b + col * g.b_col_stride + p * g.b_summed_stride, g.b_col_stride, g.b_summed_stride, cols, summed, blocks.b);
    for (int64_t j = 0; j < cols; j += kTileCols)
      for (int64_t i = 0; i < rows; i += kTileRows)
        multiply_tile(summed, blocks.a + i * summed, blocks.b + j * summed, blocks.c + i * kBlockCols + j);
  }
}

}  // namespace

void gemm_f32(int64_t m, int64_t n, int64_t k, const float* a, bool a_is_transposed, const float* b, bool b_is_transposed, float* c,
              float alpha, const float* bias, bool accumulate) {
  const Product g{m, n, k, a, b, a_is_transposed ? 1 : k, a_is_transposed ? m : 1, b_is_transposed ? k : 1, b_is_transposed ? 1 : n};
  const int64_t row_blocks = (m + kBlockRows - 1) / kBlockRows;
  const int64_t col_blocks = (n + kBlockCols - 1) / kBlockCols;
#pragma omp parallel if (row_blocks * col_blocks > 1)
  {
    const auto own = std::make_unique_for_overwrite<Blocks>();
    Blocks& blocks = *own;
#pragma omp for schedule(static) collapse(2)
    for (int64_t bj = 0; bj < col_blocks; ++bj) {
      for (int64_t bi = 0; bi < row_blocks; ++bi) {
        const int64_t row = bi * kBlockRows, rows = smaller(kBlockRows, m - row);
        const int64_t col = bj * kBlockCols, cols = smaller(kBlockCols, n - col);
        multiply_block(g, row, rows, col, cols, blocks);
        for (int64_t i = 0; i < rows; ++i) {
          const float* sum = blocks.c + i * kBlockCols;
          float* out = c + (row + i) * n + col;
          for (int64_t j = 0; j < cols; ++j) {
            const float x = alpha * sum[j] + (bias ? bias[col + j] : 0.0f);
            out[j] = accumulate ? out[j] + x : x;
          }
        }
      }
    }
  }
}

void gemm_widen(const ConstTensorView& x, int64_t first_col, int64_t cols, float* out) {
  // A contiguous range is one long row: threads then share it evenly, however few rows there are.
  const bool is_contiguous = cols == x.cols();
  const int64_t size = x.rows() * cols, piece = is_contiguous ? kWidenPiece : cols, stride = is_contiguous ? kWidenPiece : x.cols();
  const int64_t pieces = (size + piece - 1) / piece;
  with_act(x.dtype, [&]<class T>(T*) {
    const T* in = x.as<T>() + first_col;
#pragma omp parallel for schedule(static) if (size > kWorthThreads)
    for (int64_t p = 0; p < pieces; ++p) {
      const T* from = in + p * stride;
      float* to = out + p * piece;
      const int64_t count = smaller(piece, size - p * piece);
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) to[i] = load(from, i);
    }
  });
}

void gemm_finish(const float* sum, float alpha, const float* bias, bool accumulate, const TensorView& out) {
  const int64_t rows = out.rows(), cols = out.cols();
  with_act(out.dtype, [&]<class T>(T*) {
#pragma omp parallel for schedule(static) if (rows * cols > kWorthThreads)
    for (int64_t i = 0; i < rows; ++i) {
      T* y = out.as<T>() + i * cols;
      const float* x = sum + i * cols;
      for (int64_t j = 0; j < cols; ++j) store(y, j, alpha * x[j] + (bias ? bias[j] : 0.0f) + (accumulate ? load(y, j) : 0.0f));
    }
  });
}

}  // namespace mbt::cpu::MBT_LEVEL
