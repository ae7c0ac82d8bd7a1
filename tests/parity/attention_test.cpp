// Attention on the device against the CPU's, which tests/unit compares with a double reference: the same cases, where emulated threads
// allow.
#include "core/ops/attention.h"

#include "kernels/cuda/attention/attention.h"
#include "tests/support/op_cases.h"

namespace mbt::test::attention_test {
namespace {

struct Case {
  int64_t batch, length, heads, kv_heads, width;
  int64_t rows() const { return batch * length; }
  int64_t qkv_cols() const { return (heads + 2 * kv_heads) * width; }
  float scale() const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(width))); }
};

Backend& cpu() {
  static const std::unique_ptr<Backend> judge = make_backend("cpu");
  return *judge;
}

/// Of a relative L2 error: as in tests/unit/attention_test.cpp.
double tolerance_of(DType act) { return act == DType::f32 ? 2e-6 : 2 * unit_of(act); }
double lse_tolerance_of(DType act) { return act == DType::bf16 ? 1e-5 : 2e-6; }

double relative_error(const GuardedTensor& x, const GuardedTensor& want) {
  double error = 0, norm = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    const double w = want.at(i);
    error += (x.at(i) - w) * (x.at(i) - w);
    norm += w * w;
  }
  return norm == 0 ? std::sqrt(error) : std::sqrt(error / norm);
}

struct Inputs {
  GuardedTensor qkv, d_out;
  Inputs(const Case& c, DType act, double deviation = 1.0)
      : qkv(normal_tensor(act, {c.rows(), c.qkv_cols()}, 7, deviation)), d_out(normal_tensor(act, {c.rows(), c.heads * c.width}, 8)) {}
};

struct Outputs {
  GuardedTensor out, lse, d_qkv;
  Outputs(const Case& c, Inputs& in, Backend& backend, AttentionBackend path = AttentionBackend::automatic)
      : out(in.qkv.dtype(), {c.rows(), c.heads * c.width}),
        lse(DType::f32, {c.batch, c.heads, c.length}),
        d_qkv(in.qkv.dtype(), {c.rows(), c.qkv_cols()}) {
    d_qkv.fill([](int64_t) { return 99.0; });
    backend.attention_fwd({in.qkv, out, lse, c.heads, c.kv_heads, c.length, c.scale(), path});
    backend.attention_bwd({in.d_out, in.qkv, out, lse, d_qkv, c.heads, c.kv_heads, c.length, c.scale(), path});
  }
  bool guards_intact() const { return out.guards_intact() && lse.guards_intact() && d_qkv.guards_intact(); }
};

/// Columns [begin, end) of every row.
GuardedTensor columns(const GuardedTensor& x, int64_t cols, int64_t begin, int64_t end) {
  const int64_t rows = x.size() / cols;
  GuardedTensor part(x.dtype(), {rows, end - begin});
  part.fill([&](int64_t i) { return x.at(i / (end - begin) * cols + begin + i % (end - begin)); });
  return part;
}

void compare(const Case& c, DType act, AttentionBackend path = AttentionBackend::automatic) {
  CAPTURE(name_of(act), c.batch, c.length, c.heads, c.kv_heads, c.width);
  Inputs in(c, act);
  const Outputs want(c, in, cpu()), got(c, in, backend(), path);
  CHECK(relative_error(got.out, want.out) < tolerance_of(act));
  CHECK(relative_error(got.lse, want.lse) < lse_tolerance_of(act));
  CHECK(relative_error(got.d_qkv, want.d_qkv) < tolerance_of(act));
  const int64_t q = c.heads * c.width, k = c.kv_heads * c.width;
  if (c.length > 1) {  // a single key has probability 1: its query's and key's gradients are rounding alone
    CHECK(relative_error(columns(got.d_qkv, c.qkv_cols(), 0, q), columns(want.d_qkv, c.qkv_cols(), 0, q)) < 2 * tolerance_of(act));
    CHECK(relative_error(columns(got.d_qkv, c.qkv_cols(), q, q + k), columns(want.d_qkv, c.qkv_cols(), q, q + k)) < 2 * tolerance_of(act));
  }
  CHECK(got.guards_intact());
}

