// mbtrain quantize: what a recipe does to a user's tensors.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <deque>
#include <iostream>
#include <limits>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/verb_options.h"
#include "core/io/safetensors.h"
#include "core/numerics/scaling.h"
#include "core/quant/dequantize.h"
#include "core/recipe/policy.h"
#include "core/recipe/resolve.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

constexpr const char* kQuantizeDescription =
    "Quantize the 2-D tensors of a safetensors file as a recipe would\n\n"
    "Each 2-D tensor T [M,K] of F32, F16 or BF16 is rounded to bf16 and quantized; OUT gets\n"
    "  T.codes       U8 [M,K]; 4-bit codes one a byte\n"
    "  T.scale_inv   what multiplies to restore: F32 [1] per tensor; F32 [M,K/128] or [M/128,K/128] blockwise; U8 E8M0 [M,K/32] mxfp8;\n"
    "                U8 E4M3 [M,K/16] or [M/16,K/16] nvfp4; quotients rounded up\n"
    "  T.global_amax F32 [1], nvfp4: T.values = code * scale_inv / min(2688 / global_amax, largest float)\n"
    "  T.values      F32 [M,K], the values that codes and scales stand for\n"
    "With --columnwise the blocks of b run along the first dimension: T.scale_inv is [M/b,K], rounded up; per-tensor and square scales\n"
    "stay as they are. An nvfp4 activation or gradient is Hadamard-transformed first, in groups of 16 rows (a last smaller group is not):\n"
    "codes, values and the printed errors are then those of the transformed tensor.\n"
    "Gradients round to nearest here. Delayed scaling takes the tensor's own amax.\n"
    "Printed per tensor: amax; underflow: share of non-zero elements that became 0; saturation: share of elements beyond the largest "
    "code;\n"
    "SQNR: signal to quantization noise.";

struct QuantizeOptions {
  std::string in, out, role;
  bool columnwise = false;
};

/// The spec of the role in the recipe that the arguments name, and the margin of delayed scaling.
struct Choice {
  QuantSpec spec;
  int64_t margin = 0;
};

Choice choose(const ConfigInput& input, const std::string& role) {
  const ResolvedRun run = resolve_run(input);
  const LinearPrecision linear = quantized_linear(run.config.model);
  const auto& spec = role == "activation" ? linear.input : role == "weight" ? linear.weight : linear.grad_output;
  if (!spec) {
    throw InputError(fmt::format("--mixed-precision {}: this recipe quantizes nothing; expected one with fp8 or fp4, see `mbtrain recipes`",
                                 run.config.mixed_precision.name));
  }
  Choice choice{*spec, run.config.model.fp8_margin};
  choice.spec.stochastic_rounding = false;
  return choice;
}

/// A tensor's results; the arrays that the file is written from.
struct Result {
  std::string name;
  int64_t rows = 0, cols = 0;
  std::vector<uint8_t> codes, scale_inv;
  float global_amax = 0, amax = 0;
  std::vector<float> values;
};

float own_delayed_scale(float amax, QuantFormat format, int64_t margin) {
  float scale = 1;
  update_delayed_scale({&amax, 1}, scale, max_of(format), margin, false);
  return scale;
}

Buffer upload(Backend& backend, const void* data, DType dtype, const Shape& shape) {
  Buffer buffer(backend, static_cast<size_t>(shape.size() * size_of(dtype)));
  backend.upload(data, {buffer.data(), dtype, shape});
  return buffer;
}

void download(Backend& backend, const Buffer& buffer, void* out) {
  backend.download({buffer.data(), DType::u8, {static_cast<int64_t>(buffer.bytes())}}, out);
}

/// Quantizes x (bf16 values) on the backend.
Result quantize_tensor(Backend& backend, const Choice& choice, bool columnwise, const std::vector<float>& x, Result r) {
  std::vector<uint16_t> narrow(x.size());
  std::transform(x.begin(), x.end(), narrow.begin(), encode_bf16);
  const QuantCopyShape shape = quant_copy_shape(choice.spec, r.rows, r.cols, columnwise);
  r.codes.resize(static_cast<size_t>(shape.codes_bytes));
  r.scale_inv.resize(static_cast<size_t>(shape.scale_bytes));
  r.amax = amax_of(x);
  const float scale = own_delayed_scale(r.amax, choice.spec.format, choice.margin);
  const Buffer in = upload(backend, narrow.data(), DType::bf16, {r.rows, r.cols}), scale_in = upload(backend, &scale, DType::f32, {1});
  const Buffer codes(backend, r.codes.size()), scale_inv(backend, r.scale_inv.size()), global_amax(backend, sizeof(float));
  const QuantCopy copy{codes.data(), scale_inv.data(), static_cast<float*>(global_amax.data())};
  QuantizeArgs args{
      .x = {in.data(), DType::bf16, {r.rows, r.cols}},
      .to = {.q = {.spec = choice.spec, .rows = r.rows, .cols = r.cols, .scale = static_cast<const float*>(scale_in.data())}}};
  (columnwise ? args.to.q.columnwise : args.to.q.rowwise) = copy;
  backend.quantize(args);
  download(backend, codes, r.codes.data());
  download(backend, scale_inv, r.scale_inv.data());
  download(backend, global_amax, &r.global_amax);
  QuantTensorView host = args.to.q;
  (columnwise ? host.columnwise : host.rowwise) = {r.codes.data(), r.scale_inv.data(), &r.global_amax};
  r.values = dequantize(host, columnwise);
  return r;
}

