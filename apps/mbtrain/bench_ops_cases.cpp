#include "apps/mbtrain/bench_ops_cases.h"

#include "core/base/error.h"

namespace mbt {

std::string OpBench::traffic() const {
  std::string said = reads_.empty() ? "" : "reads " + reads_;
  if (!writes_.empty()) said += (said.empty() ? "writes " : "; writes ") + writes_;
  return said;
}

void OpBench::count_read(const std::string& what, int64_t bytes) {
  reads_ += (reads_.empty() ? "" : ", ") + what;
  bytes_ += bytes;
}

void OpBench::count_written(const std::string& what, int64_t bytes) {
  writes_ += (writes_.empty() ? "" : ", ") + what;
  bytes_ += bytes;
}

TensorView OpBench::read(const char* what, DType dtype, const Shape& shape, int times) {
  const TensorView t = keep(random_tensor(*backend_, dtype, shape)).view();
  count_read(times == 1 ? what : fmt::format("{} {}x", what, times), times * t.size_bytes());
  return t;
}

TensorView OpBench::written(const char* what, DType dtype, const Shape& shape) {
  const TensorView t = keep(BenchTensor(*backend_, dtype, shape)).view();
  count_written(what, t.size_bytes());
  return t;
}

TensorView OpBench::updated(const char* what, DType dtype, const Shape& shape) {
  const TensorView t = read(what, dtype, shape);
  count_written(what, t.size_bytes());
  return t;
}

namespace {

constexpr DType kF32 = DType::f32;

// -- norms, activations, positions -------------------------------------------------------------------------------------------------------

OpBench norm_fwd(Backend& b, const OpBenchShape& s, bool with_residual) {
  OpBench o(b, with_residual ? "norm_fwd + residual" : "norm_fwd");
  const Shape nc{s.tokens, s.width};
  NormFwdArgs a{NormKind::rmsnorm, o.read("x", s.act, nc), o.read("weight", s.act, {s.width}), {}, {}};
  if (with_residual) {
    a.delta = o.read("delta", s.act, nc);
    a.h = o.written("h", s.act, nc);
  }
  a.y = o.written("y", s.act, nc);
  a.rstd = o.written("rstd", kF32, {s.tokens});
  o.set_call([&b, a] { b.norm_fwd(a); });
  return o;
}

OpBench norm_bwd(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "norm_bwd + residual");
  const Shape nc{s.tokens, s.width};
  const NormBwdArgs a{NormKind::rmsnorm,
                      o.read("d_y", s.act, nc),
                      o.read("h", s.act, nc),
                      o.read("weight", s.act, {s.width}),
                      o.read("rstd", kF32, {s.tokens}),
                      o.updated("d_h", s.act, nc),
                      o.updated("d_weight", kF32, {s.width})};
  o.set_call([&b, a] { b.norm_bwd(a); });
  return o;
}

OpBench qk_norm_fwd(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "qk_norm_fwd");
  const Shape qkv{s.tokens, s.qkv_cols()}, d{OpBenchShape::kHeadDim};
  const QkNormFwdArgs a{o.read("qkv", s.act, qkv),
                        o.read("q_weight", s.act, d),
                        o.read("k_weight", s.act, d),
                        o.written("qkv_out", s.act, qkv),
                        o.written("rstd", kF32, {s.tokens, s.num_heads() + s.num_kv_heads()}),
                        s.num_heads(),
                        s.num_kv_heads()};
  o.set_call([&b, a] { b.qk_norm_fwd(a); });
  return o;
}

