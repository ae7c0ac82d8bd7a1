#include "kernels/cuda/gemm/gemm_product.h"

#include "core/base/error.h"

namespace mbt::cuda {
namespace {

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

std::string describe(const ProductMatrix& m) {
  const std::string scale = m.scale_mode == ScaleMode::none ? "" : fmt::format(" {}", name_of(m.scale_mode));
  const std::string ld = m.ld == m.rows ? "" : fmt::format(" ld {}", m.ld);
  return fmt::format("{} [{}x{}]{}{}{}", name_of(m.type), m.rows, m.cols, m.is_transposed ? "^T" : "", ld, scale);
}

}  // namespace

int64_t scale_bytes(ScaleMode mode, int64_t outer, int64_t k) {
  const int64_t block = block_of(mode), blocks = block == 0 ? 1 : (k + block - 1) / block;
  switch (mode) {
    case ScaleMode::none: return 0;
    case ScaleMode::scalar_32f: return 4;
    case ScaleMode::vec16_ue4m3:
    case ScaleMode::vec32_ue8m0: return round_up(outer, 128) * round_up(blocks, 4);
    case ScaleMode::vec128_32f: return 4 * outer * blocks;
    case ScaleMode::blk128x128_32f: return 4 * round_up(outer, 128) / 128 * round_up(blocks, 4);
  }
  return 0;
}

int alignment_of(const void* p) {
  int alignment = 256;
  while (reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(alignment) != 0) alignment /= 2;
  return alignment;
}

ProductKey key_of(const Product& p) {
  const auto type = [](ElementType t) { return static_cast<int64_t>(t.dtype) << 8 | static_cast<int64_t>(t.format); };
  const auto operand = [&](const ProductMatrix& m) { return type(m.type) << 8 | static_cast<int64_t>(m.scale_mode); };
  return {operand(p.first),
          operand(p.second),
          type(p.d_type),
          p.bias == nullptr ? -1 : type(p.bias_type),
          p.m,
          p.n,
          p.k,
          p.first.rows,
          p.first.cols,
          p.first.ld,
          p.second.rows,
          p.second.cols,
          p.second.ld,
          int64_t{p.first.is_transposed} << 1 | int64_t{p.second.is_transposed},
          int64_t{p.accumulates} << 2 | int64_t{p.alpha_beta != nullptr} << 1 | int64_t{p.fast_accumulation},
          alignment_of(p.first.data),
          alignment_of(p.second.data),
          alignment_of(p.d),
          p.bias == nullptr ? 0 : alignment_of(p.bias)};
}

std::string describe(const Product& p) {
  return fmt::format("{}, {} -> {} [{}x{}]{}{}{}{}, aligned to {}, {}, {}", describe(p.first), describe(p.second), name_of(p.d_type), p.m,
                     p.n, p.bias == nullptr ? "" : fmt::format(", bias {} aligned to {}", name_of(p.bias_type), alignment_of(p.bias)),
                     p.accumulates ? ", accumulated" : "", p.alpha_beta == nullptr ? "" : ", alpha on the device",
                     p.fast_accumulation ? ", fast accumulation" : "", alignment_of(p.first.data), alignment_of(p.second.data),
                     alignment_of(p.d));
}

}  // namespace mbt::cuda
