#include "tests/emulation/kernels/matrix.h"

#include "kernels/cuda/device/shared.h"
#include "kernels/cuda/runtime/launch.h"

namespace mbt::cuda {
namespace {

__device__ uint32_t two(uint16_t low, uint16_t high) { return low | static_cast<uint32_t>(high) << 16; }

__device__ void store_sums(float* d, const float (&sums)[4]) {
  const int row = static_cast<int>(threadIdx.x) / 4, column = static_cast<int>(threadIdx.x) % 4 * 2;
  for (int i = 0; i < 4; ++i) d[(row + i / 2 * 8) * 8 + column + i % 2] += sums[i];
}

template <MmaInput kInput>
__global__ void mma_by_hand_kernel(float* d, const uint16_t* a, const uint16_t* b) {
  const int group = static_cast<int>(threadIdx.x) / 4, pair = static_cast<int>(threadIdx.x) % 4;
  const auto a_at = [&](int row, int column) { return two(a[row * 16 + column], a[row * 16 + column + 1]); };
  const auto b_at = [&](int row, int column) { return two(b[row * 8 + column], b[(row + 1) * 8 + column]); };
  const uint32_t a_part[4] = {a_at(group, 2 * pair), a_at(group + 8, 2 * pair), a_at(group, 2 * pair + 8), a_at(group + 8, 2 * pair + 8)};
  const uint32_t b_part[2] = {b_at(2 * pair, group), b_at(2 * pair + 8, group)};
  float sums[4] = {};
  mma_m16n8k16<kInput>(sums, a_part, b_part);
  store_sums(d, sums);
}

struct MmaShared {
  alignas(16) uint16_t a[16][16];
  alignas(16) uint16_t b[16][8];
};

template <MmaInput kInput>
__global__ void mma_by_ldmatrix_kernel(float* d, const uint16_t* a, const uint16_t* b) {
  auto& shared = shared_memory<MmaShared>();
  const int lane = static_cast<int>(threadIdx.x);
  cp_async_16(&shared.a[lane / 2][lane % 2 * 8], a + lane * 8);
  if (lane < 16) cp_async_16(&shared.b[lane][0], b + lane * 8);
  cp_async_wait_all();
  __syncwarp();
  uint32_t a_part[4], b_part[2];
  ldmatrix_x4(a_part, &shared.a[lane % 16][lane / 16 * 8]);  // upper left, lower left, upper right, lower right
  ldmatrix_x2_trans(b_part, &shared.b[lane % 16][0]);
  float sums[4] = {};
  mma_m16n8k16<kInput>(sums, a_part, b_part);
  store_sums(d, sums);
}

struct LdmatrixShared {
  alignas(16) uint16_t m[4][8][8];
};

__global__ void ldmatrix_kernel(int form, uint32_t* out, const uint16_t* m) {
  auto& shared = shared_memory<LdmatrixShared>();
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) shared.m[i / 64][i / 8 % 8][i % 8] = m[i];
  __syncwarp();
  uint32_t r[4] = {}, half[2] = {};
  if (form == 0) ldmatrix_x4(r, &shared.m[lane / 8][lane % 8][0]);
  if (form == 1) ldmatrix_x4_trans(r, &shared.m[lane / 8][lane % 8][0]);
  if (form == 2) ldmatrix_x2(half, &shared.m[lane / 8 % 2][lane % 8][0]);
  if (form == 3) ldmatrix_x2_trans(half, &shared.m[lane / 8 % 2][lane % 8][0]);
  for (int i = 0; i < 4; ++i) out[lane * 4 + i] = form < 2 ? r[i] : i < 2 ? half[i] : 0;
}

constexpr int kTile = 128, kStages = 3;
struct PipelineShared {
  alignas(16) float tiles[kStages][kTile];
};

__global__ void pipelined_copy_kernel(float* y, const float* x, int tiles, int valid_tiles) {
  auto& shared = shared_memory<PipelineShared>();
  const int lane = static_cast<int>(threadIdx.x);
  const auto begin = [&](int tile) {  // every thread commits as many groups, with copies in them or not
    if (tile < tiles) {
      const bool valid = tile < valid_tiles;
      cp_async_16_or_zero(&shared.tiles[tile % kStages][lane * 4], x + (valid ? tile * kTile + lane * 4 : 0), valid);
    }
    cp_async_commit();
  };
  begin(0);
  begin(1);
  for (int tile = 0; tile < tiles; ++tile) {
    cp_async_wait<1>();
    __syncwarp();
    for (int i = lane; i < kTile; i += 32) y[tile * kTile + i] = shared.tiles[tile % kStages][i];
    begin(tile + 2);  // into the tile before this one, which all lanes have read
  }
}

__global__ void conversions_kernel(uint32_t* out, const float* x, int pairs) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= pairs) return;
  const float low = x[2 * i], high = x[2 * i + 1];
  const uint16_t e4m3 = cvt_rn_satfinite_e4m3x2(low, high), e5m2 = cvt_rn_satfinite_e5m2x2(low, high);
  out[5 * i] = e4m3 | static_cast<uint32_t>(e5m2) << 16;
  out[5 * i + 1] = cvt_rn_bf16x2(low, high);
  out[5 * i + 2] = cvt_rn_f16x2(low, high);
  out[5 * i + 3] = cvt_f16x2_e4m3x2(e4m3);
  out[5 * i + 4] = cvt_f16x2_e5m2x2(e5m2);
}

}  // namespace

void launch_mma_by_hand(MmaInput input, float* d, const uint16_t* a, const uint16_t* b) {
  const auto kernel = input == MmaInput::bf16 ? mma_by_hand_kernel<MmaInput::bf16> : mma_by_hand_kernel<MmaInput::f16>;
  launch("mma_by_hand", kernel, {1, 32}, nullptr, d, a, b);
}
void launch_mma_by_ldmatrix(MmaInput input, float* d, const uint16_t* a, const uint16_t* b) {
  const auto kernel = input == MmaInput::bf16 ? mma_by_ldmatrix_kernel<MmaInput::bf16> : mma_by_ldmatrix_kernel<MmaInput::f16>;
  launch("mma_by_ldmatrix", kernel, {1, 32, sizeof(MmaShared)}, nullptr, d, a, b);
}
void launch_ldmatrix(int form, uint32_t* r, const uint16_t* m) {
  launch("ldmatrix", ldmatrix_kernel, {1, 32, sizeof(LdmatrixShared)}, nullptr, form, r, m);
}
void launch_pipelined_copy(float* y, const float* x, int n, int valid) {
  launch("pipelined_copy", pipelined_copy_kernel, {1, 32, sizeof(PipelineShared)}, nullptr, y, x, n / kTile, valid / kTile);
}
void launch_conversions(uint32_t* out, const float* x, int pairs) {
  launch("conversions", conversions_kernel, {static_cast<unsigned>((pairs + 127) / 128), 128}, nullptr, out, x, pairs);
}

}  // namespace mbt::cuda
