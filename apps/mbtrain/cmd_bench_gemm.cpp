// mbtrain bench gemm: every product of a training step, on plain and quantized operands.
#include <array>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/mbtrain/bench_tools.h"
#include "apps/mbtrain/cmd_bench.h"
#include "apps/mbtrain/progress_line.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

/// A linear layer Y[M,N] = X[M,K] W[N,K]^T.
struct LinearShape {
  int64_t m, k, n;
};

/// What the operands are; without `specs` plain tensors of `act`.
struct OperandKind {
  std::string name;
  DType act = DType::bf16;
  struct Specs {
    QuantSpec input, weight, gradient;
  };
  std::optional<Specs> specs = {};
};

QuantSpec quant_spec(QuantFormat format, QuantScaling scaling, bool is_2d = false, bool hadamard_columnwise = false) {
  QuantSpec s;
  s.format = format;
  s.scaling = scaling;
  s.is_2d = is_2d;
  s.hadamard_columnwise = hadamard_columnwise;
  return s;
}

std::vector<OperandKind> operand_kinds() {
  using enum QuantFormat;
  using enum QuantScaling;
  const QuantSpec e4m3_tensor = quant_spec(e4m3, tensorwise), e4m3_block = quant_spec(e4m3, blockwise), e4m3_mx = quant_spec(e4m3, mxfp8);
  const QuantSpec fp4 = quant_spec(e2m1, nvfp4, false, true);
  return {
      {"f32", DType::f32},
      {"bf16", DType::bf16},
      {"fp8 tensorwise", DType::bf16, OperandKind::Specs{e4m3_tensor, e4m3_tensor, quant_spec(e5m2, tensorwise)}},
      {"fp8 blockwise", DType::bf16, OperandKind::Specs{e4m3_block, quant_spec(e4m3, blockwise, true), e4m3_block}},
      {"mxfp8", DType::bf16, OperandKind::Specs{e4m3_mx, e4m3_mx, e4m3_mx}},
      {"nvfp4", DType::bf16, OperandKind::Specs{fp4, quant_spec(e2m1, nvfp4, true), fp4}},
  };
}

/// A matrix of random numbers, quantized when it has a spec.
class Matrix {
 public:
  Matrix(Backend& backend, DType act, int64_t rows, int64_t cols, const QuantSpec* spec = nullptr)
      : plain_(random_tensor(backend, act, {rows, cols})) {
    if (spec == nullptr) return;
    quantized_.emplace(backend, *spec, rows, cols, true, backend.wants_transposed(*spec));
    backend.quantize({.x = plain_.view(), .to = {.q = quantized_->view()}});
  }
  TensorView view() const { return plain_.view(); }
  GemmOperand operand() const { return quantized_ ? GemmOperand(quantized_->view()) : GemmOperand(plain_.view()); }

 private:
  BenchTensor plain_;
  std::optional<BenchQuantTensor> quantized_;
};

/// One product as a training step does it: activations in the act dtype, weight gradients added to fp32.
double time_role(Backend& backend, const LinearShape& s, GemmRole role, const OperandKind& kind) {
  const auto* specs = kind.specs ? &*kind.specs : nullptr;
  auto matrix = [&](int64_t rows, int64_t cols, const QuantSpec OperandKind::Specs::*spec) {
    return Matrix(backend, kind.act, rows, cols, specs ? &(specs->*spec) : nullptr);
  };
  using Specs = OperandKind::Specs;
  const Matrix a = role == GemmRole::fprop ? matrix(s.m, s.k, &Specs::input) : matrix(s.m, s.n, &Specs::gradient);
  const Matrix b = role == GemmRole::wgrad ? matrix(s.m, s.k, &Specs::input) : matrix(s.n, s.k, &Specs::weight);
  const int64_t rows = role == GemmRole::wgrad ? s.n : s.m, cols = role == GemmRole::fprop ? s.n : s.k;
  const Matrix d(backend, role == GemmRole::wgrad ? DType::f32 : kind.act, rows, cols);
  GemmArgs args{role, a.operand(), b.operand(), d.view()};
  args.accumulate = role == GemmRole::wgrad;
  return seconds_per_call(backend, [&] { backend.gemm(args); });
}

struct GemmBenchRow {
  LinearShape shape;
  GemmRole role;
  std::string kind;
  double seconds, tflops, share;
};

