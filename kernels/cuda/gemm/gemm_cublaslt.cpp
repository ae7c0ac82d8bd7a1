#include "kernels/cuda/gemm/gemm_cublaslt.h"

#include <cublasLt.h>

#include <array>
#include <cstring>
#include <iostream>
#include <unordered_map>

#include "kernels/cuda/gemm/gemm.h"
#include "kernels/cuda/gemm/gemm_choices.h"
#include "kernels/cuda/gemm/gemm_timing.h"
#include "kernels/cuda/runtime/memory.h"

namespace mbt::cuda {
namespace {

void check_cublas(cublasStatus_t status, const std::string& what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(fmt::format("cuBLASLt: {}: {}", what, cublasLtGetStatusString(status)));
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

struct ProductKeyHash {
  size_t operator()(const ProductKey& key) const {
    uint64_t h = 0;
    for (const int64_t part : key) h = (h ^ static_cast<uint64_t>(part)) * 0x9E3779B97F4A7C15ULL, h ^= h >> 32;
    return static_cast<size_t>(h);
  }
};

// Block scales came with the headers of CUDA 12.8 and 12.9; what is built with older ones says so as its version, and gets no such product.
#if CUBLAS_VERSION >= 120900
constexpr bool kHasScaleModes = true;
constexpr cudaDataType_t kFp4 = CUDA_R_4F_E2M1;
constexpr auto kFirstScaleMode = CUBLASLT_MATMUL_DESC_A_SCALE_MODE, kSecondScaleMode = CUBLASLT_MATMUL_DESC_B_SCALE_MODE;
int32_t scale_mode(ScaleMode m) {
  switch (m) {
    case ScaleMode::vec16_ue4m3: return CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3;
    case ScaleMode::vec32_ue8m0: return CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0;
    case ScaleMode::vec128_32f: return CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
    case ScaleMode::blk128x128_32f: return CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    case ScaleMode::none:
    case ScaleMode::scalar_32f: break;
  }
  return CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
}
#else
constexpr bool kHasScaleModes = false;
constexpr auto kFp4 = static_cast<cudaDataType_t>(-1);
constexpr auto kFirstScaleMode = static_cast<cublasLtMatmulDescAttributes_t>(-1), kSecondScaleMode = kFirstScaleMode;
int32_t scale_mode(ScaleMode) { return 0; }
#endif

cudaDataType_t data_type(ElementType t) {
  if (!t.is_codes()) return t.dtype == DType::f32 ? CUDA_R_32F : t.dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_16F;
  switch (t.format) {
    case QuantFormat::e4m3: return CUDA_R_8F_E4M3;
    case QuantFormat::e5m2: return CUDA_R_8F_E5M2;
    case QuantFormat::e2m1: return kFp4;
  }
  return CUDA_R_32F;
}

MatrixLayout make_layout(ElementType type, int64_t rows, int64_t cols, int64_t ld) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&layout, data_type(type), static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), ld),
               "describing a matrix");
  return MatrixLayout(layout);
}

struct Plan {
  Operation operation;
  MatrixLayout first, second, d;
  cublasLtMatmulAlgo_t algorithm;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_cublas(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value), "describing a product");
  }
  void set_pointers(const Product& p) {
    if (p.first.scale != nullptr) set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.first.scale);
    if (p.second.scale != nullptr) set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.second.scale);
    if (p.bias != nullptr) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }
};

