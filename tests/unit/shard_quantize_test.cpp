// Slices of a weight, quantized one by one under amaxes that their owners agree on, are what `quantize` makes of the whole weight: every
// code, scale and amax. On whichever backend is tested.
#include "core/ops/shard_quantize.h"

#include <deque>

#include "tests/support/op_cases.h"
#include "tests/support/quantized.h"

namespace mbt::test::shard_quantize_test {
namespace {

using enum QuantScaling;
using enum QuantFormat;

const std::vector<QuantSpec> kSpecs = {{.format = e4m3, .scaling = delayed},
                                       {.format = e5m2, .scaling = delayed},
                                       {.format = e4m3, .scaling = tensorwise},
                                       {.format = e5m2, .scaling = tensorwise, .power_of_two_scale = true},
                                       {.format = e4m3, .scaling = tensorwise, .power_of_two_scale = true},
                                       {.format = e4m3, .scaling = blockwise, .is_2d = true},
                                       {.format = e5m2, .scaling = blockwise, .is_2d = true},
                                       {.format = e2m1, .scaling = nvfp4, .is_2d = true}};

struct Matrix {
  int64_t rows, cols;
};
constexpr Matrix kMatrices[] = {{1, 1}, {48, 80}, {130, 200}, {33, 19}, {144, 272}, {5, 1030}};

/// Where slices begin and end.
using Cuts = std::vector<int64_t>;

/// `count` slices of about the same size, whose ends are multiples of `unit`.
Cuts cuts_of(int64_t size, int64_t count, int64_t unit) {
  Cuts cuts;
  for (int64_t i = 0; i < count; ++i) cuts.push_back(size * i / count / unit * unit);
  cuts.push_back(size);
  return cuts;
}

std::vector<Cuts> all_cuts(int64_t size) {
  std::vector<Cuts> all = {cuts_of(size, 1, 1), cuts_of(size, 2, 64), cuts_of(size, 3, 1), cuts_of(size, 5, 1), cuts_of(size, 5, 4)};
  all[2].insert(all[2].begin() + 2, all[2][1]);  // rank 1 owns nothing
  all[3].push_back(size);                        // nor does the last
  return all;
}

/// What the ranks do, and how their memory lies.
struct Options {
  DType round_to = DType::f32;
  bool transposed = false;
  bool stage_amax = true;
  int64_t shift = 0;  // codes, in bytes, and slice, in elements, away from their alignment
};

struct Rank {
  int64_t first, count, shift;
  GuardedTensor memory, amax;  // of the slice: shift elements, then x
  Quantized q;

