#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/gemm_engine.h"
#include "kernels/cpu/loops/attention.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/threads.h"

namespace mbt::cpu {
namespace {

// Large enough for the products to run at full speed, small enough that the tiles stay in the L2 cache and that little above the
// diagonal is computed.
constexpr int64_t kMaxTile = 128;

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/// A dimension cut into tiles of one size, the last padded with zeros: few shapes, hence few primitives, while a cache grows.
struct HeadTiling {
  int64_t count, tile, padded;
  explicit HeadTiling(int64_t n) : count(n), tile(n == 1 ? 1 : std::min(kMaxTile, round_up(n, 16))), padded(round_up(n, tile)) {}
};

/// The columns of one head in rows that lie `stride` elements apart.
template <class Void>
struct HeadColumns {
  Void* data;
  DType dtype;
  int64_t stride;

  HeadColumns(const BasicTensorView<Void>& t, int64_t first_row, int64_t first_col) : dtype(t.dtype), stride(t.cols()) {
    using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
    data = static_cast<Byte*>(t.data) + (first_row * stride + first_col) * size_of(dtype);
  }
  Void* row(int64_t r) const {
    using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
    return static_cast<Byte*>(data) + r * stride * size_of(dtype);
  }
};
using ConstHead = HeadColumns<const void>;
using Head = HeadColumns<void>;

/// One head of the forward pass: `queries` rows at positions first_position + row, against keys at positions 0, 1, ...
struct HeadFwd {
  ConstHead q, k, v;
  Head out;
  float* lse;  // [queries] or null
  int64_t queries, first_position, width;
  float scale;
  int64_t keys() const { return first_position + queries; }
};

struct HeadShape {
  int64_t num_heads, num_kv_heads, width;
  int64_t q(int64_t head) const { return head * width; }
  int64_t kv_of(int64_t head) const { return head / (num_heads / num_kv_heads); }
  int64_t k(int64_t kv_head) const { return (num_heads + kv_head) * width; }
  int64_t v(int64_t kv_head) const { return (num_heads + num_kv_heads + kv_head) * width; }
};

/// Rows that attend to each other and to no others: a sequence, or a document of one. A document is computed as if it were a sequence of
/// its own, in tiles of its own: the same bits, and no tile that two documents share.
struct Document {
  int64_t sequence, place, length;  // place: of its first token in the sequence
};

std::vector<Document> documents_of(const char* op, const ConstTensorView& document_start, int64_t batch, int64_t length) {
  std::vector<Document> documents;
  for (int64_t b = 0; b < batch; ++b) {
    if (document_start.empty()) {
      documents.push_back({b, 0, length});
      continue;
    }
    const int32_t* start = document_start.as<int32_t>() + b * length;
    for (int64_t t = 0; t < length; ++t) {
      if (start[t] == t) documents.push_back({b, t, 0});
      else if (t == 0 || start[t] != start[t - 1])
        throw Error(fmt::format("{}: document_start[{}] is {} at place {} of a sequence, expected {}{}", op, b * length + t, start[t], t, t,
                                t == 0 ? std::string() : fmt::format(" or, as before it, {}", start[t - 1])));
      documents.back().length += 1;
    }
  }
  // Threads take them in this order: the long ones first, so that none is left alone with one at the end.
  std::stable_sort(documents.begin(), documents.end(), [](const Document& x, const Document& y) { return x.length > y.length; });
  return documents;
}

DType operand_of(DType act) { return act == DType::bf16 && GemmEngine::has_bf16() ? DType::bf16 : DType::f32; }

/// What one thread needs to work on a head: its own single-threaded engine and its tile buffers.
class HeadWorker {
 public:
  void fwd(const HeadFwd& h);
  void bwd(const AttentionBwdArgs& g, const Document& document, int64_t kv_head);
  size_t scratch_bytes() const {
    size_t sum = engine_.scratch_bytes();
    for (const Scratch& s : scratch_) sum += s.bytes();
    return sum;
  }

 private:
  enum Slot { kQ, kK, kV, kScores, kP, kDScores, kDP, kOut, kMax, kSum, kDOut, kDQ, kDK, kDV, kDelta, kSlots };
  float* floats(Slot slot, int64_t count) { return scratch_[slot].get<float>(static_cast<size_t>(count)); }
  void* operands(Slot slot, int64_t count) { return scratch_[slot].get<char>(static_cast<size_t>(count * size_of(operand_))); }
  float* zeros(Slot slot, int64_t count) {
    float* p = floats(slot, count);
    std::memset(p, 0, static_cast<size_t>(count) * sizeof(float));
    return p;
  }
  const void* pack(const ConstHead& x, int64_t rows, int64_t padded_rows, Slot slot) {
    void* out = operands(slot, padded_rows * width_);
    MBT_AT_LEVEL(attention_pack)(x.data, x.dtype, rows, x.stride, width_, padded_rows, out, operand_);
    return out;
  }
  const void* row(const void* dense, int64_t r) const { return static_cast<const char*>(dense) + r * width_ * size_of(operand_); }
  void begin(DType act, int64_t width) {
    operand_ = operand_of(act);
    width_ = width;
  }
  /// c[m,n] (+)= op(a)[m,k] op(b)[k,n]
  void multiply(int64_t m, int64_t n, int64_t k, const void* a, bool ta, const void* b, bool tb, float* c, bool accumulate) {
    MatrixProduct p{m, n, k, operand_, a, ta, b, tb, DType::f32, c};
    p.accumulate = accumulate;
    engine_.run(p);
  }
  void fwd_rows(const HeadFwd& h, const HeadTiling& tiles, const HeadTiling& key_tiles, int64_t first, const void* k, const void* v);
  void bwd_head(const AttentionBwdArgs& g, const Document& document, int64_t head, const void* k, const void* v, float* d_k, float* d_v);