Plan describe_plan(const Product& p) {
  Plan plan;
  cublasLtMatmulDesc_t operation = nullptr;
  check_cublas(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
  plan.operation = Operation(operation);
  const auto op = [](const ProductMatrix& m) { return m.is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  plan.set(CUBLASLT_MATMUL_DESC_TRANSA, op(p.first));
  plan.set(CUBLASLT_MATMUL_DESC_TRANSB, op(p.second));
  if (p.alpha_beta != nullptr) plan.set(CUBLASLT_MATMUL_DESC_POINTER_MODE, int32_t{CUBLASLT_POINTER_MODE_DEVICE});
  if (p.fast_accumulation) plan.set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
  if (block_of(p.first.scale_mode) != 0) plan.set(kFirstScaleMode, scale_mode(p.first.scale_mode));
  if (block_of(p.second.scale_mode) != 0) plan.set(kSecondScaleMode, scale_mode(p.second.scale_mode));
  if (p.bias != nullptr) {
    plan.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    plan.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{data_type(p.bias_type)});
  }
  plan.set_pointers(p);
  plan.first = make_layout(p.first.type, p.first.rows, p.first.cols, p.first.ld);
  plan.second = make_layout(p.second.type, p.second.rows, p.second.cols, p.second.ld);
  plan.d = make_layout(p.d_type, p.m, p.n, p.m);
  return plan;
}

constexpr size_t kWorkspaceBytes = (size_t{32} << 20) + 1024;
constexpr int kCandidates = 8;

std::string to_hex(const cublasLtMatmulAlgo_t& algorithm) {
  unsigned char bytes[sizeof algorithm];
  std::memcpy(bytes, &algorithm, sizeof algorithm);
  std::string hex;
  for (const unsigned char b : bytes) hex += "0123456789abcdef"[b >> 4], hex += "0123456789abcdef"[b & 15];
  return hex;
}

/// False: not as many digits as an algorithm has.
bool from_hex(const std::string& hex, cublasLtMatmulAlgo_t& algorithm) {
  unsigned char bytes[sizeof algorithm];
  if (hex.size() != 2 * sizeof algorithm) return false;
  for (size_t i = 0; i < sizeof algorithm; ++i) bytes[i] = static_cast<unsigned char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  std::memcpy(&algorithm, bytes, sizeof algorithm);
  return true;
}

/// The library at run time, no newer than the header at build time.
size_t known_version() {
  const size_t header = kHasScaleModes ? CUBLAS_VERSION : std::min<size_t>(CUBLAS_VERSION, 120700);
  return std::min<size_t>(cublasLtGetVersion(), header);
}

std::string version_text() {
  const size_t v = cublasLtGetVersion();
  return fmt::format("cuBLASLt {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

void warn(const std::string& message) { std::cerr << "mbtrain: " << message << "\n"; }

class CublasLtExecutor final : public ProductExecutor {
 public:
  explicit CublasLtExecutor(const cudaDeviceProp& properties)
      : multiprocessors_(properties.multiProcessorCount),
        choices_(gemm_choices_path(), fmt::format("{}, {}", properties.name, version_text()), warn) {
    cublasLtHandle_t handle = nullptr;
    check_cublas(cublasLtCreate(&handle), "creating its context");
    handle_ = Handle(handle);
    cuda::check(cudaMalloc(&workspace_, kWorkspaceBytes), "workspace of cuBLASLt");
  }
  ~CublasLtExecutor() override { free_device(workspace_); }

  void run(const Product& product, cudaStream_t stream) override {
    const ProductKey key = key_of(product);
    auto found = plans_.find(key);
    if (found == plans_.end()) found = plans_.emplace(key, make_plan(product, stream)).first;
    const cublasStatus_t status = multiply(found->second, product, found->second.algorithm, stream);
    if (status == CUBLAS_STATUS_SUCCESS) return;
    cuda::check(cudaPeekAtLastError(), describe(product));  // an earlier kernel's failure explains it better
    check_cublas(status, describe(product));
  }
  size_t library_version() const override { return known_version(); }
  size_t workspace_bytes() const override { return kWorkspaceBytes; }
  std::string description() const override { return fmt::format("{}; algorithms: {}", version_text(), choices_.description()); }

 private:
  cublasStatus_t multiply(Plan& plan, const Product& p, const cublasLtMatmulAlgo_t& algorithm, cudaStream_t stream) {
    plan.set_pointers(p);
    const float one = 1.0F, beta = p.accumulates ? 1.0F : 0.0F;
    const void* const alpha_at = p.alpha_beta != nullptr ? static_cast<const void*>(p.alpha_beta) : &one;
    const void* const beta_at = p.alpha_beta != nullptr ? static_cast<const void*>(p.alpha_beta + 1) : &beta;
    return cublasLtMatmul(handle_.get(), plan.operation.get(), alpha_at, p.first.data, plan.first.get(), p.second.data, plan.second.get(),
                          beta_at, p.d, plan.d.get(), p.d, plan.d.get(), &algorithm, workspace_, kWorkspaceBytes, stream);
  }

  Plan make_plan(const Product& p, cudaStream_t stream) {
    Plan plan = describe_plan(p);
    if (!recall(p, plan)) choose(p, plan, stream);
    return plan;
  }

  /// The remembered algorithm, if there is one that works.
  bool recall(const Product& p, Plan& plan) {
    const std::string name = describe(p);
    const std::optional<AlgorithmChoice> choice = choices_.find(name);
    if (!choice) return false;
    if (from_hex(choice->algorithm, plan.algorithm) && works(plan)) return true;
    warn(fmt::format("the remembered algorithm of {} does not work here; another is chosen", name));
    choices_.reject(name);
    return false;
  }

  bool works(const Plan& plan) {
    cublasLtMatmulHeuristicResult_t result{};
    return cublasLtMatmulAlgoCheck(handle_.get(), plan.operation.get(), plan.first.get(), plan.second.get(), plan.d.get(), plan.d.get(),
                                   &plan.algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= kWorkspaceBytes;
  }

  void choose(const Product& p, Plan& plan, cudaStream_t stream) {
    const std::vector<cublasLtMatmulAlgo_t> candidates = ask_heuristic(p, plan);
    plan.algorithm = candidates.front();
    const std::optional<Fastest> fastest = time(p, plan, candidates, stream);
    if (!fastest) return;
    plan.algorithm = candidates[static_cast<size_t>(fastest->index)];
    const AlgorithmChoice choice = choices_.remember(describe(p), {to_hex(plan.algorithm), fastest->microseconds});
    cublasLtMatmulAlgo_t remembered;
    const cublasLtMatmulAlgo_t own = plan.algorithm;
    if (!from_hex(choice.algorithm, remembered)) return;
    plan.algorithm = remembered;
    if (!works(plan)) plan.algorithm = own;
  }

  /// Nothing when there is nothing to time, or no way to.
  std::optional<Fastest> time(const Product& p, Plan& plan, const std::vector<cublasLtMatmulAlgo_t>& candidates, cudaStream_t stream) {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(stream, &capture) != cudaSuccess || capture != cudaStreamCaptureStatusNone) return std::nullopt;
    try {
      const TimingOperands operands(p, multiprocessors_, stream);
      const auto launch = [&](int i) {
        return multiply(plan, operands.product(), candidates[static_cast<size_t>(i)], stream) == CUBLAS_STATUS_SUCCESS;
      };
      const std::optional<Fastest> fastest = fastest_of(static_cast<int>(candidates.size()), launch, stream);
      cuda::check(cudaStreamSynchronize(stream), "timing a product");
      return fastest;
    } catch (const Error& e) {
      warn(fmt::format("the algorithms of {} are not timed: {}", describe(p), e.what()));
      return std::nullopt;
    }
  }

  /// In the heuristic's order, at least one. None that sums in D's type: its 16 bits would lose what fp32 sums keep.
  std::vector<cublasLtMatmulAlgo_t> ask_heuristic(const Product& p, const Plan& plan) {
    cublasLtMatmulPreference_t created = nullptr;
    check_cublas(cublasLtMatmulPreferenceCreate(&created), "a preference");
    const Preference preference(created);
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check_cublas(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value), "a preference");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(alignment_of(p.first.data)));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(alignment_of(p.second.data)));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(alignment_of(p.d)));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(alignment_of(p.d)));
    std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_.get(), plan.operation.get(), plan.first.get(), plan.second.get(), plan.d.get(), plan.d.get(),
                                       preference.get(), kCandidates, results.data(), &found);
    std::vector<cublasLtMatmulAlgo_t> algorithms;
    for (int i = 0; i < found && status == CUBLAS_STATUS_SUCCESS; ++i)
      if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[static_cast<size_t>(i)].algo);
    if (algorithms.empty())
      throw Error(fmt::format("cuBLASLt has no algorithm on this GPU for {} ({})", describe(p), cublasLtGetStatusString(status)));
    return algorithms;
  }

  int multiprocessors_;
  AlgorithmChoices choices_;
  Handle handle_;
  void* workspace_ = nullptr;
  std::unordered_map<ProductKey, Plan, ProductKeyHash> plans_;
};

}  // namespace

std::unique_ptr<ProductExecutor> make_executor(const cudaDeviceProp& properties) { return std::make_unique<CublasLtExecutor>(properties); }

}  // namespace mbt::cuda
