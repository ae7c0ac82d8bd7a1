// Matrix products through cuBLASLt. cuBLASLt is column-major: a row-major [R,C] tensor is a C x R matrix with leading dimension C, so for
// D = A B it is given B first (numerics reference 7.3):
//   role   D (column-major)   first operand             second operand
//   fprop  N x M              W, transposed, ld K       X, ld K
//   dgrad  K x M              W, ld K                   dY, ld N
//   wgrad  K x N              X, ld K                   dY, transposed, ld N
// FP8 operands must both be contiguous along the summed dimension (Ada, Hopper): "first transposed, second not". Where the codes lie the
// other way (W in dgrad, X and dY in wgrad) they are transposed into scratch first.
#include <cublasLt.h>

#include <array>
#include <optional>
#include <unordered_map>

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/gemm_prepare.h"

namespace mbt::cuda {
namespace {

void check(cublasStatus_t status, const std::string& what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(text("cuBLASLt: ", what, ": ", cublasLtGetStatusString(status)));
}

/// Owns a cuBLASLt object.
template <class T, cublasStatus_t (*kDestroy)(T)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(T object) : object_(object) {}
  Owned(Owned&& o) noexcept : object_(std::exchange(o.object_, nullptr)) {}
  Owned& operator=(Owned&& o) noexcept {
    std::swap(object_, o.object_);
    return *this;
  }
  ~Owned() {
    if (object_ != nullptr) static_cast<void>(kDestroy(object_));
  }
  T get() const { return object_; }

 private:
  T object_ = nullptr;
};
using Handle = Owned<cublasLtHandle_t, cublasLtDestroy>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

cudaDataType_t data_type(DType t) { return t == DType::f32 ? CUDA_R_32F : t == DType::bf16 ? CUDA_R_16BF : CUDA_R_16F; }
cudaDataType_t data_type(QuantFormat f) { return f == QuantFormat::e4m3 ? CUDA_R_8F_E4M3 : CUDA_R_8F_E5M2; }

/// One operand as cuBLASLt takes it: a column-major matrix of `rows` x `cols`, dense.
struct Matrix {
  const void* data;
  cudaDataType_t type;
  int64_t rows, cols;
  bool is_transposed;            // op: op(matrix) is what is multiplied
  const float* scale = nullptr;  // device: dequantisation factor of FP8 codes
};

/// Everything that a plan depends on.
struct ProductKey {
  std::array<int64_t, 6> extents;
  std::array<int, 4> types;
  bool first_is_transposed, second_is_transposed, has_bias, accumulates, has_device_alpha, fast_accumulation;
  bool operator==(const ProductKey&) const = default;
};
struct ProductKeyHash {
  size_t operator()(const ProductKey& k) const {
    uint64_t h = static_cast<uint64_t>(k.first_is_transposed) | static_cast<uint64_t>(k.second_is_transposed) << 1 |
                 static_cast<uint64_t>(k.has_bias) << 2 | static_cast<uint64_t>(k.accumulates) << 3 |
                 static_cast<uint64_t>(k.has_device_alpha) << 4 | static_cast<uint64_t>(k.fast_accumulation) << 5;
    for (const int64_t e : k.extents) h = (h ^ static_cast<uint64_t>(e)) * 0x9E3779B97F4A7C15ULL;
    for (const int t : k.types) h = (h ^ static_cast<uint64_t>(t)) * 0x9E3779B97F4A7C15ULL;
    return static_cast<size_t>(h ^ h >> 32);
  }
};

MatrixLayout make_layout(cudaDataType_t type, int64_t rows, int64_t cols) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), rows), "describing a matrix");
  return MatrixLayout(layout);
}

struct Plan {
  Operation operation;
  MatrixLayout first, second, d;
  cublasLtMatmulAlgo_t algorithm;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value), "describing a product");
  }
};

/// D as a column-major matrix, and what is added to the sum.
struct Result {
  void* data;
  DType dtype;
  int64_t rows, cols;
  ConstTensorView bias;
  bool accumulate;
  const float* alpha = nullptr;  // device: alpha, then beta; null: alpha 1, beta 0 or 1
};

