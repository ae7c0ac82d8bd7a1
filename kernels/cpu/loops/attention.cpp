#include "kernels/cpu/loops/attention.h"

#include "kernels/cpu/loops/element.h"
#include "kernels/cpu/loops/math.h"

namespace mbt::cpu::MBT_LEVEL {
namespace {

/// Rows of one head lie kilobytes apart, which the processor's own prefetcher does not follow.
template <class T>
void prefetch_row(const T* x, int64_t stride, int64_t width) {
  constexpr int64_t kRowsAhead = 8, kLine = 64 / sizeof(T);
  for (int64_t c = 0; c < width; c += kLine) __builtin_prefetch(x + kRowsAhead * stride + c);
}

int64_t clamp_to(int64_t x, int64_t limit) { return x < 0 ? 0 : x > limit ? limit : x; }

template <class T>
void softmax(const SoftmaxTile& t) {
  for (int64_t r = 0; r < t.rows; ++r) {
    const int64_t seen = clamp_to(t.visible + r, t.cols);
    const float* score = t.scores + r * t.cols;
    T* p = static_cast<T*>(t.p) + r * t.cols;
    float max = t.is_first ? -__builtin_inff() : t.max[r];
    const float old_max = max;
#pragma omp simd reduction(max : max)
    for (int64_t c = 0; c < seen; ++c) max = max_of(max, t.scale * score[c]);
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < seen; ++c) {
      const float e = exp_of(t.scale * score[c] - max);
      sum += e;
      store(p, c, e);
    }
    for (int64_t c = seen; c < t.cols; ++c) store(p, c, 0.0f);
    t.max[r] = max;
    if (t.is_first) {
      t.sum[r] = sum;
      continue;
    }
    const float correction = exp_of(old_max - max);
    t.sum[r] = t.sum[r] * correction + sum;
    for (int64_t c = 0; c < t.width; ++c) t.out[r * t.width + c] *= correction;
  }
}

template <class T>
void softmax_bwd(const SoftmaxBwdTile& t) {
  for (int64_t r = 0; r < t.keys; ++r) {
    const int64_t first = clamp_to(t.hidden + r, t.queries);
    const float* score = t.scores + r * t.stride;
    const float* d_p = t.d_p + r * t.stride;
    T* p = static_cast<T*>(t.p) + r * t.stride;
    T* d_score = static_cast<T*>(t.d_score) + r * t.stride;
    auto clear = [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        store(p, c, 0.0f);
        store(d_score, c, 0.0f);
      }
    };
    clear(0, first);
#pragma omp simd
    for (int64_t c = first; c < t.queries; ++c) {
      const float e = exp_of(t.scale * score[c] - t.lse[c]);
      store(p, c, e);
      store(d_score, c, t.scale * e * (d_p[c] - t.delta[c]));
    }
    clear(t.queries, t.stride);
  }
}

}  // namespace

void attention_softmax(const SoftmaxTile& tile) {
  if (tile.operand == DType::bf16) softmax<Bf16>(tile);
  else softmax<float>(tile);
}

void attention_softmax_bwd(const SoftmaxBwdTile& tile) {
  if (tile.operand == DType::bf16) softmax_bwd<Bf16>(tile);
  else softmax_bwd<float>(tile);
}

void attention_pack(const void* x, DType type, int64_t rows, int64_t stride, int64_t width, int64_t padded_rows, void* out, DType operand) {
  const int64_t bytes = width * size_of(operand);
  char* to = static_cast<char*>(out);
  with_act(type, [&]<class T>(T*) {
    const T* from = static_cast<const T*>(x);
    for (int64_t r = 0; r < rows; ++r, from += stride, to += bytes) {
      prefetch_row(from, stride, width);
      if (type == operand) __builtin_memcpy(to, from, static_cast<size_t>(bytes));
      else
        for (int64_t c = 0; c < width; ++c) reinterpret_cast<float*>(to)[c] = load(from, c);
    }
  });
  __builtin_memset(to, 0, static_cast<size_t>((padded_rows - rows) * bytes));
}

void attention_unpack(const float* x, const float* row_scale, int64_t rows, int64_t width, void* out, DType type, int64_t stride) {
  with_act(type, [&]<class T>(T*) {
    T* to = static_cast<T*>(out);
    for (int64_t r = 0; r < rows; ++r, x += width, to += stride) {
      prefetch_row(to, stride, width);
      const float scale = row_scale ? row_scale[r] : 1.0f;
      for (int64_t c = 0; c < width; ++c) store(to, c, x[c] * scale);
    }
  });
}

void attention_cancel_columns(float* x, int64_t rows, int64_t width) {
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0.0;
    float least = __builtin_inff();
    int64_t smallest = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const float value = x[r * width + c], magnitude = __builtin_fabsf(value);
      sum += value;
      if (magnitude > 0.0f && magnitude < least) least = magnitude, smallest = r;
    }
    float& corrected = x[smallest * width + c];
    corrected = static_cast<float>(corrected - sum);
  }
}

void attention_row_dots(const void* a, const void* b, DType type, int64_t rows, int64_t stride, int64_t width, float* delta) {
  with_act(type, [&]<class T>(T*) {
    const T* x = static_cast<const T*>(a);
    const T* y = static_cast<const T*>(b);
    for (int64_t r = 0; r < rows; ++r, x += stride, y += stride) {
      prefetch_row(x, stride, width);
      prefetch_row(y, stride, width);
      float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < width; ++c) sum += load(x, c) * load(y, c);
      delta[r] = sum;
    }
  });
}

}  // namespace mbt::cpu::MBT_LEVEL