constexpr Case kCases[] = {{1, 1, 1, 1, 8},    {2, 5, 2, 1, 16},  {1, 16, 3, 3, 33},   {1, 127, 2, 1, 48}, {1, 129, 2, 1, 80},
                           {2, 33, 6, 1, 24},  {1, 257, 1, 1, 8}, {1, 1, 2, 2, 64},    {2, 5, 3, 1, 128},  {2, 65, 2, 2, 64},
                           {1, 129, 4, 2, 64}, {2, 70, 6, 1, 64}, {1, 127, 2, 1, 128}, {1, 16, 3, 3, 128}};

}  // namespace

TEST_CASE("attention on the device agrees with the CPU") {
  for (DType act : kActTypes)
    for (const Case& c : kCases) compare(c, act);
}

TEST_CASE("both ways of attention serve the shapes of flash, and automatic takes flash there") {
  for (DType act : {DType::bf16, DType::f16})
    for (const Case& c : {Case{2, 65, 4, 2, 64}, Case{1, 70, 2, 1, 128}}) {
      for (AttentionBackend path : {AttentionBackend::flash, AttentionBackend::math}) compare(c, act, path);
      Inputs in(c, act);
      const Outputs flash(c, in, backend(), AttentionBackend::flash), math(c, in, backend(), AttentionBackend::math),
          chosen(c, in, backend());
      CHECK((chosen.out.same_bits(flash.out) && chosen.d_qkv.same_bits(flash.d_qkv)));
      CHECK_FALSE(chosen.out.same_bits(math.out));
    }
}

TEST_CASE("what flash cannot serve: automatic takes math, asking for flash is an error, and questions have the calls' answers") {
  struct Unserved {
    Case c;
    DType act;
    const char* why;
  };
  for (const Unserved& u :
       {Unserved{{1, 9, 1, 1, 48}, DType::bf16, "not 48 in bf16"}, Unserved{{1, 9, 1, 1, 64}, DType::f32, "not 64 in f32"}}) {
    Inputs in(u.c, u.act);
    CHECK_THROWS_WITH(Outputs(u.c, in, backend(), AttentionBackend::flash), ContainsSubstring(u.why));
    const AttentionShape shape{u.act, u.c.width, u.c.length, u.c.scale()};
    const AttentionSupport asked = backend().attention_support(AttentionBackend::flash, shape),
                           chosen = backend().attention_support(AttentionBackend::automatic, shape);
    CHECK_FALSE(asked.is_supported);
    CHECK_THAT(asked.how, ContainsSubstring(u.why));
    CHECK((chosen.is_supported && chosen.path == "math"));
  }
  const AttentionShape served{DType::f16, 128, 9, 0.1F};
  CHECK(backend().attention_support(AttentionBackend::automatic, served).path == "flash");
  CHECK(backend().attention_support(AttentionBackend::flash, served).is_supported);
  CHECK(backend().attention_support(AttentionBackend::math, served).path == "math");
  CHECK_FALSE(backend().attention_support(AttentionBackend::flash, {DType::f16, 128, 9, 0.0F}).is_supported);
}

TEST_CASE("attention over several tiles of queries and keys agrees with the CPU") {
  for (DType act : {DType::bf16, DType::f16})
    for (const Case& c : {Case{1, 257, 1, 1, 64}, Case{1, 257, 2, 1, 128}, Case{1, 128, 3, 1, 64}, Case{1, 192, 2, 1, 128}})
      compare(c, act);
}

TEST_CASE("on the device too, tokens without a loss get zeros and f32 gradients of the keys sum to zero") {
  constexpr int64_t kLast = 3;  // positions without a loss
  for (DType act : kActTypes)
    for (const Case& c : {Case{1, 33, 2, 2, 16}, Case{1, 67, 2, 1, 64}, Case{1, 67, 2, 1, 128}}) {
      CAPTURE(name_of(act), c.width);
      Inputs in(c, act);
      for (int64_t i = (c.length - kLast) * c.heads * c.width; i < in.d_out.size(); ++i) in.d_out.set(i, 0.0);
      const Outputs got(c, in, backend());
      for (int64_t col = 0; col < c.qkv_cols(); ++col) {
        double sum = 0, magnitude = 0;
        for (int64_t r = 0; r < c.length; ++r) {
          const double x = got.d_qkv.at(r * c.qkv_cols() + col);
          if (r >= c.length - kLast) REQUIRE(x == 0.0);
          sum += x;
          magnitude += std::fabs(x);
        }
        const bool is_key = col >= c.heads * c.width && col < (c.heads + c.kv_heads) * c.width;
        if (is_key && act == DType::f32) CHECK(std::fabs(sum) < 1e-9 * magnitude);
      }
    }
}