constexpr size_t kWorkspaceBytes = (size_t{32} << 20) + 1024;

class CublasLtGemm final : public Gemm {
 public:
  explicit CublasLtGemm(const cudaDeviceProp& properties) : capability_(10 * properties.major + properties.minor) {
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle), "creating its context");
    handle_ = Handle(handle);
    cuda::check(cudaMalloc(&workspace_, kWorkspaceBytes), "workspace of cuBLASLt");
  }
  ~CublasLtGemm() override { static_cast<void>(cudaFree(workspace_)); }

  void run(const GemmArgs& g, const LaunchContext& context) override {
    if (!g.a.is_quantised()) return run_plain(g, context);
    if (is_native(&g.a.quant.spec, &g.b.quant.spec)) return run_fp8(g, context);
    run_decoded(g, context);
  }

  GemmSupport support(const QuantSpec* a, const QuantSpec* b, DType act) const override {
    if ((a == nullptr) != (b == nullptr)) return {Execution::unsupported, "one operand is quantised, the other is not"};
    if (act != DType::f32 && act != DType::bf16 && act != DType::f16) return {Execution::unsupported, text("no GEMM of ", name_of(act))};
    if (a == nullptr) return {Execution::native, text("cuBLASLt ", name_of(act), " GEMM, fp32 accumulation")};
    if (is_native(a, b)) return {Execution::native, "cuBLASLt FP8 GEMM"};
    return {Execution::emulated, text("bf16 GEMM on exactly decoded codes: ", why_not_native(*a))};
  }

  size_t scratch_bytes_for(const GemmShape& s, const QuantSpec* a, const QuantSpec* b, DType) const override {
    if (a == nullptr) return 0;
    const GemmOperandBytes bytes(s);
    if (!is_native(a, b)) return 2 * bytes.a + 2 * bytes.b + kScalarBytes;
    return (s.role == GemmRole::fprop ? 0 : bytes.b) + (s.role == GemmRole::wgrad ? bytes.a : 0);
  }
  size_t scratch_bytes() const override { return kWorkspaceBytes; }
  std::string description() const override {
    const size_t v = cublasLtGetVersion();
    return text("cuBLASLt ", v / 10000, ".", v / 100 % 100, ".", v % 100);
  }

 private:
  /// Per-tensor scaling on Ada, Hopper and newer; not E5M2 by E5M2, which no recipe asks for.
  bool is_native(const QuantSpec* a, const QuantSpec* b) const {
    const bool is_fp8 = a->format != QuantFormat::e2m1 && b->format != QuantFormat::e2m1;
    return capability_ >= 89 && is_fp8 && a->is_per_tensor() && b->is_per_tensor() &&
           !(a->format == QuantFormat::e5m2 && b->format == QuantFormat::e5m2);
  }
  std::string why_not_native(const QuantSpec& spec) const {
    if (spec.is_per_tensor()) return text("compute capability ", capability_ / 10, ".", capability_ % 10, " has no FP8 products (8.9 has)");
    return text("products of ", name_of(spec.scaling), " operands are not handed to cuBLASLt");
  }

  /// The operands of a role, in cuBLASLt's order, both given as row-major tensors of the logical shapes of core/ops/gemm.h.
  struct Pair {
    Matrix first, second;
  };
  static Pair arrange(const GemmArgs& g, const void* a, const void* b, cudaDataType_t a_type, cudaDataType_t b_type) {
    const Matrix first{b, b_type, g.b.cols(), g.b.rows(), g.role == GemmRole::fprop};
    const Matrix second{a, a_type, g.a.cols(), g.a.rows(), g.role == GemmRole::wgrad};
    return {first, second};
  }

  void run_plain(const GemmArgs& g, const LaunchContext& context) {
    const cudaDataType_t type = data_type(g.a.plain.dtype);
    const Pair p = arrange(g, g.a.plain.data, g.b.plain.data, type, type);
    multiply(p.first, p.second, {g.d.data, g.d.dtype, g.d_cols(), g.d_rows(), g.bias, g.accumulate}, false, context);
  }

  /// Codes as they lie where they are contiguous along the sum, else transposed into scratch.
  void run_fp8(const GemmArgs& g, const LaunchContext& context) {
    refuse_odd_sizes(g);
    const bool turns_b = g.role != GemmRole::fprop, turns_a = g.role == GemmRole::wgrad;
    const auto b_bytes = static_cast<size_t>(turns_b ? g.b.rows() * g.b.cols() : 0), a_bytes = static_cast<size_t>(turns_a ? g.a.rows() * g.a.cols() : 0);
    auto* const scratch = context.scratch.get<uint8_t>(a_bytes + b_bytes);
    const QuantCopy& a = turns_a ? g.a.quant.columnwise : g.a.quant.rowwise;
    const QuantCopy& b = turns_b ? g.b.quant.columnwise : g.b.quant.rowwise;
    if (turns_b) launch_transpose_codes(static_cast<const uint8_t*>(b.codes), g.b.rows(), g.b.cols(), scratch, context);
    if (turns_a) launch_transpose_codes(static_cast<const uint8_t*>(a.codes), g.a.rows(), g.a.cols(), scratch + b_bytes, context);
    const int64_t k = g.summed();
    const Matrix first{turns_b ? scratch : b.codes, data_type(g.b.quant.spec.format), k, g.d_cols(), true, static_cast<const float*>(b.scale_inv)};
    const Matrix second{turns_a ? scratch + b_bytes : a.codes, data_type(g.a.quant.spec.format), k, g.d_rows(), false,
                        static_cast<const float*>(a.scale_inv)};
    multiply(first, second, {g.d.data, g.d.dtype, g.d_cols(), g.d_rows(), g.bias, g.accumulate}, g.fast_accumulation, context);
  }

  static void refuse_odd_sizes(const GemmArgs& g) {
    for (const int64_t size : {g.d_rows(), g.d_cols(), g.summed()})
      if (size % 16 != 0)
        throw Error(text("gemm ", name_of(g.role), " in FP8: ", g.d_rows(), " x ", g.summed(), " by ", g.summed(), " x ", g.d_cols(),
                         ": cuBLASLt takes multiples of 16 alone; change the model's widths or the tokens of a micro-batch"));
  }

  /// Any quantised operands: their exact bf16 values, per-tensor factors in alpha.
  void run_decoded(const GemmArgs& g, const LaunchContext& context) {
    const bool a_columnwise = g.role == GemmRole::wgrad, b_columnwise = g.role != GemmRole::fprop;
    const auto a_size = static_cast<size_t>(g.a.rows() * g.a.cols()), b_size = static_cast<size_t>(g.b.rows() * g.b.cols());
    const size_t a_bytes = (2 * a_size + 255) / 256 * 256, b_bytes = (2 * b_size + 255) / 256 * 256;
    char* const scratch = context.scratch.get<char>(a_bytes + b_bytes + kScalarBytes);
    const TensorView a(scratch, DType::bf16, {g.a.rows(), g.a.cols()}), b(scratch + a_bytes, DType::bf16, {g.b.rows(), g.b.cols()});
    auto* const alpha = reinterpret_cast<float*>(scratch + a_bytes + b_bytes);
    launch_decode(g.a.quant, a_columnwise, a, context);
    launch_decode(g.b.quant, b_columnwise, b, context);
    launch_gemm_alpha(g.a.quant, a_columnwise, g.b.quant, b_columnwise, g.accumulate, alpha, context);
    const Pair p = arrange(g, a.data, b.data, CUDA_R_16BF, CUDA_R_16BF);
    multiply(p.first, p.second, {g.d.data, g.d.dtype, g.d_cols(), g.d_rows(), g.bias, g.accumulate, alpha}, false, context);
  }

  void multiply(const Matrix& first, const Matrix& second, const Result& d, bool fast_accumulation, const LaunchContext& context) {
    const ProductKey key{{first.rows, first.cols, second.rows, second.cols, d.rows, d.cols},
                         {first.type, second.type, static_cast<int>(d.dtype), d.bias.empty() ? -1 : static_cast<int>(d.bias.dtype)},
                         first.is_transposed, second.is_transposed, !d.bias.empty(), d.accumulate, d.alpha != nullptr, fast_accumulation};
    auto found = plans_.find(key);
    if (found == plans_.end()) found = plans_.emplace(key, make_plan(first, second, d, fast_accumulation)).first;
    Plan& plan = found->second;
    if (first.scale != nullptr) plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, first.scale);
    if (second.scale != nullptr) plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, second.scale);
    if (!d.bias.empty()) plan.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, d.bias.data);
    const float one = 1.0F, beta = d.accumulate ? 1.0F : 0.0F;
    const void* const alpha_at = d.alpha != nullptr ? static_cast<const void*>(d.alpha) : &one;
    const void* const beta_at = d.alpha != nullptr ? static_cast<const void*>(d.alpha + 1) : &beta;
    check(cublasLtMatmul(handle_.get(), plan.operation.get(), alpha_at, first.data, plan.first.get(), second.data, plan.second.get(), beta_at, d.data,
                         plan.d.get(), d.data, plan.d.get(), &plan.algorithm, workspace_, kWorkspaceBytes, context.stream),
          describe(first, second, d));
  }

  Plan make_plan(const Matrix& first, const Matrix& second, const Result& d, bool fast_accumulation) {
    Plan plan;
    cublasLtMatmulDesc_t operation = nullptr;
    check(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    plan.operation = Operation(operation);
    const auto op = [](const Matrix& m) { return m.is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
    plan.set(CUBLASLT_MATMUL_DESC_TRANSA, op(first));
    plan.set(CUBLASLT_MATMUL_DESC_TRANSB, op(second));
    if (d.alpha != nullptr) plan.set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
    if (fast_accumulation) plan.set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
    if (first.scale != nullptr) plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, first.scale);
    if (second.scale != nullptr) plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, second.scale);
    if (!d.bias.empty()) {
      plan.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      plan.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(d.bias.dtype));
      plan.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, d.bias.data);
    }
    plan.first = make_layout(first.type, first.rows, first.cols);
    plan.second = make_layout(second.type, second.rows, second.cols);
    plan.d = make_layout(data_type(d.dtype), d.rows, d.cols);
    plan.algorithm = choose_algorithm(plan, describe(first, second, d));
    return plan;
  }

  cublasLtMatmulAlgo_t choose_algorithm(const Plan& plan, const std::string& what) {
    cublasLtMatmulPreference_t created = nullptr;
    check(cublasLtMatmulPreferenceCreate(&created), "a preference");
    const Preference preference(created);
    const size_t workspace = kWorkspaceBytes;
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace), "a preference");
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_.get(), plan.operation.get(), plan.first.get(), plan.second.get(),
                                                                 plan.d.get(), plan.d.get(), preference.get(), 1, &result, &found);
    if (status != CUBLAS_STATUS_SUCCESS || found == 0) throw Error(text("cuBLASLt has no algorithm for ", what, " on this GPU"));
    return result.algo;
  }

  static std::string describe(const Matrix& first, const Matrix& second, const Result& d) {
    return text("the product of ", first.rows, "x", first.cols, first.is_transposed ? "^T" : "", " (type ", static_cast<int>(first.type), ") and ",
                second.rows, "x", second.cols, second.is_transposed ? "^T" : "", " (type ", static_cast<int>(second.type), ") into ", name_of(d.dtype),
                d.bias.empty() ? "" : " with bias", d.accumulate ? ", accumulated" : "");
  }

  int capability_;
  Handle handle_;
  void* workspace_ = nullptr;
  std::unordered_map<ProductKey, Plan, ProductKeyHash> plans_;
};

}  // namespace

std::unique_ptr<Gemm> make_gemm(const cudaDeviceProp& properties) { return std::make_unique<CublasLtGemm>(properties); }

}  // namespace mbt::cuda