/// Of one operand kind: the rate of the square product, and how the backend computes it.
struct Peak {
  const OperandKind* kind;
  GemmSupport support;
  double tflops = 0.0;
};

/// How far the measuring has come: minutes on a CPU.
class GemmBenchLine {
 public:
  explicit GemmBenchLine(size_t products) : products_(products) {}
  void next(const LinearShape& s, GemmRole role, const OperandKind& kind) {
    const double share = static_cast<double>(done_) / static_cast<double>(products_), spent = line_.seconds();
    const std::string left = done_ == 0 ? "" : ", " + time_left(spent * (1.0 - share) / share);
    if (line_.is_due())
      line_.show(fmt::format("{} product {} of {}: {}x{}x{} {} of {}{}", progress_bar(share), done_ + 1, products_, s.m, s.k, s.n,
                             name_of(role), kind.name, left));
    ++done_;
  }

 private:
  ProgressLine line_;
  size_t products_, done_ = 0;
};

double tflops_of(const LinearShape& s, double seconds) { return 2e-12 * static_cast<double>(s.m * s.k * s.n) / seconds; }

struct GemmBenchOptions {
  std::string device = "auto";
  int threads = 0;
  int64_t tokens = 0, square = 0;
  std::vector<std::string> layers;
  bool as_json = false;
};

GemmBenchOptions parse_gemm_bench(const std::vector<std::string>& args) {
  VerbOptions options(
      "Time the matrix products of a model's linear layers, alone on an idle machine, against a large square product of the same operands",
      "mbtrain bench gemm");
  GemmBenchOptions o;
  options.add_flag("--json", o.as_json, "Print JSON");
  options.add_option("--device", o.device, "Where to compute").with_default_shown().one_of({"auto", "cpu", "cuda"});
  options.add_option("--threads", o.threads, "CPU threads; 0: every core given to the process").with_default_shown();
  options.add_option("--tokens", o.tokens, "M: tokens of a micro-batch; 0: 16384 on a GPU, 1024 on a CPU")
      .with_default_shown()
      .range(int64_t{0}, int64_t{1} << 20);
  options.add_option("--square", o.square, "Side of the square product that is the peak; 0: 8192 on a GPU, 2048 on a CPU")
      .with_default_shown()
      .range(int64_t{0}, int64_t{1} << 16);
  options.add_option("--layer", o.layers, "A linear layer KxN, repeatable; none: those of Qwen2.5-1.5B on a GPU, of GPT-2 124M on a CPU");
  options.parse(args);
  return o;
}

/// "768x2304": in features, out features.
LinearShape parse_layer(const std::string& word, int64_t tokens) {
  int64_t k = 0, n = 0;
  const std::vector<std::string> sides = split(word, 'x');
  if (sides.size() != 2 || parse_integer(sides[0], k) != ParseResult::ok || parse_integer(sides[1], n) != ParseResult::ok || k < 1 ||
      n < 1 || k > 1 << 24 || n > 1 << 24)
    throw InputError(fmt::format("--layer {}: expected KxN, in and out features, for instance 768x2304", shown(word)));
  return {tokens, k, n};
}

std::vector<LinearShape> layers_of(const GemmBenchOptions& o, bool is_gpu) {
  std::vector<std::string> words = o.layers;
  if (words.empty() && is_gpu) words = {"1536x2048", "1536x1536", "1536x17920", "8960x1536", "1536x151936"};
  if (words.empty()) words = {"768x2304", "768x768", "768x3072", "3072x768", "768x50304"};
  const int64_t tokens = o.tokens != 0 ? o.tokens : is_gpu ? 16384 : 1024;
  std::vector<LinearShape> layers;
  for (const std::string& word : words) layers.push_back(parse_layer(word, tokens));
  return layers;
}

constexpr std::array kGemmRoles{GemmRole::fprop, GemmRole::dgrad, GemmRole::wgrad};

std::vector<Peak> measure_peaks(Backend& backend, const std::vector<OperandKind>& kinds, int64_t side, GemmBenchLine& line) {
  std::vector<Peak> peaks;
  for (const OperandKind& kind : kinds) {
    const QuantSpec *input = nullptr, *weight = nullptr;
    if (kind.specs) input = &kind.specs->input, weight = &kind.specs->weight;
    Peak peak{&kind, backend.gemm_support(input, weight, kind.act)};
    const LinearShape square{side, side, side};
    line.next(square, GemmRole::fprop, kind);
    if (peak.support.execution != Execution::unsupported)
      peak.tflops = tflops_of(square, time_role(backend, square, GemmRole::fprop, kind));
    peaks.push_back(std::move(peak));
  }
  return peaks;
}