  GemmEngine engine_{1 << 19};  // the tiles of short sequences are small products, those of long ones are not
  Scratch scratch_[kSlots];
  DType operand_ = DType::f32;
  int64_t width_ = 0;
};

void HeadWorker::fwd(const HeadFwd& h) {
  begin(h.q.dtype, h.width);
  const HeadTiling query_tiles(h.queries), key_tiles(h.keys());
  const void* k = pack(h.k, h.keys(), key_tiles.padded, kK);
  const void* v = pack(h.v, h.keys(), key_tiles.padded, kV);
  for (int64_t first = 0; first < h.queries; first += query_tiles.tile) fwd_rows(h, query_tiles, key_tiles, first, k, v);
}

void HeadWorker::fwd_rows(const HeadFwd& h, const HeadTiling& tiles, const HeadTiling& key_tiles, int64_t first, const void* k,
                          const void* v) {
  const int64_t rows = std::min(tiles.tile, h.queries - first);
  const int64_t position = h.first_position + first;
  ConstHead q_rows = h.q;
  q_rows.data = h.q.row(first);
  const void* q = pack(q_rows, rows, tiles.tile, kQ);
  float* scores = floats(kScores, tiles.tile * key_tiles.tile);
  void* p = operands(kP, tiles.tile * key_tiles.tile);
  float* out = floats(kOut, tiles.tile * width_);
  float* max = floats(kMax, tiles.tile);
  float* sum = floats(kSum, tiles.tile);
  for (int64_t j = 0; j < position + rows; j += key_tiles.tile) {
    multiply(tiles.tile, key_tiles.tile, width_, q, false, row(k, j), true, scores, false);
    MBT_AT_LEVEL(attention_softmax)
    ({rows, key_tiles.tile, position - j + 1, h.scale, j == 0, scores, p, operand_, max, sum, out, width_});
    multiply(tiles.tile, width_, key_tiles.tile, p, false, row(v, j), false, out, j != 0);
  }
  for (int64_t r = 0; r < rows; ++r) {
    if (h.lse) h.lse[first + r] = max[r] + std::log(sum[r]);
    sum[r] = 1.0f / sum[r];
  }
  MBT_AT_LEVEL(attention_unpack)(out, sum, rows, width_, h.out.row(first), h.out.dtype, h.out.stride);
}

void HeadWorker::bwd(const AttentionBwdArgs& g, const Document& document, int64_t kv_head) {
  const HeadShape shape{g.num_heads, g.num_kv_heads, g.head_dim()};
  begin(g.qkv.dtype, shape.width);
  const int64_t first_row = document.sequence * g.sequence_length + document.place;
  const HeadTiling tiles(document.length);
  const void* k = pack({g.qkv, first_row, shape.k(kv_head)}, tiles.count, tiles.padded, kK);
  const void* v = pack({g.qkv, first_row, shape.v(kv_head)}, tiles.count, tiles.padded, kV);
  float* d_k = zeros(kDK, tiles.padded * width_);
  float* d_v = zeros(kDV, tiles.padded * width_);
  const int64_t group = g.num_heads / g.num_kv_heads;
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) bwd_head(g, document, head, k, v, d_k, d_v);
  auto unpack = [&](const float* x, int64_t column) {
    const Head to(g.d_qkv, first_row, column);
    MBT_AT_LEVEL(attention_unpack)(x, nullptr, tiles.count, width_, to.data, to.dtype, to.stride);
  };
  if (g.qkv.dtype == DType::f32) MBT_AT_LEVEL(attention_cancel_columns)(d_k, tiles.count, width_);
  unpack(d_k, shape.k(kv_head));
  unpack(d_v, shape.v(kv_head));
}

void HeadWorker::bwd_head(const AttentionBwdArgs& g, const Document& document, int64_t head, const void* k, const void* v, float* d_k,
                          float* d_v) {
  const HeadTiling tiles(document.length);
  const int64_t first_row = document.sequence * g.sequence_length + document.place, column = head * width_, tile = tiles.tile;
  const ConstHead d_out_rows(g.d_out, first_row, column), out_rows(g.out, first_row, column);
  const void* q = pack({g.qkv, first_row, column}, tiles.count, tiles.padded, kQ);
  const void* d_out = pack(d_out_rows, tiles.count, tiles.padded, kDOut);
  const float* lse = g.lse.as<float>() + (document.sequence * g.num_heads + head) * g.sequence_length + document.place;
  float* delta = floats(kDelta, tiles.count);
  MBT_AT_LEVEL(attention_row_dots)(d_out_rows.data, out_rows.data, g.out.dtype, tiles.count, out_rows.stride, width_, delta);
  float* d_q = zeros(kDQ, tiles.padded * width_);
  float* scores = floats(kScores, tile * tile);
  float* d_p = floats(kDP, tile * tile);
  void* p = operands(kP, tile * tile);
  void* d_scores = operands(kDScores, tile * tile);
  for (int64_t j = 0; j < tiles.count; j += tile) {
    for (int64_t i = j; i < tiles.count; i += tile) {
      // Scores are kept transposed, [keys, queries]: then only one of the five products reads a transposed tile.
      multiply(tile, tile, width_, row(k, j), false, row(q, i), true, scores, false);
      multiply(tile, tile, width_, row(v, j), false, row(d_out, i), true, d_p, false);
      MBT_AT_LEVEL(attention_softmax_bwd)
      ({tile, std::min(tile, tiles.count - i), tile, j - i, g.scale, scores, d_p, lse + i, delta + i, p, d_scores, operand_});
      multiply(tile, width_, tile, p, false, row(d_out, i), false, d_v + j * width_, true);
      multiply(tile, width_, tile, d_scores, false, row(q, i), false, d_k + j * width_, true);
      multiply(tile, width_, tile, d_scores, true, row(k, j), false, d_q + i * width_, true);
    }
  }
  const Head to(g.d_qkv, first_row, column);
  MBT_AT_LEVEL(attention_unpack)(d_q, nullptr, tiles.count, width_, to.data, to.dtype, to.stride);
}

}  // namespace