OpBench qk_norm_bwd(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "qk_norm_bwd");
  const Shape qkv{s.tokens, s.qkv_cols()}, d{OpBenchShape::kHeadDim};
  const int64_t heads = s.num_heads() + s.num_kv_heads(), qk_bytes = s.tokens * heads * OpBenchShape::kHeadDim * size_of(s.act);
  const TensorView d_qkv = o.keep(random_tensor(b, s.act, qkv)).view(), x = o.keep(random_tensor(b, s.act, qkv)).view();
  o.count_read("q and k of d_qkv and qkv", 2 * qk_bytes);
  o.count_written("q and k of d_qkv", qk_bytes);
  const QkNormBwdArgs a{d_qkv,
                        x,
                        o.read("q_weight", s.act, d),
                        o.read("k_weight", s.act, d),
                        o.read("rstd", kF32, {s.tokens, heads}),
                        o.updated("d_q_weight", kF32, d),
                        o.updated("d_k_weight", kF32, d),
                        s.num_heads(),
                        s.num_kv_heads()};
  o.set_call([&b, a] { b.qk_norm_bwd(a); });
  return o;
}

OpBench rope(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "rope");
  const int64_t positions = std::min<int64_t>(s.tokens, 2048), sequences = s.tokens / positions, d = OpBenchShape::kHeadDim;
  const TensorView qkv = o.keep(random_tensor(b, s.act, {sequences * positions, s.qkv_cols()})).view();
  const int64_t qk_bytes = qkv.rows() * (s.num_heads() + s.num_kv_heads()) * d * size_of(s.act);
  o.count_read("q and k", qk_bytes);
  o.count_written("q and k", qk_bytes);
  const RopeArgs a{qkv, o.read("cos_sin", kF32, {positions, d}), s.num_heads(), s.num_kv_heads(), positions};
  o.set_call([&b, a] { b.rope(a); });
  return o;
}

OpBench activation_fwd(Backend& b, const OpBenchShape& s, ActivationKind kind, const char* name) {
  OpBench o(b, fmt::format("{}_fwd", name));
  const int64_t cols = is_gated(kind) ? 2 * s.width : s.width;
  const ActivationFwdArgs a{kind, o.read("x", s.act, {s.tokens, cols}), o.written("y", s.act, {s.tokens, s.width})};
  o.set_call([&b, a] { b.activation_fwd(a); });
  return o;
}

OpBench activation_bwd(Backend& b, const OpBenchShape& s, ActivationKind kind, const char* name) {
  OpBench o(b, fmt::format("{}_bwd", name));
  const Shape x{s.tokens, is_gated(kind) ? 2 * s.width : s.width};
  const ActivationBwdArgs a{kind, o.read("d_y", s.act, {s.tokens, s.width}), o.read("x", s.act, x), o.written("d_x", s.act, x)};
  o.set_call([&b, a] { b.activation_bwd(a); });
  return o;
}

// -- embedding, loss ---------------------------------------------------------------------------------------------------------------------

OpBench embedding_fwd(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "embedding_fwd");
  int64_t distinct = 0;
  const TensorView tokens = o.keep(random_indices(b, s.tokens, s.vocabulary, &distinct)).view();
  const TensorView table = o.keep(random_tensor(b, s.act, {s.vocabulary, s.width})).view();
  o.count_read("tokens", tokens.size_bytes());
  o.count_read("the rows that occur", distinct * s.width * size_of(s.act));
  const EmbeddingFwdArgs a{tokens, table, o.written("out", s.act, {s.tokens, s.width}), s.tokens};
  o.set_call([&b, a] { b.embedding_fwd(a); });
  return o;
}

OpBench embedding_bwd(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "embedding_bwd");
  int64_t distinct = 0;
  const TensorView tokens = o.keep(random_indices(b, s.tokens, s.vocabulary, &distinct)).view();
  const TensorView table = o.keep(random_tensor(b, kF32, {s.vocabulary, s.width})).view();
  const int64_t rows_bytes = distinct * s.width * size_of(kF32);
  o.count_read("tokens", tokens.size_bytes());
  o.count_read("the rows that occur", rows_bytes);
  o.count_written("the rows that occur", rows_bytes);
  const EmbeddingBwdArgs a{o.read("d_out", s.act, {s.tokens, s.width}), tokens, table, s.tokens};
  o.set_call([&b, a] { b.embedding_bwd(a); });
  return o;
}