std::vector<GemmBenchRow> measure(Backend& backend, const std::vector<LinearShape>& layers, const std::vector<Peak>& peaks,
                                  GemmBenchLine& line) {
  std::vector<GemmBenchRow> rows;
  for (const LinearShape& shape : layers)
    for (const GemmRole role : kGemmRoles)
      for (const Peak& peak : peaks) {
        line.next(shape, role, *peak.kind);
        if (peak.support.execution == Execution::unsupported) continue;
        const double seconds = time_role(backend, shape, role, *peak.kind), tflops = tflops_of(shape, seconds);
        rows.push_back({shape, role, peak.kind->name, seconds, tflops, tflops / peak.tflops});
      }
  return rows;
}

const char* word_of(Execution e) { return e == Execution::native ? "native" : e == Execution::emulated ? "emulated" : "unsupported"; }

void print_table(const Backend& backend, int64_t side, const std::vector<Peak>& peaks, const std::vector<GemmBenchRow>& rows) {
  for (const auto& [name, value] : backend.facts()) std::cout << name << ": " << value << "\n";
  std::printf("\npeak: a square product of side %lld\n", static_cast<long long>(side));
  for (const Peak& p : peaks)
    std::printf("  %-15s %9.3f TFLOP/s  %s%s%s\n", p.kind->name.c_str(), p.tflops, word_of(p.support.execution),
                p.support.how.empty() ? "" : ": ", p.support.how.c_str());
  std::printf("\n%6s %6s %6s  %-5s  %-15s %10s %9s %8s\n", "M", "K", "N", "role", "operands", "ms", "TFLOP/s", "of peak");
  for (const GemmBenchRow& r : rows)
    std::printf("%6lld %6lld %6lld  %-5s  %-15s %10.3f %9.3f %7.0f%%\n", static_cast<long long>(r.shape.m),
                static_cast<long long>(r.shape.k), static_cast<long long>(r.shape.n), std::string(name_of(r.role)).c_str(), r.kind.c_str(),
                r.seconds * 1e3, r.tflops, 100 * r.share);
}

nlohmann::ordered_json to_json(const Backend& backend, int64_t side, const std::vector<Peak>& peaks,
                               const std::vector<GemmBenchRow>& rows) {
  nlohmann::ordered_json j = {{"device", backend.name()}, {"backend", nlohmann::ordered_json::object()}, {"square", side}};
  for (const auto& [name, value] : backend.facts()) j["backend"][name] = value;
  for (const Peak& p : peaks) {
    j["peak_tflops"][p.kind->name] = p.tflops;
    j["execution"][p.kind->name] = word_of(p.support.execution);
  }
  for (const GemmBenchRow& r : rows)
    j["gemm"].push_back({{"m", r.shape.m},
                         {"k", r.shape.k},
                         {"n", r.shape.n},
                         {"role", name_of(r.role)},
                         {"operands", r.kind},
                         {"seconds", r.seconds},
                         {"tflops", r.tflops},
                         {"share_of_peak", r.share}});
  return j;
}

}  // namespace

int bench_gemm(const std::vector<std::string>& args) {
  const GemmBenchOptions options = parse_gemm_bench(args);
  const auto backend = make_backend(options.device, options.threads);
  const bool is_gpu = backend->name() == "cuda";
  const std::vector<LinearShape> layers = layers_of(options, is_gpu);
  const int64_t side = options.square != 0 ? options.square : is_gpu ? 8192 : 2048;
  const std::vector<OperandKind> kinds = operand_kinds();
  std::vector<Peak> peaks;
  std::vector<GemmBenchRow> rows;
  {
    GemmBenchLine line(kinds.size() * (1 + layers.size() * kGemmRoles.size()));
    peaks = measure_peaks(*backend, kinds, side, line);
    rows = measure(*backend, layers, peaks, line);
  }
  if (options.as_json) std::cout << json_text(to_json(*backend, side, peaks, rows), {.indent = 2}) << "\n";
  else print_table(*backend, side, peaks, rows);
  return 0;
}

}  // namespace mbt
