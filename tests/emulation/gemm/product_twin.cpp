#include "tests/emulation/gemm/product_twin.h"

#include <vector>

#include "core/numerics/codecs.h"
#include "kernels/cuda/gemm/gemm.h"
#include "tests/emulation/engine/stream.h"

namespace mbt::cuda {
namespace {

float element_at(const void* data, ElementType type, int64_t i) {
  const auto* const bytes = static_cast<const uint8_t*>(data);
  if (type == DType::f32) return static_cast<const float*>(data)[i];
  if (type == DType::bf16) return decode_bf16(static_cast<const uint16_t*>(data)[i]);
  if (type == DType::f16) return decode_fp16(static_cast<const uint16_t*>(data)[i]);
  return decode(type.format, bits_of(type) == 4 ? static_cast<uint8_t>(bytes[i / 2] >> (i % 2 * 4) & 0xF) : bytes[i]);
}

/// The factor of op(matrix)'s elements in row or column `outer` of D at `inner` along the sum of k.
float scale_of(const ProductMatrix& m, int64_t outer, int64_t outers, int64_t inner, int64_t k) {
  if (m.scale_mode == ScaleMode::none) return 1;
  const auto* const f32 = static_cast<const float*>(m.scale);
  const auto* const u8 = static_cast<const uint8_t*>(m.scale);
  const int64_t block = block_of(m.scale_mode), i = block == 0 ? 0 : inner / block, blocks = block == 0 ? 1 : (k + block - 1) / block;
  switch (m.scale_mode) {
    case ScaleMode::vec128_32f: return f32[i * outers + outer];
    case ScaleMode::blk128x128_32f: return f32[outer / 128 * ((blocks + 3) / 4 * 4) + i];
    case ScaleMode::vec32_ue8m0:
    case ScaleMode::vec16_ue4m3: {  // the documentation's two steps: the tile, then the place in it
      const int64_t inner_dim = (blocks + 3) / 4 * 4, tile = (i / 4 * 4 + outer / 128 * inner_dim) * 128;
      const uint8_t code = u8[tile + outer % 32 * 16 + outer % 128 / 32 * 4 + i % 4];
      return m.scale_mode == ScaleMode::vec32_ue8m0 ? decode_e8m0(code) : decode_e4m3(code);
    }
    case ScaleMode::none:
    case ScaleMode::scalar_32f: break;
  }
  return f32[0];
}

/// op(matrix) as [outer][k], scales applied.
std::vector<double> lines_of(const ProductMatrix& m, bool is_first, int64_t outers, int64_t k) {
  std::vector<double> lines(static_cast<size_t>(outers * k));
  const bool k_is_rows = m.is_transposed == is_first;
  for (int64_t o = 0; o < outers; ++o)
    for (int64_t p = 0; p < k; ++p) {
      const int64_t row = k_is_rows ? p : o, col = k_is_rows ? o : p;
      lines[static_cast<size_t>(o * k + p)] = double{element_at(m.data, m.type, col * m.ld + row)} * scale_of(m, o, outers, p, k);
    }
  return lines;
}

void store(void* data, ElementType type, int64_t i, float value) {
  if (type == DType::f32) static_cast<float*>(data)[i] = value;
  else static_cast<uint16_t*>(data)[i] = type == DType::bf16 ? encode_bf16(value) : encode_fp16(value);
}

class TwinExecutor final : public ProductExecutor {
 public:
  explicit TwinExecutor(const cudaDeviceProp& p)
      : device_{.capability = 10 * p.major + p.minor, .library_version = twin_library_version()} {}

  /// Through the stream, as a kernel: recorded when the stream captures.
  void run(const Product& product, cudaStream_t stream) override {
    const std::string problem = refusal(product, device_);
    if (!problem.empty()) throw Error(fmt::format("cuBLASLt's twin: {}: {}", describe(product), problem));
    emulation::submit(stream, [product] { multiply_on_host(product); });
  }
  size_t library_version() const override { return device_.library_version; }
  size_t workspace_bytes() const override { return 1 << 20; }  // as cuBLASLt, it keeps some; nobody writes there
  std::string description() const override { return "cuBLASLt's twin on the host"; }

 private:
  GemmDevice device_;
};

}  // namespace

size_t& twin_library_version() {
  static size_t version = 130100;
  return version;
}

void multiply_on_host(const Product& p) {
  const std::vector<double> first = lines_of(p.first, true, p.m, p.k), second = lines_of(p.second, false, p.n, p.k);
  const double alpha = p.alpha_beta == nullptr ? 1.0 : double{p.alpha_beta[0]};
  const double beta = p.alpha_beta == nullptr ? (p.accumulates ? 1.0 : 0.0) : double{p.alpha_beta[1]};
  for (int64_t j = 0; j < p.n; ++j)
    for (int64_t i = 0; i < p.m; ++i) {
      double sum = 0;
      for (int64_t l = 0; l < p.k; ++l) sum += first[static_cast<size_t>(i * p.k + l)] * second[static_cast<size_t>(j * p.k + l)];
      sum *= alpha;
      if (p.bias != nullptr) sum += element_at(p.bias, p.bias_type, i);
      if (beta != 0) sum += beta * element_at(p.d, p.d_type, j * p.m + i);
      store(p.d, p.d_type, j * p.m + i, static_cast<float>(sum));
    }
}

std::unique_ptr<ProductExecutor> make_executor(const cudaDeviceProp& properties) { return std::make_unique<TwinExecutor>(properties); }

}  // namespace mbt::cuda