OpBench cross_entropy(Backend& b, const OpBenchShape& s, bool with_gradient) {
  OpBench o(b, with_gradient ? "cross_entropy + gradient" : "cross_entropy");
  const int64_t rows = s.logit_rows();
  const TensorView logits = o.read("logits", s.act, {rows, s.vocabulary}, with_gradient ? 2 : 1);  // the maximum and sum come first
  if (with_gradient) o.count_written("logits", logits.size_bytes());
  const TensorView targets = o.keep(random_indices(b, rows, s.vocabulary)).view();
  CrossEntropyArgs a{logits, targets, o.read("loss_mask", kF32, {rows}), o.written("loss", kF32, {rows}), s.vocabulary, with_gradient};
  a.d_scale = 1.0F / static_cast<float>(rows);
  o.set_call([&b, a] { b.cross_entropy(a); });
  return o;
}

// -- optimizer, casts --------------------------------------------------------------------------------------------------------------------

OpBench adamw(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "adamw");
  const Shape n{s.tokens * s.width};
  const TensorView master = o.updated("master", kF32, n), m = o.updated("exp_avg", kF32, n);
  const TensorView v = o.keep(BenchTensor(b, kF32, n)).view();  // zeros: a second moment is not negative
  o.count_read("exp_avg_sq", v.size_bytes());
  o.count_written("exp_avg_sq", v.size_bytes());
  AdamwArgs a{master, m, v, o.read("grad", kF32, n), 1e-4F, 0.9F, 0.95F, 1e-8F, 0.1F, 0.1F, 0.05F, o.read("grad_scale", kF32, {1})};
  a.param = o.written("param", s.act, n);
  o.set_call([&b, a] { b.adamw(a); });
  return o;
}

OpBench grad_norm(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "grad_norm");
  const GradNormArgs a{o.read("grad", kF32, {s.tokens * s.width}), o.written("squared_norm", DType::f64, {1}),
                       o.written("non_finite", DType::i32, {1})};
  o.set_call([&b, a] { b.grad_norm(a); });
  return o;
}

OpBench bias_bwd(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "bias_bwd");
  const BiasBwdArgs a{o.read("d_y", s.act, {s.tokens, s.width}), o.updated("d_bias", kF32, {s.width})};
  o.set_call([&b, a] { b.bias_bwd(a); });
  return o;
}

OpBench add(Backend& b, const OpBenchShape& s) {
  OpBench o(b, "add");
  const Shape nc{s.tokens, s.width};
  const AddArgs a{o.read("a", s.act, nc), o.read("b", s.act, nc), o.written("out", s.act, nc)};
  o.set_call([&b, a] { b.add(a); });
  return o;
}

OpBench cast(Backend& b, const OpBenchShape& s, const std::string& name, DType from, DType to) {
  OpBench o(b, name);
  const Shape nc{s.tokens, s.width};
  const CastArgs a{o.read("src", from, nc), o.written("dst", to, nc)};
  o.set_call([&b, a] { b.cast(a); });
  return o;
}

// -- quantization ------------------------------------------------------------------------------------------------------------------------

enum class Copies { rowwise, both, both_transposed };

struct QuantCase {
  std::string name;
  QuantSpec spec;
  Copies copies = Copies::both;
};

OpBench quantize(Backend& b, const OpBenchShape& s, const QuantCase& c) {
  OpBench o(b, c.name);
  // A scale that depends on the whole tensor takes a pass of its own before the codes.
  const bool two_passes = c.spec.scaling == QuantScaling::tensorwise || c.spec.scaling == QuantScaling::nvfp4;
  const TensorView x = o.read("x", s.act, {s.tokens, s.width}, two_passes ? 2 : 1);
  const BenchQuantTensor& q =
      o.keep(BenchQuantTensor(b, c.spec, s.tokens, s.width, c.copies != Copies::rowwise, c.copies == Copies::both_transposed));
  o.count_written("codes, scales", q.bytes());
  const QuantizeArgs a{.x = x, .to = {.q = q.view(), .random_seed = 1}};
  o.set_call([&b, a] { b.quantize(a); });
  return o;
}