TEST_CASE("sequences beyond what a launch takes go into the next") {
  const Case c{5, 9, 2, 1, 64};
  Inputs in(c, DType::bf16);
  Outputs want(c, in, backend()), got = want;
  got.out.fill([](int64_t) { return 99.0; });
  got.lse.fill([](int64_t) { return 99.0; });
  cuda::Scratch scratch;
  cuda::Fault fault;
  cuda::launch_attention_flash_fwd({in.qkv, got.out, got.lse, c.heads, c.kv_heads, c.length, c.scale()}, {nullptr, scratch, &fault, 4}, 2);
  cuda::check(cudaDeviceSynchronize(), "attention_fwd");
  CHECK((got.out.same_bits(want.out) && got.lse.same_bits(want.lse)));
}

#if !defined(MBT_EMULATED_DEVICE)  // there, minutes
TEST_CASE("more sequences than a grid has rows: one token each, which sees itself alone") {
  for (const auto& [act, path] : {std::pair{DType::f16, AttentionBackend::flash}, std::pair{DType::f32, AttentionBackend::math}}) {
    const Case c{65537, 1, 1, 1, act == DType::f16 ? 64 : 4};
    CAPTURE(name_of(act));
    Inputs in(c, act);
    const Outputs got(c, in, backend(), path);
    bool is_right = true;
    for (int64_t row = 0; row < c.batch; ++row)
      for (int64_t d = 0; d < c.width; ++d) {
        const int64_t v = (row * 3 + 2) * c.width + d;
        is_right &= got.out.at(row * c.width + d) == in.qkv.at(v) && got.d_qkv.at(v) == in.d_out.at(row * c.width + d);
      }
    CHECK(is_right);
    CHECK(got.guards_intact());
  }
}
#endif

TEST_CASE("fp16 gradients near the end of its range give the CPU's, also where the scores' gradients are beyond it") {
  for (const Case& c : {Case{1, 70, 2, 1, 64}, Case{1, 70, 1, 1, 128}}) {
    CAPTURE(c.width);
    Inputs in(c, DType::f16, 0.01);
    for (int64_t i = 0; i < in.d_out.size(); ++i) in.d_out.set(i, in.d_out.at(i) * 8192.0);
    for (int64_t row = 0; row < c.rows(); ++row)  // values of about 8: the scores' gradients pass 65504 by far
      for (int64_t col = (c.heads + c.kv_heads) * c.width; col < c.qkv_cols(); ++col) {
        const int64_t at = row * c.qkv_cols() + col;
        in.qkv.set(at, in.qkv.at(at) * 800.0);
      }
    for (int64_t i = 0; i < c.heads * c.width; ++i) in.d_out.set(i, 0.25 * in.d_out.at(i));  // the first token's key sees all queries
    const Outputs want(c, in, cpu()), got(c, in, backend());
    const int64_t keys_end = (c.heads + c.kv_heads) * c.width;
    const GuardedTensor want_qk = columns(want.d_qkv, c.qkv_cols(), 0, keys_end), got_qk = columns(got.d_qkv, c.qkv_cols(), 0, keys_end);
    for (int64_t i = 0; i < want_qk.size(); ++i) REQUIRE(std::isfinite(want_qk.at(i)));
    CHECK(relative_error(got_qk, want_qk) < 2 * tolerance_of(DType::f16));
  }
}

TEST_CASE("fp16 gradients that are infinite or NaN stay visible") {
  const Case c{1, 33, 1, 1, 64};
  for (const double bad : {double{INFINITY}, double{NAN}}) {
    Inputs in(c, DType::f16);
    in.d_out.set(20 * c.width + 3, bad);
    const Outputs got(c, in, backend());
    CHECK_FALSE(std::isfinite(got.d_qkv.at(20 * c.qkv_cols())));
    CHECK(std::isfinite(got.d_qkv.at(19 * c.qkv_cols())));  // the query before it
  }
}

