// Attention over sequences of several documents: against a masked reference in double, and against the documents on their own. The parity
// suite runs this on the device too.
#include "core/ops/attention.h"
#include "tests/support/attention_reference.h"
#include "tests/support/op_cases.h"

namespace mbt::test::document_attention_test {
namespace {

using Case = AttentionCase;

/// document_start in memory that ops read.
class Starts {
 public:
  explicit Starts(const std::vector<int32_t>& values) : values_(static_cast<int64_t>(values.size()), 1, 1), count_(values.size()) {
    for (size_t i = 0; i < values.size(); ++i) values_[static_cast<int64_t>(i)] = values[i];
  }
  ConstTensorView view() const { return count_ == 0 ? ConstTensorView{} : ConstTensorView(values_); }

 private:
  Indices values_;
  size_t count_;
};

struct Tensors {
  GuardedTensor qkv, d_out, out, lse, d_qkv;
  Tensors(const Case& c, DType act)
      : qkv(normal_tensor(act, {c.rows(), c.qkv_cols()}, 7)),
        d_out(normal_tensor(act, {c.rows(), c.heads * c.width}, 8)),
        out(act, {c.rows(), c.heads * c.width}),
        lse(DType::f32, {c.batch, c.heads, c.length}),
        d_qkv(act, {c.rows(), c.qkv_cols()}) {
    d_qkv.fill([](int64_t) { return 99.0; });
  }
  void run(const Case& c, const std::vector<int32_t>& document_start, Backend& on = backend(),
           AttentionBackend path = AttentionBackend::automatic) {
    const Starts starts(document_start);
    on.attention_fwd({.qkv = qkv,
                      .out = out,
                      .lse = lse,
                      .num_heads = c.heads,
                      .num_kv_heads = c.kv_heads,
                      .sequence_length = c.length,
                      .scale = c.scale(),
                      .backend = path,
                      .document_start = starts.view()});
    on.attention_bwd({.d_out = d_out,
                      .qkv = qkv,
                      .out = out,
                      .lse = lse,
                      .d_qkv = d_qkv,
                      .num_heads = c.heads,
                      .num_kv_heads = c.kv_heads,
                      .sequence_length = c.length,
                      .scale = c.scale(),
                      .backend = path,
                      .document_start = starts.view()});
  }
  bool guards_intact() const { return out.guards_intact() && lse.guards_intact() && d_qkv.guards_intact(); }
  bool same_bits(const Tensors& o) const { return out.same_bits(o.out) && lse.same_bits(o.lse) && d_qkv.same_bits(o.d_qkv); }
};

/// Rows [first, first + count) of a matrix.
GuardedTensor rows_of(const GuardedTensor& x, int64_t cols, int64_t first, int64_t count) {
  GuardedTensor part(x.dtype(), {count, cols});
  part.fill([&](int64_t i) { return x.at(first * cols + i); });
  return part;
}

/// What the document at places [place, place + count) of sequence b has of a packed run.
Tensors part_of(const Tensors& t, const Case& c, int64_t b, int64_t place, int64_t count) {
  Tensors part({1, count, c.heads, c.kv_heads, c.width}, t.qkv.dtype());
  const int64_t first = b * c.length + place, out_cols = c.heads * c.width;
  part.qkv = rows_of(t.qkv, c.qkv_cols(), first, count);
  part.d_out = rows_of(t.d_out, out_cols, first, count);
  part.out = rows_of(t.out, out_cols, first, count);
  part.d_qkv = rows_of(t.d_qkv, c.qkv_cols(), first, count);
  part.lse.fill([&](int64_t i) { return t.lse.at((b * c.heads + i / count) * c.length + place + i % count); });
  return part;
}

/// f(what the packed run has of a document, the document computed alone, its case), for each.
template <class F>
void for_each_document(const Tensors& packed, const Case& c, const std::vector<int32_t>& starts, F f) {
  for (int64_t n = 0, end = 0; n < c.rows(); n = end) {
    const int64_t place = n % c.length;
    for (end = n + 1; end < c.rows() && end / c.length == n / c.length && starts[static_cast<size_t>(end)] == place;) ++end;
    const Case alone{1, end - n, c.heads, c.kv_heads, c.width};
    const Tensors want = part_of(packed, c, n / c.length, place, end - n);
    Tensors got = want;
    got.run(alone, {});
    f(want, got, alone);
  }
}

struct Packed {
  Case c;
  std::vector<int64_t> lengths;
};

/// Documents of one token, within a tile, over several, that end where tiles and sequences do, and that leave tiles out altogether.
const Packed kPacked[] = {{{1, 1, 1, 1, 8}, {1}},           {{2, 9, 2, 1, 16}, {4, 1, 3}},          {{1, 40, 3, 3, 33}, {1}},
                          {{2, 70, 4, 2, 64}, {33, 5, 40}}, {{1, 257, 2, 1, 64}, {20, 130, 1, 77}}, {{1, 200, 2, 1, 128}, {64, 7, 100}},
                          {{1, 150, 2, 2, 48}, {150}},      {{2, 131, 2, 1, 128}, {130, 3}},        {{1, 300, 1, 1, 64}, {2, 250}}};

bool takes_flash(const Case& c, DType act) {
  return backend().attention_support(AttentionBackend::automatic, {act, c.width, c.length, c.scale()}).path == "flash";
}

}  // namespace

TEST_CASE("attention within documents agrees with a double reference that hides the rest", "[loops]") {
  for (DType act : kActTypes)
    for (const Packed& p : kPacked) {
      const Case& c = p.c;
      CAPTURE(name_of(act), c.batch, c.length, c.heads, c.kv_heads, c.width, p.lengths);
      const std::vector<int32_t> starts = documents_of(c, p.lengths);
      Tensors t(c, act);
      t.run(c, starts);
      const AttentionReference want(c, t.qkv, t.d_out, starts);
      CHECK(relative_error(t.out, want.out) < attention_tolerance(act));
      CHECK(relative_error(t.lse, want.lse) < (act == DType::bf16 ? 1e-5 : 2e-6));
      CHECK(relative_error(t.d_qkv, want.d_qkv) < attention_tolerance(act));
      CHECK(t.guards_intact());
    }
}

TEST_CASE("a packed sequence has the bits of its documents alone; where tiles lie otherwise, their values", "[loops]") {
  for (DType act : kActTypes)
    for (const Packed& p : kPacked) {
      CAPTURE(name_of(act), p.c.batch, p.c.length, p.c.width, p.lengths);
      const std::vector<int32_t> starts = documents_of(p.c, p.lengths);
      Tensors packed(p.c, act);
      packed.run(p.c, starts);
      const bool is_tiled_by_sequence = takes_flash(p.c, act);
      for_each_document(packed, p.c, starts, [&](const Tensors& part, const Tensors& alone, const Case& c) {
        if (!is_tiled_by_sequence) {
          CHECK(part.same_bits(alone));
          return;
        }
        CHECK(relative_error(part.out, alone.out.values()) < attention_tolerance(act));
        CHECK(relative_error(part.lse, alone.lse.values()) < 1e-5);
        if (c.length > 1) CHECK(relative_error(part.d_qkv, alone.d_qkv.values()) < 2 * attention_tolerance(act));
      });
    }
}

TEST_CASE("documents that begin where tiles do have the bits of the documents alone, in tiles of sequences too") {
  for (const Packed& p : {Packed{{1, 256, 2, 1, 64}, {128}}, Packed{{1, 320, 1, 1, 128}, {256, 64}}}) {
    const std::vector<int32_t> starts = documents_of(p.c, p.lengths);
    Tensors packed(p.c, DType::bf16);
    packed.run(p.c, starts);
    for_each_document(packed, p.c, starts, [](const Tensors& part, const Tensors& alone, const Case&) { CHECK(part.same_bits(alone)); });
  }
}

TEST_CASE("one document a sequence has the bits of attention without documents", "[loops]") {
  for (DType act : kActTypes)
    for (const Case& c : {Case{2, 65, 2, 1, 64}, Case{1, 131, 2, 1, 128}, Case{2, 33, 3, 1, 24}}) {
      Tensors with(c, act), without(c, act);
      with.run(c, documents_of(c, {c.length}));
      without.run(c, {});
      CHECK(with.same_bits(without));
    }
}

TEST_CASE("each document's f32 gradients of the keys sum to zero, and tokens without a loss keep their zeros", "[loops]") {
  const Case c{1, 90, 2, 1, 16};
  const std::vector<int64_t> lengths{37, 53};
  const std::vector<int32_t> starts = documents_of(c, lengths);
  Tensors t(c, DType::f32);
  for (int64_t i = 0; i < 37 * c.heads * c.width; ++i) t.d_out.set(i, 0.0);  // the first document is a prompt, all of it
  t.run(c, starts);
  for (int64_t col = 0; col < c.qkv_cols(); ++col) {
    double sum = 0, magnitude = 0;
    for (int64_t r = 0; r < c.length; ++r) {
      const double x = t.d_qkv.at(r * c.qkv_cols() + col);
      if (r < 37) REQUIRE(x == 0.0);
      sum += x;
      magnitude += std::fabs(x);
    }
    const bool is_key = col >= c.heads * c.width && col < (c.heads + c.kv_heads) * c.width;
    if (is_key) CHECK(std::fabs(sum) < 1e-9 * magnitude);
  }
}

TEST_CASE("both ways of attention keep to documents") {
  const Case c{1, 150, 2, 1, 64};
  const std::vector<int32_t> starts = documents_of(c, {31, 70});
  for (AttentionBackend path : {AttentionBackend::flash, AttentionBackend::math}) {
    Tensors t(c, DType::bf16);
    t.run(c, starts, backend(), path);
    const AttentionReference want(c, t.qkv, t.d_out, starts);
    CHECK(relative_error(t.out, want.out) < attention_tolerance(DType::bf16));
    CHECK(relative_error(t.d_qkv, want.d_qkv) < attention_tolerance(DType::bf16));
  }
}

TEST_CASE("documents that begin inside a tile, at softmax scales of 0.6932 (ln 2) and above", "[loops]") {
  for (DType act : kActTypes)
    for (const float scale : {0.6932F, 1.0F, 8.0F})  // 1: model.scale_attn_weights=false
      for (const Packed& p : {Packed{{1, 256, 1, 1, 64, scale}, {200}}, Packed{{1, 140, 2, 1, 128, scale}, {70, 33}}}) {
        const Case& c = p.c;
        CAPTURE(name_of(act), scale, c.width);
        const std::vector<int32_t> starts = documents_of(c, p.lengths);
        Tensors t(c, act);
        // Scores of the usual size, so that rounding counts as it does elsewhere.
        const double shrink = 1 / std::sqrt(double{scale} * std::sqrt(static_cast<double>(c.width)));
        t.qkv.fill([before = t.qkv.values(), shrink](int64_t i) { return shrink * before[static_cast<size_t>(i)]; });
        t.run(c, starts);
        const AttentionReference want(c, t.qkv, t.d_out, starts);
        CHECK(relative_error(t.out, want.out) < attention_tolerance(act));
        CHECK(relative_error(t.lse, want.lse) < (act == DType::bf16 ? 1e-5 : 2e-6));
        CHECK(relative_error(t.d_qkv, want.d_qkv) < attention_tolerance(act));
      }
}

TEST_CASE("attention within documents has the same bits on any number of threads", "[loops]") {
  const Case c{2, 150, 3, 1, 64};
  const std::vector<int32_t> starts = documents_of(c, {10, 90, 3});
  CHECK(same_bits_on_any_threads(GuardedTensor(DType::bf16, {c.rows(), c.qkv_cols()}), [&](Backend& on, GuardedTensor& d_qkv) {
    Tensors t(c, DType::bf16);
    t.run(c, starts, on);
    d_qkv = t.d_qkv;
  }));
}

TEST_CASE("a document_start that is none is an error, and no access outside of the sequence", "[loops]") {
  struct Bad {
    int64_t place;
    int32_t value;
  };
  for (DType act : {DType::f32, DType::bf16})
    for (const Bad& bad : {Bad{0, 1}, Bad{0, -1}, Bad{7, 8}, Bad{7, -1}, Bad{7, 70000}, Bad{7, INT32_MIN}, Bad{13, 0}, Bad{13, 11}}) {
      const Case c{1, 20, 1, 1, 64};
      CAPTURE(name_of(act), bad.place, bad.value);
      std::vector<int32_t> starts = documents_of(c, {10});  // 0 ten times, 10 ten times
      starts[static_cast<size_t>(bad.place)] = bad.value;
      Tensors t(c, act);
      CHECK_THROWS_WITH(t.run(c, starts),
                        ContainsSubstring(fmt::format("document_start[{}] is {} at place {}", bad.place, bad.value, bad.place)));
      CHECK(t.guards_intact());
    }
}

}  // namespace mbt::test::document_attention_test
