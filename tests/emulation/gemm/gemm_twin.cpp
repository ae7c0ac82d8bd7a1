// The emulated device's matrix products: plain sums on the host, under the rules that cuBLASLt has on Hopper, so that a layout or a size
// that the GPU would refuse is refused here too.
#include <vector>

#include "core/numerics/codecs.h"
#include "core/quant/dequantize.h"
#include "kernels/cuda/gemm.h"

namespace mbt::cuda {
namespace {

using Values = std::vector<float>;

Values values_of(const ConstTensorView& t) {
  Values values(static_cast<size_t>(t.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (t.dtype == DType::f32) values[i] = t.as<float>()[i];
    else values[i] = t.dtype == DType::bf16 ? decode_bf16(t.as<uint16_t>()[i]) : decode_fp16(t.as<uint16_t>()[i]);
  }
  return values;
}

void store(const TensorView& t, int64_t i, float value) {
  if (t.dtype == DType::f32) t.as<float>()[i] = value;
  else t.as<uint16_t>()[i] = t.dtype == DType::bf16 ? encode_bf16(value) : encode_fp16(value);
}

Values operand(const GemmOperand& x, bool columnwise) { return x.is_quantised() ? dequantize(x.quant, columnwise) : values_of(x.plain); }

class GemmTwin final : public Gemm {
 public:
  void run(const GemmArgs& g, const LaunchContext&) override {
    const bool a_columnwise = g.role == GemmRole::wgrad, b_columnwise = g.role != GemmRole::fprop;
    const Values a = operand(g.a, a_columnwise), b = operand(g.b, b_columnwise);
    const Values bias = g.bias.empty() ? Values{} : values_of(g.bias), before = g.accumulate ? values_of(g.d) : Values{};
    const int64_t m = g.d_rows(), n = g.d_cols(), k = g.summed();
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p)
          sum += double{a[static_cast<size_t>(a_columnwise ? p * m + i : i * k + p)]} * b[static_cast<size_t>(b_columnwise ? p * n + j : j * k + p)];
        if (!bias.empty()) sum += bias[static_cast<size_t>(j)];
        if (g.accumulate) sum += before[static_cast<size_t>(i * n + j)];
        store(g.d, i * n + j, static_cast<float>(sum));
      }
    }
  }

  GemmSupport support(const QuantSpec* a, const QuantSpec* b, DType act) const override {
    if ((a == nullptr) != (b == nullptr)) return {Execution::unsupported, "one operand is quantised, the other is not"};
    if (act != DType::f32 && act != DType::bf16 && act != DType::f16) return {Execution::unsupported, text("no GEMM of ", name_of(act))};
    return {Execution::emulated, "sums on the host: an emulated device"};
  }
  size_t scratch_bytes_for(const GemmShape&, const QuantSpec*, const QuantSpec*, DType) const override { return 0; }
  size_t scratch_bytes() const override { return 0; }
  std::string description() const override { return "sums on the host"; }
};

}  // namespace

std::unique_ptr<Gemm> make_gemm(const cudaDeviceProp&) { return std::make_unique<GemmTwin>(); }

}  // namespace mbt::cuda
