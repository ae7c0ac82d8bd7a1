#include "kernels/cpu/loops/embedding.h"

#include "kernels/cpu/loops/element.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

template <class T>
void fwd(const EmbeddingFwdArgs& a) {
  const int64_t count = a.tokens.size();
  const int64_t cols = a.table.cols();
  const int32_t* tokens = a.tokens.as<int32_t>();
  const T* table = a.table.as<T>();
  const T* position_table = a.position_table.as<T>();
  const int32_t* positions = a.positions.as<int32_t>();
  T* out = a.out.as<T>();
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < count; ++n) {
    const T* row = table + tokens[n] * cols;
    T* to = out + n * cols;
    if (position_table == nullptr) {
      __builtin_memcpy(to, row, static_cast<size_t>(cols) * sizeof(T));
      continue;
    }
    const T* position = position_table + (positions ? positions[n] : a.first_position + n % a.sequence_length) * cols;
#pragma omp simd
    for (int64_t c = 0; c < cols; ++c) store(to, c, load(row, c) + load(position, c));
  }
}

/// Threads share the columns, so each row of a table is summed by one thread in order of n.
template <class T>
void bwd(const EmbeddingBwdArgs& a) {
  constexpr int64_t kStrip = 64;
  const int64_t count = a.tokens.size();
  const int64_t cols = a.d_table.cols();
  const int32_t* tokens = a.tokens.as<int32_t>();
  const T* d_out = a.d_out.as<T>();
  float* d_table = a.d_table.as<float>();
  float* d_position_table = a.d_position_table.as<float>();
  const int32_t* positions = a.positions.as<int32_t>();
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < cols; first += kStrip) {
    const int64_t last = first + kStrip < cols ? first + kStrip : cols;
    for (int64_t n = 0; n < count; ++n) {
      const T* from = d_out + n * cols;
      float* row = d_table + tokens[n] * cols;
#pragma omp simd
      for (int64_t c = first; c < last; ++c) row[c] += load(from, c);
      if (d_position_table == nullptr) continue;
      float* position = d_position_table + (positions ? positions[n] : n % a.sequence_length) * cols;
#pragma omp simd
      for (int64_t c = first; c < last; ++c) position[c] += load(from, c);
    }
  }
}

}  // namespace

void embedding_fwd(const EmbeddingFwdArgs& args) {
  with_act(args.table.dtype, [&]<class T>(T*) { fwd<T>(args); });
}

void embedding_bwd(const EmbeddingBwdArgs& args) {
  with_act(args.d_out.dtype, [&]<class T>(T*) { bwd<T>(args); });
}

}  // namespace mbt::cpu::MBT_LEVEL