std::vector<QuantCase> quant_cases(bool has_transposed) {
  using enum QuantFormat;
  using enum QuantScaling;
  std::vector<QuantCase> cases = {
      {"quantize delayed", {.format = e4m3, .scaling = delayed}, Copies::rowwise},
      {"quantize tensorwise", {.format = e4m3, .scaling = tensorwise}, Copies::rowwise},
      {"quantize tensorwise e5m2", {.format = e5m2, .scaling = tensorwise}, Copies::rowwise},
      {"quantize blockwise 1x128", {.format = e4m3, .scaling = blockwise}, Copies::rowwise},
      {"quantize blockwise 1x128, both", {.format = e4m3, .scaling = blockwise}},
      {"quantize blockwise 128x128", {.format = e4m3, .scaling = blockwise, .is_2d = true}},
      {"quantize mxfp8", {.format = e4m3, .scaling = mxfp8}, Copies::rowwise},
      {"quantize mxfp8, both", {.format = e4m3, .scaling = mxfp8}},
      {"quantize nvfp4", {.format = e2m1, .scaling = nvfp4}, Copies::rowwise},
      {"quantize nvfp4 16x16", {.format = e2m1, .scaling = nvfp4, .is_2d = true}},
      {"quantize nvfp4 hadamard, both", {.format = e2m1, .scaling = nvfp4, .hadamard_columnwise = true}},
      {"quantize nvfp4 hadamard stochastic, both",
       {.format = e2m1, .scaling = nvfp4, .stochastic_rounding = true, .hadamard_columnwise = true}},
  };
  if (has_transposed) {
    cases.push_back({"cast + transpose delayed", {.format = e4m3, .scaling = delayed}, Copies::both_transposed});
    cases.push_back({"cast + transpose tensorwise", {.format = e4m3, .scaling = tensorwise}, Copies::both_transposed});
  }
  return cases;
}

}  // namespace

std::vector<OpBenchMaker> op_benches(bool has_transposed) {
  using B = Backend;
  using S = OpBenchShape;
  using enum ActivationKind;
  std::vector<OpBenchMaker> all = {
      {"norm_fwd", [](B& b, const S& s) { return norm_fwd(b, s, false); }},
      {"norm_fwd + residual", [](B& b, const S& s) { return norm_fwd(b, s, true); }},
      {"norm_bwd + residual", norm_bwd},
      {"qk_norm_fwd", qk_norm_fwd},
      {"qk_norm_bwd", qk_norm_bwd},
      {"rope", rope},
      {"swiglu_fwd", [](B& b, const S& s) { return activation_fwd(b, s, swiglu, "swiglu"); }},
      {"swiglu_bwd", [](B& b, const S& s) { return activation_bwd(b, s, swiglu, "swiglu"); }},
      {"gelu_fwd", [](B& b, const S& s) { return activation_fwd(b, s, gelu_tanh, "gelu"); }},
      {"gelu_bwd", [](B& b, const S& s) { return activation_bwd(b, s, gelu_tanh, "gelu"); }},
      {"embedding_fwd", embedding_fwd},
      {"embedding_bwd", embedding_bwd},
      {"cross_entropy", [](B& b, const S& s) { return cross_entropy(b, s, false); }},
      {"cross_entropy + gradient", [](B& b, const S& s) { return cross_entropy(b, s, true); }},
      {"adamw", adamw},
      {"grad_norm", grad_norm},
      {"bias_bwd", bias_bwd},
      {"add", add},
      {"cast f32 to act", [](B& b, const S& s) { return cast(b, s, "cast f32 to act", kF32, s.act); }},
      {"cast act to f32", [](B& b, const S& s) { return cast(b, s, "cast act to f32", s.act, kF32); }},
  };
  for (const QuantCase& c : quant_cases(has_transposed)) all.push_back({c.name, [c](B& b, const S& s) { return quantize(b, s, c); }});
  return all;
}

OpBench copy_bench(Backend& backend, const OpBenchShape& shape) { return cast(backend, shape, "copy", kF32, kF32); }

}  // namespace mbt