void transform_columns(std::vector<float>& x, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r + 16 <= rows; r += 16) {
    for (int64_t c = 0; c < cols; ++c) {
      std::array<float, 16> group{};
      for (int64_t i = 0; i < 16; ++i) group[static_cast<size_t>(i)] = x[static_cast<size_t>((r + i) * cols + c)];
      hadamard16(group);
      for (int64_t i = 0; i < 16; ++i) x[static_cast<size_t>((r + i) * cols + c)] = group[static_cast<size_t>(i)];
    }
  }
}

/// One line about a tensor: `x` is what was quantized.
std::string report(const Result& r, const std::vector<float>& x, QuantFormat format) {
  const uint32_t largest = layout_of(format).largest, magnitude = (1U << (bits_of(format) - 1)) - 1;
  int64_t underflows = 0, saturated = 0, nonzero = 0;
  double signal = 0, noise = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) continue;
    nonzero += x[i] != 0;
    underflows += x[i] != 0 && r.values[i] == 0;
    // 1e-6: more than the rounding of scales, less than any step of a format.
    saturated += (r.codes[i] & magnitude) == largest && std::fabs(x[i]) > std::fabs(r.values[i]) * (1 + 1e-6F);
    if (!std::isfinite(x[i]) || !std::isfinite(r.values[i])) continue;
    signal += double{x[i]} * x[i];
    noise += (double{x[i]} - r.values[i]) * (double{x[i]} - r.values[i]);
  }
  auto share = [](int64_t part, size_t whole) { return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole); };
  char line[160];
  std::snprintf(line, sizeof line, " [%lld,%lld]: amax %.6g, underflow %.3f %%, saturation %.3f %%, SQNR %.2f dB",
                static_cast<long long>(r.rows), static_cast<long long>(r.cols), double{r.amax},
                share(underflows, static_cast<size_t>(nonzero)), share(saturated, x.size()),
                noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity());
  return r.name + line;
}

void add_outputs(const Result& r, const QuantSpec& spec, bool columnwise, std::vector<TensorToWrite>& outputs) {
  const QuantCopyShape shape = quant_copy_shape(spec, r.rows, r.cols, columnwise);
  const auto scale_type = spec.scale_bytes() == 1 ? SafetensorsType::U8 : SafetensorsType::F32;
  const std::vector<int64_t> scale_shape =
      spec.is_per_tensor() ? std::vector<int64_t>{1} : std::vector<int64_t>{shape.scale_rows, shape.scale_cols};
  outputs.push_back({r.name + ".codes", SafetensorsType::U8, {r.rows, r.cols}, r.codes.data()});
  outputs.push_back({r.name + ".scale_inv", scale_type, scale_shape, r.scale_inv.data()});
  if (spec.scaling == QuantScaling::nvfp4) outputs.push_back({r.name + ".global_amax", SafetensorsType::F32, {1}, &r.global_amax});
  outputs.push_back({r.name + ".values", SafetensorsType::F32, {r.rows, r.cols}, r.values.data()});
}

/// Why a tensor is not quantized; empty: it is.
std::string reason_to_skip(const SafetensorsEntry& e) {
  if (e.shape.size() != 2) return fmt::format("shape {} is not 2-D", shape_text(e.shape));
  if (e.size() == 0) return fmt::format("shape {} is empty", shape_text(e.shape));
  const bool is_float = e.type == SafetensorsType::F32 || e.type == SafetensorsType::F16 || e.type == SafetensorsType::BF16;
  return is_float ? "" : fmt::format("type {} is not F32, F16 or BF16", name_of(e.type));
}

int quantize_file(const QuantizeOptions& o, const Choice& choice) {
  const SafetensorsFile file = SafetensorsFile::open(o.in);
  const auto backend = make_backend("cpu");
  std::deque<Result> results;  // elements stay where they are while `outputs` points at them
  std::vector<TensorToWrite> outputs;
  for (const SafetensorsEntry& entry : file.entries()) {
    const std::string reason = reason_to_skip(entry);
    if (!reason.empty()) {
      std::cout << entry.name << ": skipped, " << reason << "\n";
      continue;
    }
    std::vector<float> x = file.read_f32(entry);
    std::transform(x.begin(), x.end(), x.begin(), round_to_bf16);
    results.push_back(
        quantize_tensor(*backend, choice, o.columnwise, x,
                        {.name = entry.name, .rows = entry.shape[0], .cols = entry.shape[1], .codes = {}, .scale_inv = {}, .values = {}}));
    if (o.columnwise && choice.spec.hadamard_columnwise) transform_columns(x, entry.shape[0], entry.shape[1]);
    std::cout << report(results.back(), x, choice.spec.format) << "\n";
    add_outputs(results.back(), choice.spec, o.columnwise, outputs);
  }
  if (outputs.empty()) throw InputError(fmt::format("{}: no 2-D tensor of F32, F16 or BF16 to quantize", o.in));
  write_safetensors(o.out, outputs);
  return 0;
}

}  // namespace

int cmd_quantize(const std::vector<std::string>& args) {
  VerbOptions options(kQuantizeDescription, "mbtrain quantize");
  QuantizeOptions o;
  options.add_option("IN", o.in, "safetensors file to read").required().called("FILE");
  options.add_option("OUT", o.out, "safetensors file to write").required().called("FILE");
  options.add_option("--role", o.role, "Which operand of a linear layer the tensors are")
      .required()
      .one_of({"activation", "weight", "gradient"});
  options.add_flag("--columnwise", o.columnwise, "Blocks along the first dimension, for the GEMMs that sum over it");
  const ConfigInput input = options.parse_with_config(args);
  return quantize_file(o, choose(input, o.role));
}

}  // namespace mbt
