// Sums over many rows or elements: cut into chunks that depend on the size alone, summed chunk by chunk, then over the chunks in order.
// So the bits do not depend on the number of threads. The partial sums lie in scratch that the caller gives.
#pragma once

#include <cstdint>

namespace mbt::cpu {

/// A sum over rows has at most this many partial rows.
constexpr int64_t kMaxRowChunks = 64;
/// Elements of one partial sum of a flat range.
constexpr int64_t kFlatChunk = 16384;

}  // namespace mbt::cpu

#ifdef MBT_LEVEL
namespace mbt::cpu::MBT_LEVEL {

/// Chunk i holds the rows [begin(i), end(i)).
struct RowChunks {
  int64_t rows;
  int64_t per_chunk;
  int64_t count;
  explicit RowChunks(int64_t num_rows)
      : rows(num_rows),
        per_chunk(num_rows > 16 * kMaxRowChunks ? (num_rows + kMaxRowChunks - 1) / kMaxRowChunks : 16),
        count((num_rows + per_chunk - 1) / per_chunk) {}
  int64_t begin(int64_t i) const { return i * per_chunk; }
  int64_t end(int64_t i) const { return (i + 1) * per_chunk < rows ? (i + 1) * per_chunk : rows; }
};

/// out[c] += sum over chunks of partials[chunk * stride + c], summed in the type of the partials, in the order of the chunks.
template <class P>
inline void add_partials(const P* partials, int64_t count, int64_t stride, int64_t cols, float* out) {
  constexpr int64_t kStrip = 256;
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < cols; first += kStrip) {
    const int64_t width = first + kStrip < cols ? kStrip : cols - first;
    P sum[kStrip] = {};
    for (int64_t chunk = 0; chunk < count; ++chunk) {
      const P* partial = partials + chunk * stride + first;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) sum[c] += partial[c];
    }
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) out[first + c] += static_cast<float>(sum[c]);
  }
}

}  // namespace mbt::cpu::MBT_LEVEL
#endif
