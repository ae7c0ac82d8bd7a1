#include "tests/emulation/engine/matrix.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/numerics/codecs.h"

namespace mbt::emulation {
namespace {

constexpr uint32_t kAllLanes = 0xFFFFFFFF;

struct MmaOperands {
  bool bf16;
  float* d;
  const uint32_t *a, *b;
};

/// Element `half` (0: lower) of a register.
double element(bool bf16, uint32_t bits, int half) {
  static const std::vector<float> fp16_values = [] {
    std::vector<float> values(0x10000);
    for (uint32_t code = 0; code < values.size(); ++code) values[code] = decode_fp16(static_cast<uint16_t>(code));
    return values;
  }();
  const auto code = static_cast<uint16_t>(bits >> (16 * half));
  return bf16 ? decode_bf16(code) : fp16_values[code];
}

/// Lays the fragments out as the matrices they are parts of, multiplies, and puts the sums back.
void multiply(const Lanes& lanes) {
  double a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const MmaOperands& own = lanes.at<MmaOperands>(lane);
    const int group = lane / 4, pair = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < 4; ++r) a[group + r % 2 * 8][2 * pair + half + r / 2 * 8] = element(own.bf16, own.a[r], half);
      for (int r = 0; r < 2; ++r) b[2 * pair + half + r * 8][group] = element(own.bf16, own.b[r], half);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* const d = lanes.at<MmaOperands>(lane).d;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = 2 * (lane % 4) + i % 2;
      double sum = d[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      d[i] = std::isnan(sum) ? std::bit_cast<float>(0x7FFFFFFFU) : static_cast<float>(sum);  // the hardware's only NaN
    }
  }
}

struct LdmatrixOperands {
  uint32_t* r;
  int matrices;
  const uint16_t* row;
  bool transposed;
};

void load(const Lanes& lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    const LdmatrixOperands& own = lanes.at<LdmatrixOperands>(lane);
    const int row = lane / 4, column = lane % 4 * 2;
    for (int matrix = 0; matrix < own.matrices; ++matrix) {
      const auto at = [&](int i, int j) { return uint32_t{lanes.at<LdmatrixOperands>(8 * matrix + i).row[j]}; };
      own.r[matrix] = own.transposed ? at(column, row) | at(column + 1, row) << 16 : at(row, column) | at(row, column + 1) << 16;
    }
  }
}

}  // namespace

void mma_m16n8k16(bool bf16, float* d, const uint32_t* a, const uint32_t* b, Site site) {
  MmaOperands own{bf16, d, a, b};
  warp_collective(kAllLanes, &own, multiply, "mma", site);
}

void ldmatrix(uint32_t* r, int matrices, const void* row, bool transposed, Site site) {
  if (here.lane < static_cast<unsigned>(8 * matrices)) require_shared(row, 16, 16, "ldmatrix", site);
  LdmatrixOperands own{r, matrices, static_cast<const uint16_t*>(row), transposed};
  warp_collective(kAllLanes, &own, load, "ldmatrix", site);
}

}  // namespace mbt::emulation