struct Attention::State {
  std::vector<std::unique_ptr<HeadWorker>> workers;

  /// A worker for every thread that OpenMP may use now.
  void prepare() {
    while (workers.size() < static_cast<size_t>(max_threads())) workers.push_back(std::make_unique<HeadWorker>());
  }
  HeadWorker& worker(int thread) { return *workers[static_cast<size_t>(thread)]; }
};

Attention::Attention() : state_(std::make_unique<State>()) {}
Attention::~Attention() = default;

void Attention::fwd(const AttentionFwdArgs& g) {
  state_->prepare();
  const HeadShape shape{g.num_heads, g.num_kv_heads, g.head_dim()};
  const std::vector<Document> documents = documents_of("attention_fwd", g.document_start, g.batch(), g.sequence_length);
  parallel_tasks(static_cast<int64_t>(documents.size()) * g.num_heads, [&](int thread, int64_t task) {
    const Document& document = documents[static_cast<size_t>(task / g.num_heads)];
    const int64_t head = task % g.num_heads, kv_head = shape.kv_of(head);
    const int64_t first_row = document.sequence * g.sequence_length + document.place;
    state_->worker(thread).fwd({{g.qkv, first_row, shape.q(head)},
                                {g.qkv, first_row, shape.k(kv_head)},
                                {g.qkv, first_row, shape.v(kv_head)},
                                {g.out, first_row, shape.q(head)},
                                g.lse.as<float>() + (document.sequence * g.num_heads + head) * g.sequence_length + document.place,
                                document.length,
                                0,
                                shape.width,
                                g.scale});
  });
}

void Attention::bwd(const AttentionBwdArgs& g) {
  state_->prepare();
  const std::vector<Document> documents = documents_of("attention_bwd", g.document_start, g.batch(), g.sequence_length);
  parallel_tasks(static_cast<int64_t>(documents.size()) * g.num_kv_heads, [&](int thread, int64_t task) {
    state_->worker(thread).bwd(g, documents[static_cast<size_t>(task / g.num_kv_heads)], task % g.num_kv_heads);
  });
}

void Attention::cached(const AttentionCachedArgs& g) {
  state_->prepare();
  const HeadShape shape{g.num_heads, g.num_kv_heads, g.head_dim()};
  const int64_t row_bytes = g.k_cache.cols() * size_of(g.qkv.dtype);
  for (int64_t r = 0; r < g.qkv.rows(); ++r) {
    std::memcpy(g.k_cache.row_range(g.first_position + r, 1).data, ConstHead(g.qkv, r, shape.k(0)).data, static_cast<size_t>(row_bytes));
    std::memcpy(g.v_cache.row_range(g.first_position + r, 1).data, ConstHead(g.qkv, r, shape.v(0)).data, static_cast<size_t>(row_bytes));
  }
  parallel_tasks(g.num_heads, [&](int thread, int64_t head) {
    const int64_t column = shape.kv_of(head) * shape.width;
    state_->worker(thread).fwd({{g.qkv, 0, shape.q(head)},
                                {g.k_cache, 0, column},
                                {g.v_cache, 0, column},
                                {g.out, 0, shape.q(head)},
                                nullptr,
                                g.qkv.rows(),
                                g.first_position,
                                shape.width,
                                g.scale});
  });
}

size_t Attention::scratch_bytes() const {
  size_t sum = 0;
  for (const auto& w : state_->workers) sum += w->scratch_bytes();
  return sum;
}

}  // namespace mbt::cpu