TEST_CASE("backward at head width 128 within 99 KiB of shared memory agrees with the CPU") {
  for (DType act : {DType::bf16, DType::f16})
    for (const Case& c : {Case{1, 70, 2, 1, 128}, Case{2, 33, 1, 1, 128}, Case{1, 161, 1, 1, 128}}) {
      CAPTURE(name_of(act), c.length);
      Inputs in(c, act);
      Outputs want(c, in, cpu());
      GuardedTensor d_qkv = want.d_qkv;
      d_qkv.fill([](int64_t) { return 99.0; });
      cuda::Scratch scratch;
      cuda::Fault fault;
      cuda::launch_attention_flash_bwd({in.d_out, in.qkv, want.out, want.lse, d_qkv, c.heads, c.kv_heads, c.length, c.scale()},
                                       {nullptr, scratch, &fault, 4}, 99 << 10);
      cuda::check(cudaDeviceSynchronize(), "attention_bwd");
      CHECK(relative_error(d_qkv, want.d_qkv) < tolerance_of(act));
      CHECK(d_qkv.guards_intact());
    }
}

TEST_CASE("attention on the device survives large scores") {
  for (DType act : kActTypes)
    for (const Case& c : {Case{1, 40, 1, 1, 16}, Case{1, 80, 1, 1, 64}}) {
      CAPTURE(name_of(act), c.width);
      Inputs in(c, act, 100.0);
      const Outputs want(c, in, cpu()), got(c, in, backend());
      // Scores near 1e5: their fp32 rounding alone moves a probability by 1e-2.
      CHECK(relative_error(got.out, want.out) < 1e-3 + tolerance_of(act));
      CHECK(relative_error(got.lse, want.lse) < lse_tolerance_of(act));
      for (int64_t i = 0; i < got.d_qkv.size(); ++i) REQUIRE(std::isfinite(got.d_qkv.at(i)));
    }
}

TEST_CASE("cached attention of a few queries over many keys, cut into parts, gives the rows of the CPU's full forward pass") {
  for (DType act : kActTypes)
    for (const Case& c : {Case{1, 530, 2, 1, 16}, Case{1, 530, 1, 1, 33}}) {
      CAPTURE(name_of(act), c.width);
      Inputs in(c, act, 2.0);
      GuardedTensor full(act, {c.length, c.heads * c.width}), lse(DType::f32, {1, c.heads, c.length}), out(act, full.view().shape);
      GuardedTensor k_cache(act, {540, c.kv_heads * c.width}), v_cache(act, {540, c.kv_heads * c.width});
      cpu().attention_fwd({in.qkv, full, lse, c.heads, c.kv_heads, c.length, c.scale()});
      int64_t first = 0;
      for (int64_t count : {254, 5, 1, 252, 1, 8, 9}) {  // 5: some of its queries see one part, some two
        backend().attention_cached({in.qkv.view().row_range(first, count), k_cache, v_cache, out.view().row_range(first, count), c.heads,
                                    c.kv_heads, first, c.scale()});
        first += count;
      }
      REQUIRE(first == c.length);
      CHECK(relative_error(out, full) < tolerance_of(act));
      CHECK(out.guards_intact());
    }
}

TEST_CASE("cached attention on the device, in pieces, gives the rows of the CPU's full forward pass") {
  for (DType act : kActTypes)
    for (const Case& c : {Case{1, 83, 4, 2, 32}, Case{1, 83, 2, 1, 64}, Case{1, 83, 3, 1, 33}}) {
      CAPTURE(name_of(act), c.width);
      Inputs in(c, act);
      GuardedTensor full(act, {c.length, c.heads * c.width}), lse(DType::f32, {1, c.heads, c.length});
      cpu().attention_fwd({in.qkv, full, lse, c.heads, c.kv_heads, c.length, c.scale()});
      GuardedTensor k_cache(act, {90, c.kv_heads * c.width}), v_cache(act, {90, c.kv_heads * c.width}), out(act, full.view().shape);
      int64_t first = 0;
      for (int64_t count : {50, 1, 1, 17, 1, 13}) {
        backend().attention_cached({in.qkv.view().row_range(first, count), k_cache, v_cache, out.view().row_range(first, count), c.heads,
                                    c.kv_heads, first, c.scale()});
        first += count;
      }
      REQUIRE(first == c.length);
      CHECK(relative_error(out, full) < tolerance_of(act));
      CHECK((out.guards_intact() && k_cache.guards_intact() && v_cache.guards_intact()));
      const int64_t q = c.heads * c.width, k = c.kv_heads * c.width;
      for (int64_t i = 0; i < c.length * k; ++i) {
        REQUIRE(k_cache.at(i) == in.qkv.at(i / k * c.qkv_cols() + q + i % k));
        REQUIRE(v_cache.at(i) == in.qkv.at(i / k * c.qkv_cols() + q + k + i % k));
      }
    }
}

}  // namespace mbt::test::attention_test
