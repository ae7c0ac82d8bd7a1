// mbtrain bench gemm: every product of a training step, on plain and quantised operands.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/cmd_bench.h"
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

/// A matrix of pseudo-random numbers in [-1, 1) in the backend's memory, quantised when it has a spec.
class Matrix {
 public:
  Matrix(Backend& backend, DType act, int64_t rows, int64_t cols, const QuantSpec* spec = nullptr)
      : memory_(backend, static_cast<size_t>(rows * cols * size_of(act))), view_(memory_.data(), act, {rows, cols}) {
    fill(backend);
    if (spec == nullptr) return;
    quant_.spec = *spec;
    quant_.rows = rows;
    quant_.cols = cols;
    quant_.rowwise = allocate(backend, false);
    const bool is_transposed = backend.wants_transposed(*spec);
    quant_.columnwise = spec->columnwise_shares_codes() && !is_transposed ? quant_.rowwise : allocate(backend, true);
    quant_.columnwise.is_transposed = is_transposed;
    backend.quantize({view_, quant_});
  }
  TensorView view() const { return view_; }
  GemmOperand operand() const { return quant_.empty() ? GemmOperand(view_) : GemmOperand(quant_); }

 private:
  void fill(Backend& backend) {
    std::vector<float> values(static_cast<size_t>(view_.size()));
    uint32_t state = 1;
    for (float& x : values) {
      state = state * 1664525u + 1013904223u;
      x = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    }
    const Buffer staging(backend, values.size() * sizeof(float));
    const TensorView source(staging.data(), DType::f32, view_.shape);
    backend.upload(values.data(), source);
    backend.cast({source, view_});
    backend.synchronize();
  }
  QuantCopy allocate(Backend& backend, bool columnwise) {
    const QuantCopyShape shape = quant_copy_shape(quant_.spec, quant_.rows, quant_.cols, columnwise);
    auto block = [&](int64_t bytes) { return parts_.emplace_back(backend, static_cast<size_t>(bytes)).data(); };
    QuantCopy copy;
    copy.codes = block(shape.codes_bytes);
    copy.scale_inv = block(shape.scale_bytes);
    if (quant_.spec.scaling == QuantScaling::nvfp4) copy.global_amax = static_cast<float*>(block(sizeof(float)));
    return copy;
  }

  Buffer memory_;
  TensorView view_;
  std::vector<Buffer> parts_;
  QuantTensorView quant_;
};

/// Seconds of the fastest of several products, after one that makes the primitives.
double time_gemm(Backend& backend, const GemmArgs& args) {
  using Clock = std::chrono::steady_clock;
  constexpr int kMinRuns = 3;
  constexpr double kSeconds = 0.2;
  double best = std::numeric_limits<double>::infinity(), total = 0;
  backend.gemm(args);
  backend.synchronize();
  for (int run = 0; run < kMinRuns || total < kSeconds; ++run) {
    const auto start = Clock::now();
    backend.gemm(args);
    backend.synchronize();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

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
  return time_gemm(backend, args);
}

struct Row {
  LinearShape shape;
  GemmRole role;
  std::string kind;
  double seconds, tflops, share;
};

double tflops_of(const LinearShape& s, double seconds) { return 2e-12 * static_cast<double>(s.m * s.k * s.n) / seconds; }

void print_table(const std::vector<Row>& rows) {
  std::printf("%6s %6s %6s  %-5s  %-15s %10s %9s %8s\n", "M", "K", "N", "role", "operands", "ms", "TFLOP/s", "of peak");
  for (const Row& r : rows)
    std::printf("%6lld %6lld %6lld  %-5s  %-15s %10.2f %9.3f %7.0f%%\n", static_cast<long long>(r.shape.m),
                static_cast<long long>(r.shape.k), static_cast<long long>(r.shape.n), std::string(name_of(r.role)).c_str(), r.kind.c_str(),
                r.seconds * 1e3, r.tflops, 100 * r.share);
}

nlohmann::json to_json(const std::vector<Row>& rows) {
  nlohmann::json all = nlohmann::json::array();
  for (const Row& r : rows)
    all.push_back({{"m", r.shape.m},
                   {"k", r.shape.k},
                   {"n", r.shape.n},
                   {"role", name_of(r.role)},
                   {"operands", r.kind},
                   {"seconds", r.seconds},
                   {"tflops", r.tflops},
                   {"share_of_peak", r.share}});
  return all;
}

}  // namespace

int bench_gemm(const std::vector<std::string>& args) {
  CLI::App app("Time the matrix products of GPT-2 124M, alone on an idle machine", "mbtrain bench gemm");
  bool as_json = false;
  int threads = 0;
  int64_t tokens = 1024;
  app.add_flag("--json", as_json, "Print JSON");
  app.add_option("--threads", threads, "Threads; 0: every core given to the process")->capture_default_str();
  app.add_option("--tokens", tokens, "M: tokens of a micro-batch")->capture_default_str()->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  parse_args(app, args);
  const auto backend = make_backend("cpu", threads);
  constexpr LinearShape kSquare{2048, 2048, 2048};
  const std::vector<OperandKind> kinds = operand_kinds();
  const double f32_peak = tflops_of(kSquare, time_role(*backend, kSquare, GemmRole::fprop, kinds[0]));
  const double bf16_peak = tflops_of(kSquare, time_role(*backend, kSquare, GemmRole::fprop, kinds[1]));
  std::vector<Row> rows;
  for (const auto& [k, n] : {std::pair<int64_t, int64_t>{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}, {768, 50304}}) {
    const LinearShape shape{tokens, k, n};
    for (GemmRole role : {GemmRole::fprop, GemmRole::dgrad, GemmRole::wgrad}) {
      for (const OperandKind& kind : kinds) {
        const double seconds = time_role(*backend, shape, role, kind);
        const double tflops = tflops_of(shape, seconds);
        rows.push_back({shape, role, kind.name, seconds, tflops, tflops / (kind.act == DType::f32 ? f32_peak : bf16_peak)});
      }
    }
  }
  if (as_json) {
    nlohmann::json facts;
    for (const auto& [name, value] : backend->facts()) facts[name] = value;
    std::cout
        << nlohmann::json{{"backend", facts}, {"peak_tflops", {{"f32", f32_peak}, {"bf16", bf16_peak}}}, {"gemm", to_json(rows)}}.dump(2)
        << "\n";
    return 0;
  }
  for (const auto& [name, value] : backend->facts()) std::cout << name << ": " << value << "\n";
  std::printf("peak (2048 cubed): f32 %.3f, bf16 %.3f TFLOP/s\n\n", f32_peak, bf16_peak);
  print_table(rows);
  return 0;
}

}  // namespace mbt