  Rank(const GuardedTensor& whole, const QuantSpec& spec, const Matrix& m, int64_t begin, int64_t end, const Options& o)
      : first(begin),
        count(end - begin),
        shift(o.shift),
        memory(zeros(DType::f32, {o.shift + count})),
        amax(zeros(DType::f32, {shard_amax_size(spec, m.rows, m.cols)})),
        q(spec, m.rows, m.cols, Copies::both, o.transposed, o.shift) {
    for (int64_t i = 0; i < count; ++i) memory.set(shift + i, whole.at(first + i));
    amax.fill([](int64_t) { return 1e30; });  // shard_amax overwrites
  }
  ConstTensorView x() { return {memory.view().as<float>() + shift, DType::f32, {count}}; }
  uint8_t& code(int64_t i) { return q.row_codes[shift + i]; }
  float& staged() { return *q.view.amax; }
};

/// Each element the maximum over the ranks, as an all-reduce would leave it.
void agree_on_amax(std::deque<Rank>& ranks) {
  for (int64_t k = 0; k < ranks[0].amax.size(); ++k) {
    double largest = 0;
    for (const Rank& r : ranks) largest = std::max(largest, r.amax.at(k));
    for (Rank& r : ranks) r.amax.set(k, largest);
  }
}

/// The codes of each rank's slice, for all ranks.
void gather_codes(std::deque<Rank>& ranks) {
  for (Rank& from : ranks)
    for (Rank& to : ranks)
      for (int64_t i = from.first; i < from.first + from.count; ++i) to.code(i) = from.code(i);
}

bool writes_its_slice_alone(Rank& rank, Bytes untouched) {
  for (int64_t i = rank.first; i < rank.first + rank.count; ++i) untouched[rank.shift + i] = rank.code(i);
  return untouched == rank.q.row_codes;
}

/// One step of all ranks, on the tested backend.
void quantize_by_ranks(std::deque<Rank>& ranks, const QuantSpec& spec, const Matrix& m, const Options& o) {
  if (spec.scaling != delayed) {
    for (Rank& r : ranks)
      backend().shard_amax(
          {.x = r.x(), .first = r.first, .rows = m.rows, .cols = m.cols, .spec = spec, .amax = r.amax, .round_to = o.round_to});
    agree_on_amax(ranks);
  }
  for (Rank& r : ranks) {
    const Bytes before = r.q.row_codes;
    QuantizeShardArgs args{.x = r.x(), .first = r.first, .q = r.q.view, .round_to = o.round_to, .stage_amax = o.stage_amax};
    if (spec.scaling != delayed) args.amax = r.amax;
    backend().quantize_shard(args);
    REQUIRE(writes_its_slice_alone(r, before));
    REQUIRE((r.memory.guards_intact() && r.amax.guards_intact()));
  }
  if (spec.scaling == delayed) {  // staged by each for its slice
    float largest = 0;
    for (Rank& r : ranks) largest = std::max(largest, r.staged());
    for (Rank& r : ranks) r.staged() = largest;
  }
  gather_codes(ranks);
  for (Rank& r : ranks) backend().complete_copies({.q = r.q.view});
}

void check(GuardedTensor x, const QuantSpec& spec, const Matrix& m, const Cuts& cuts, const Options& o) {
  INFO(describe(spec) << " [" << m.rows << "," << m.cols << "] as " << name_of(o.round_to) << ", " << cuts.size() - 1
                      << " slices, the second from " << cuts[1] << (o.transposed ? ", transposed" : "") << ", shift " << o.shift);
  Quantized want(spec, m.rows, m.cols, Copies::both, o.transposed, o.shift);
  backend().quantize({.x = x, .to = {.q = want.view, .stage_amax = o.stage_amax}, .round_to = o.round_to});
  std::deque<Rank> ranks;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) ranks.emplace_back(x, spec, m, cuts[i], cuts[i + 1], o);
  quantize_by_ranks(ranks, spec, m, o);
  for (Rank& r : ranks) REQUIRE(r.q == want);
}

constexpr DType kRoundTo[] = {DType::f32, DType::bf16, DType::f16};

TEST_CASE("slices of a weight have the codes, scales and amaxes of the whole", "[loops]") {
  for (const Matrix& m : kMatrices)
    for (const QuantSpec& spec : kSpecs)
      for (DType round_to : kRoundTo) {
        const GuardedTensor x = values(DType::f32, m.rows, m.cols, 0, static_cast<uint32_t>(m.rows));
        for (const Cuts& cuts : all_cuts(m.rows * m.cols)) check(x, spec, m, cuts, {.round_to = round_to});
      }
}

TEST_CASE("slices of a weight: NaN, infinities and zeros, seen by one rank or by all", "[loops]") {
  const Matrix m{130, 200};
  for (const QuantSpec& spec : kSpecs)
    for (DType round_to : kRoundTo)
      for (int kind : {1, 2}) {
        const GuardedTensor x = values(DType::f32, m.rows, m.cols, kind, 3);
        for (int64_t count : {2, 3}) check(x, spec, m, cuts_of(m.rows * m.cols, count, 1), {.round_to = round_to});
      }
  for (const QuantSpec& spec : kSpecs)
    for (double bad : {double{NAN}, double{INFINITY}, -double{INFINITY}}) {
      GuardedTensor x = normal_tensor(DType::f32, {m.rows, m.cols}, 4, 0.02);
      for (int64_t i = 0; i < 300; ++i) x.set(i, bad);  // whole blocks of 16 columns in their first row, and not in others
      check(x, spec, m, cuts_of(m.rows * m.cols, 3, 1), {.round_to = DType::bf16});
    }
}

TEST_CASE("slices of a weight: amax not staged; codes and slices out of line") {
  const Matrix m{48, 80};
  const GuardedTensor x = values(DType::f32, m.rows, m.cols, 0, 5);
  for (const QuantSpec& spec : kSpecs) {
    check(x, spec, m, cuts_of(m.rows * m.cols, 3, 1), {.round_to = DType::bf16, .stage_amax = false});
    for (int64_t unit : {1, 64}) check(x, spec, m, cuts_of(m.rows * m.cols, 3, unit), {.round_to = DType::bf16, .shift = 3});
  }
}

TEST_CASE("complete_copies: the transposed copy is the one that quantize makes; a backend without one refuses") {
  for (const QuantSpec& spec : kSpecs) {
    if (spec.scaling == nvfp4) continue;
    if (backend().name() == "cpu") {
      Quantized q(spec, 48, 80, Copies::both, true);
      CHECK_THROWS_WITH(backend().complete_copies({.q = q.view}), ContainsSubstring("makes no transposed copy"));
      continue;
    }
    for (const Matrix& m : kMatrices) {
      const GuardedTensor x = values(DType::f32, m.rows, m.cols, 0, 6);
      check(x, spec, m, cuts_of(m.rows * m.cols, 3, 1), {.round_to = DType::bf16, .transposed = true});
    }
  }
}

TEST_CASE("complete_copies: nothing to do for a copy that is shared, or not wanted") {
  for (const QuantSpec& spec : kSpecs)
    for (Copies copies : {Copies::both, Copies::rows}) {
      Quantized q(spec, 48, 80, copies), before(spec, 48, 80, copies);
      backend().complete_copies({.q = q.view});
      CHECK(q == before);
    }
}

TEST_CASE("shard_amax: the largest magnitude of each block within the slice", "[loops]") {
  for (const Matrix& m : kMatrices)
    for (const QuantSpec& spec : kSpecs) {
      if (spec.scaling == delayed) continue;
      const GuardedTensor x = values(DType::f32, m.rows, m.cols, 1, 7);
      for (const Cuts& cuts : all_cuts(m.rows * m.cols))
        for (size_t i = 0; i + 1 < cuts.size(); ++i) {
          const int64_t b = spec.is_per_tensor() ? m.rows * m.cols : spec.block_size(), across = (m.cols + b - 1) / b;
          std::vector<double> want(static_cast<size_t>(shard_amax_size(spec, m.rows, m.cols)), 0.0);
          for (int64_t e = cuts[i]; e < cuts[i + 1]; ++e) {
            double& largest = want[static_cast<size_t>(e / m.cols / b * across + e % m.cols / b)];
            largest = std::fmax(largest, std::fabs(x.at(e)));
          }
          Rank r(x, spec, m, cuts[i], cuts[i + 1], {});
          backend().shard_amax({.x = r.x(), .first = r.first, .rows = m.rows, .cols = m.cols, .spec = spec, .amax = r.amax});
          INFO(describe(spec) << " [" << m.rows << "," << m.cols << "] from " << cuts[i] << " to " << cuts[i + 1]);
          REQUIRE(r.amax.values() == want);
          REQUIRE(r.amax.guards_intact());
        }
    }
}

TEST_CASE("a rank without elements needs no memory for them, and writes all scales") {
  for (const QuantSpec& spec : kSpecs) {
    INFO(describe(spec));
    const int64_t entries = shard_amax_size(spec, 48, 80);
    GuardedTensor amax = normal_tensor(DType::f32, {entries}, 1);
    const ConstTensorView nothing{nullptr, DType::f32, {0}};
    QuantizeShardArgs args{.x = nothing, .first = 48 * 80, .q = {}};
    if (spec.scaling != delayed) {
      backend().shard_amax({.x = nothing, .first = 48 * 80, .rows = 48, .cols = 80, .spec = spec, .amax = amax});
      for (int64_t k = 0; k < entries; ++k) CHECK(amax.at(k) == 0);
      amax.fill([](int64_t) { return 3.0; });
      args.amax = amax;
    }
    Quantized q(spec, 48, 80, Copies::both), want(spec, 48, 80, Copies::both);
    args.q = q.view;
    backend().quantize_shard(args);
    GuardedTensor threes = zeros(DType::f32, {48, 80});
    threes.fill([](int64_t) { return 3.0; });
    backend().quantize({.x = threes, .to = {.q = want.view, .stage_amax = spec.scaling != delayed}});
    CHECK(q.row_scales == want.row_scales);
    CHECK(q.scalars == want.scalars);
    CHECK(q.row_codes == Bytes(48 * 80));
  }
}

TEST_CASE("shard_amax and quantize_shard have the same bits on any number of threads", "[loops]") {
  const Matrix m{300, 1100};
  const int64_t first = 1234, n = m.rows * m.cols - 5000;
  GuardedTensor x = normal_tensor(DType::f32, {n}, 1);
  for (const QuantSpec& spec : kSpecs) {
    INFO(describe(spec));
    const int64_t entries = shard_amax_size(spec, m.rows, m.cols);
    if (spec.scaling != delayed) {
      CHECK(same_bits_on_any_threads(GuardedTensor(DType::f32, {entries}), [&](Backend& b, GuardedTensor& amax) {
        b.shard_amax({.x = x, .first = first, .rows = m.rows, .cols = m.cols, .spec = spec, .amax = amax, .round_to = DType::bf16});
      }));
    }
    CHECK(same_bits_on_any_threads(GuardedTensor(DType::u8, {m.rows, m.cols}), [&](Backend& b, GuardedTensor& codes) {
      Quantized q(spec, m.rows, m.cols, Copies::rows);
      GuardedTensor amax = normal_tensor(DType::f32, {entries}, 2);
      amax.fill([&](int64_t k) { return std::fabs(amax.at(k)) + 1; });
      QuantizeShardArgs args{.x = x, .first = first, .q = q.view, .round_to = DType::bf16};
      args.q.rowwise.codes = codes.view().data;
      if (spec.scaling != delayed) args.amax = amax;
      b.quantize_shard(args);
    }));
  }
}

// -- contracts ---------------------------------------------------------------------------------------------------------------------------

TEST_CASE("shard_amax refuses what it cannot do, and says what and why") {
  GuardedTensor x = zeros(DType::f32, {100}), narrow = zeros(DType::bf16, {100}), amax = zeros(DType::f32, {1});
  GuardedTensor grid = zeros(DType::f32, {15});  // 3 x 5 blocks of 16 x 16
  const auto refused = [](const QuantSpec& spec, const ConstTensorView& slice, int64_t first, const TensorView& out, DType round_to,
                          const char* why) {
    CHECK_THROWS_WITH(
        backend().shard_amax({.x = slice, .first = first, .rows = 48, .cols = 80, .spec = spec, .amax = out, .round_to = round_to}),
        ContainsSubstring("shard_amax: ") && ContainsSubstring(why));
  };
  const QuantSpec plain{.format = e4m3, .scaling = tensorwise}, square{.format = e2m1, .scaling = nvfp4, .is_2d = true};
  const DType as_is = DType::f32;
  refused({.format = e4m3, .scaling = mxfp8}, x, 0, amax, as_is, "gather such a weight in 16 bits");
  refused({.format = e4m3, .scaling = mxfp8, .is_2d = true}, x, 0, amax, as_is, "mxfp8");
  refused({.format = e4m3, .scaling = delayed}, x, 0, amax, as_is, "quantize_shard stages it");
  refused({.format = e4m3, .scaling = blockwise}, x, 0, amax, as_is, "blockwise without is_2d");
  refused({.format = e2m1, .scaling = nvfp4}, x, 0, grid, as_is, "nvfp4 without is_2d");
  refused({.format = e4m3, .scaling = tensorwise, .is_2d = true}, x, 0, amax, as_is, "tensorwise with is_2d");
  refused({.format = e2m1, .scaling = tensorwise}, x, 0, amax, as_is, "tensorwise with e2m1, expected e4m3 or e5m2");
  refused({.format = e4m3, .scaling = nvfp4, .is_2d = true}, x, 0, grid, as_is, "nvfp4 with e4m3, expected e2m1");
  refused({.format = e2m1, .scaling = nvfp4, .is_2d = true, .stochastic_rounding = true}, x, 0, grid, as_is, "stochastic rounding");
  refused({.format = e2m1, .scaling = nvfp4, .is_2d = true, .hadamard_columnwise = true}, x, 0, grid, as_is, "Hadamard");
  refused(plain, narrow, 0, amax, as_is, "'x' is bf16[100], expected f32");
  refused(plain, {nullptr, DType::f32, {100}}, 0, amax, as_is, "'x' is missing");
  refused(plain, x, 3741, amax, as_is, "x holds elements 3741 to 3841 of a weight [48,80], expected 0 to 3840");
  refused(plain, x, -1, amax, as_is, "x holds elements -1 to 99");
  refused(plain, x, 0, amax, DType::f64, "round_to is f64");
  refused(plain, x, 0, grid, as_is, "'amax' is f32[15], expected shape [1]");
  refused(square, x, 0, amax, as_is, "'amax' is f32[1], expected shape [15]");
  refused(square, x, 0, {}, as_is, "'amax' is missing");
}

TEST_CASE("quantize_shard refuses what it cannot do, and says what and why") {
  GuardedTensor x = zeros(DType::f32, {100}), one = zeros(DType::f32, {1}), grid = zeros(DType::f32, {15});
  const QuantSpec late{.format = e4m3, .scaling = delayed}, plain{.format = e4m3, .scaling = tensorwise};
  const QuantSpec square{.format = e2m1, .scaling = nvfp4, .is_2d = true};
  const auto refused = [&](const QuantSpec& spec, const ConstTensorView& amax, const char* why, auto change) {
    Quantized q(spec, 48, 80, Copies::both);
    QuantizeShardArgs args{.x = x, .first = 0, .q = q.view, .amax = amax};
    change(args);
    CHECK_THROWS_WITH(backend().quantize_shard(args), ContainsSubstring("quantize_shard: ") && ContainsSubstring(why));
  };
  const auto as_it_is = [](QuantizeShardArgs&) {};
  refused({.format = e4m3, .scaling = mxfp8}, {}, "mxfp8", as_it_is);
  refused({.format = e4m3, .scaling = blockwise}, one, "blockwise without is_2d", as_it_is);
  refused(late, one, "got amax f32[1], expected none", as_it_is);
  refused(late, {}, "without a scale", [](QuantizeShardArgs& a) { a.q.scale = nullptr; });
  refused(plain, {}, "'amax' is missing", as_it_is);
  refused(plain, grid, "'amax' is f32[15], expected shape [1]", as_it_is);
  refused(square, one, "'amax' is f32[1], expected shape [15]", as_it_is);
  refused(square, grid, "place for the global amax", [](QuantizeShardArgs& a) { a.q.rowwise.global_amax = nullptr; });
  refused(plain, one, "lacks its codes or its scales", [](QuantizeShardArgs& a) { a.q.rowwise = {}; });
  refused(plain, one, "lacks its codes or its scales", [](QuantizeShardArgs& a) { a.q.rowwise.scale_inv = nullptr; });
  refused(plain, one, "row-wise copy is transposed", [](QuantizeShardArgs& a) { a.q.rowwise.is_transposed = true; });
  refused(plain, one, "x holds elements 3800 to 3900", [](QuantizeShardArgs& a) { a.first = 3800; });
  refused(plain, one, "round_to is i32", [](QuantizeShardArgs& a) { a.round_to = DType::i32; });
}

TEST_CASE("complete_copies refuses copies that do not belong together") {
  const QuantSpec plain{.format = e4m3, .scaling = tensorwise}, square{.format = e2m1, .scaling = nvfp4, .is_2d = true};
  const auto refused = [](const QuantSpec& spec, bool transposed, const char* why, auto change) {
    Quantized q(spec, 48, 80, Copies::both, transposed);
    CompleteCopiesArgs args{.q = q.view};
    change(args.q, q);
    CHECK_THROWS_WITH(backend().complete_copies(args), ContainsSubstring("complete_copies: ") && ContainsSubstring(why));
  };
  const auto as_it_is = [](QuantTensorView&, Quantized&) {};
  refused({.format = e4m3, .scaling = mxfp8}, false, "mxfp8", as_it_is);
  refused(square, true, "transposed copy under nvfp4", as_it_is);
  refused(plain, false, "expected the row-wise copy", [](QuantTensorView& v, Quantized& q) { v.columnwise.codes = q.column_codes.data(); });
  refused(plain, true, "of its own", [](QuantTensorView& v, Quantized&) { v.columnwise.codes = v.rowwise.codes; });
  refused(plain, true, "of its own", [](QuantTensorView& v, Quantized&) { v.columnwise.scale_inv = v.rowwise.scale_inv; });
  refused(plain, true, "of its own", [](QuantTensorView& v, Quantized&) { v.columnwise.scale_inv = nullptr; });
  refused(plain, true, "lacks its codes", [](QuantTensorView& v, Quantized&) { v.rowwise = {}; });
}

}  // namespace
}  // namespace mbt::test::shard_quantize_test
