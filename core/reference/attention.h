// Causal attention in double with the whole [T,T] matrix, for tests: what is hidden is a score of -Inf.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/ops/attention.h"
#include "core/reference/guarded_tensor.h"

namespace mbt::ref {

struct AttentionCase {
  int64_t batch, length, heads, kv_heads, width;
  float other_scale = 0.0F;  // 0: the root of the width's inverse
  int64_t rows() const { return batch * length; }
  int64_t qkv_cols() const { return (heads + 2 * kv_heads) * width; }
  float scale() const { return other_scale > 0.0F ? other_scale : static_cast<float>(1.0 / std::sqrt(static_cast<double>(width))); }
};

/// document_start [B*T] of sequences that hold documents of these lengths, each sequence beginning with another.
inline std::vector<int32_t> documents_of(const AttentionCase& c, const std::vector<int64_t>& lengths) {
  std::vector<int32_t> start;
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t t = 0, i = b; t < c.length; ++i)
      for (const int64_t begin = t, end = std::min(c.length, t + lengths[static_cast<size_t>(i) % lengths.size()]); t < end; ++t)
        start.push_back(static_cast<int32_t>(begin));
  return start;
}

/// From the rounded inputs. document_start: [B*T], or empty.
struct AttentionReference {
  std::vector<double> out, lse, d_qkv;

  AttentionReference(const AttentionCase& c, const GuardedTensor& qkv_tensor, const GuardedTensor& d_out_tensor,
                     const std::vector<int32_t>& document_start = {})
      : out(static_cast<size_t>(c.rows() * c.heads * c.width)),
        lse(static_cast<size_t>(c.batch * c.heads * c.length)),
        d_qkv(static_cast<size_t>(c.rows() * c.qkv_cols())),
        c_(c),
        qkv_(qkv_tensor.values()),
        d_out_(d_out_tensor.values()) {
    for (int64_t b = 0; b < c.batch; ++b)
      for (int64_t h = 0; h < c.heads; ++h)
        for (int64_t t = 0; t < c.length; ++t)
          row(b, h, t, document_start.empty() ? 0 : document_start[static_cast<size_t>(b * c.length + t)]);
  }

 private:
  using Values = std::vector<double>;

  double dot(const Values& x, int64_t i, const Values& y, int64_t j) const {
    double sum = 0;
    for (int64_t d = 0; d < c_.width; ++d) sum += x[static_cast<size_t>(i + d)] * y[static_cast<size_t>(j + d)];
    return sum;
  }

  /// Query t of a head, which sees the keys [begin, t].
  void row(int64_t b, int64_t h, int64_t t, int64_t begin) {
    const int64_t kv = h / (c_.heads / c_.kv_heads);
    const auto index = [&](int64_t place, int64_t head) { return (b * c_.length + place) * c_.qkv_cols() + head * c_.width; };
    const int64_t q = index(t, h), o = (b * c_.length + t) * c_.heads * c_.width + h * c_.width;
    Values p(static_cast<size_t>(c_.length)), d_p(p.size());
    double max = -INFINITY, sum = 0, mean = 0;
    for (int64_t s = 0; s < c_.length; ++s) {
      const bool is_seen = begin <= s && s <= t;
      max = std::max(max, p[static_cast<size_t>(s)] = is_seen ? c_.scale() * dot(qkv_, q, qkv_, index(s, c_.heads + kv)) : -INFINITY);
    }
    for (double& x : p) sum += x = std::exp(x - max);
    lse[static_cast<size_t>((b * c_.heads + h) * c_.length + t)] = max + std::log(sum);
    for (int64_t s = 0; s < c_.length; ++s) {
      const auto i = static_cast<size_t>(s);
      const int64_t v = index(s, c_.heads + c_.kv_heads + kv);
      p[i] /= sum;
      d_p[i] = dot(d_out_, o, qkv_, v);
      mean += p[i] * d_p[i];
      for (int64_t d = 0; d < c_.width; ++d) {
        out[static_cast<size_t>(o + d)] += p[i] * qkv_[static_cast<size_t>(v + d)];
        d_qkv[static_cast<size_t>(v + d)] += p[i] * d_out_[static_cast<size_t>(o + d)];
      }
    }
    for (int64_t s = 0; s < c_.length; ++s) {
      const double d_score = c_.scale() * p[static_cast<size_t>(s)] * (d_p[static_cast<size_t>(s)] - mean);
      const int64_t k = index(s, c_.heads + kv);
      for (int64_t d = 0; d < c_.width; ++d) {
        d_qkv[static_cast<size_t>(q + d)] += d_score * qkv_[static_cast<size_t>(k + d)];
        d_qkv[static_cast<size_t>(k + d)] += d_score * qkv_[static_cast<size_t>(q + d)];
      }
    }
  }

  AttentionCase c_;
  Values qkv_, d_out_;
};

/// Relative L2 error.
inline double relative_error(const GuardedTensor& x, const std::vector<double>& want) {
  double error = 0, norm = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    const double w = want[static_cast<size_t>(i)];
    error += (x.at(i) - w) * (x.at(i) - w);
    norm += w * w;
  }
  return norm == 0 ? std::sqrt(error) : std::sqrt(error / norm);
}

/// Of a relative L2 error: fp32 sums in some order, one rounding to `act`.
inline double attention_tolerance(DType act) { return act == DType::f32 ? 2e-6 : 2 * unit_of(act); }

}  // namespace mbt::ref
