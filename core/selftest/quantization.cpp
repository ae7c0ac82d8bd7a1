#include "core/selftest/quantization.h"

#include <algorithm>

#include "core/numerics/scaling.h"
#include "core/selftest/device_tensor.h"
#include "core/selftest/products.h"

namespace mbt::selftest {
namespace {

constexpr uint64_t kSeed = 7, kStream = 3;

struct Matrix {
  int64_t rows, cols;
};
constexpr Matrix kMatrices[] = {{64, 256}, {144, 136}, {37, 75}};

std::vector<float> rounded(const GuardedTensor& x, DType to) {
  GuardedTensor narrow = zeros(to, x.shape());
  narrow.fill([&](int64_t i) { return x.at(i); });
  return to_floats(narrow);
}

/// Both copies and the amax, against the rules.
Outcome compare_with_rules(const DeviceQuant& got, const std::vector<float>& x) {
  const QuantTensorView& q = got.view();
  Outcome worst{0, 0, "bytes"};
  for (const bool columnwise : {false, true}) {
    if (columnwise && q.spec.columnwise_shares_codes()) {  // the copy, wherever it lies, has the row-wise one's codes
      worst.join(compare_bytes(got.read(true).codes, got.read(false).codes, "the column-wise copy's codes"));
      continue;
    }
    worst.join(compare_copies(got.read(columnwise),
                              ref::reference_quantize({.x = x,
                                                       .rows = q.rows,
                                                       .cols = q.cols,
                                                       .spec = q.spec,
                                                       .columnwise = columnwise,
                                                       .delayed_scale = DeviceQuant::kDelayedScale,
                                                       .seed = kSeed,
                                                       .stream = kStream}),
                              columnwise ? "the column-wise copy" : "the row-wise copy"));
  }
  const float amax = std::fmax(DeviceQuant::kAmaxBefore, amax_of(x));
  if (got.amax() != amax) worst.join({4, 0, "bytes", fmt::format("amax is {}, expected {}", got.amax(), amax)});
  return worst;
}

/// Values of kind `kind` (ref::values), of dtype `from`, rounded to `round_to` first.
Outcome run_quantize(Backend& on, const QuantSpec& spec, DType from, DType round_to) {
  Outcome worst{0, 0, "bytes"};
  for (const Matrix& m : kMatrices)
    for (const int kind : {0, 1, 2}) {
      const DeviceTensor x(on, ref::values(from, m.rows, m.cols, kind, 11));
      const DeviceQuant q(on, spec, m.rows, m.cols);
      on.quantize({.x = x, .to = {.q = q.view(), .random_seed = kSeed, .random_stream = kStream}, .round_to = round_to});
      worst.join(compare_with_rules(q, round_to == DType::f32 ? to_floats(x.start()) : rounded(x.start(), round_to)));
    }
  return worst;
}

/// The weight as two slices that meet within a row, with the largest amaxes of both.
Outcome run_shards(Backend& on, const QuantSpec& spec, DType round_to) {
  const Matrix m{144, 136};
  const int64_t n = m.rows * m.cols, cut = n / 2 + 5, blocks = shard_amax_size(spec, m.rows, m.cols);
  const DeviceTensor x(on, ref::values(DType::f32, m.rows, m.cols, 0, 12));
  const TensorView flat{x.view().data, DType::f32, {n}}, slices[] = {flat.element_range(0, cut), flat.element_range(cut, n - cut)};
  const int64_t first[] = {0, cut};
  std::vector<float> largest(static_cast<size_t>(blocks));
  for (const int i : {0, 1}) {
    if (blocks == 0) break;
    const DeviceArray<float> amax(on, std::vector<float>(largest.size()), DType::f32);
    on.shard_amax({.x = slices[i], .first = first[i], .rows = m.rows, .cols = m.cols, .spec = spec, .amax = amax, .round_to = round_to});
    const std::vector<float> found = amax.read();
    for (size_t k = 0; k < largest.size(); ++k) largest[k] = std::fmax(largest[k], found[k]);
  }
  const DeviceQuant q(on, spec, m.rows, m.cols);
  largest.resize(std::max<size_t>(largest.size(), 1));
  const DeviceArray<float> amax(on, largest, DType::f32);
  for (const int i : {0, 1}) {
    QuantizeShardArgs args{.x = slices[i], .first = first[i], .q = q.view(), .round_to = round_to};
    if (blocks > 0) args.amax = TensorView(amax.data(), DType::f32, {blocks});
    on.quantize_shard(args);
  }
  on.complete_copies({.q = q.view()});
  return compare_with_rules(q, rounded(x.start(), round_to));
}

bool can_be_sharded(const QuantSpec& s) { return s.scaling != QuantScaling::mxfp8 && (s.is_2d || s.is_per_tensor()); }

// -- ops that write codes ----------------------------------------------------------------------------------------------------------------

constexpr int64_t kTokens = 64, kWidth = 128, kHeads = 2, kHeadWidth = 64;

/// Runs an op that quantizes its output `out` [kTokens, cols] into `q`, or with none only writes it.
using Producer = std::function<void(Backend& on, DType act, TensorView out, const QuantOutput& q)>;

void produce_norm(Backend& on, DType act, TensorView y, const QuantOutput& q) {
  const DeviceTensor x(on, normal(act, {kTokens, kWidth}, 1)), weight(on, normal(act, {kWidth}, 2)), rstd(on, zeros(DType::f32, {kTokens}));
  on.norm_fwd({.kind = NormKind::rmsnorm, .x = x, .weight = weight, .y = y, .rstd = rstd, .quantized = q});
  on.synchronize();
}
void produce_norm_bwd(Backend& on, DType act, TensorView d_h, const QuantOutput& q) {
  const DeviceTensor d_y(on, normal(act, {kTokens, kWidth}, 1)), h(on, normal(act, {kTokens, kWidth}, 2)),
      weight(on, normal(act, {kWidth}, 3));
  GuardedTensor ones = zeros(DType::f32, {kTokens});
  ones.fill([](int64_t) { return 1.0; });
  const DeviceTensor rstd(on, ones), d_weight(on, zeros(DType::f32, {kWidth}));
  on.norm_bwd({.kind = NormKind::rmsnorm,
               .d_y = d_y,
               .h = h,
               .weight = weight,
               .rstd = rstd,
               .d_h = d_h,
               .d_weight = d_weight,
               .accumulate = false,
               .quantized = q});
  on.synchronize();
}
void produce_activation(Backend& on, DType act, TensorView y, const QuantOutput& q) {
  const DeviceTensor x(on, normal(act, {kTokens, 2 * kWidth}, 1, 2.0));
  on.activation_fwd({.kind = ActivationKind::swiglu, .x = x, .y = y, .quantized = q});
  on.synchronize();
}
void produce_activation_bwd(Backend& on, DType act, TensorView d_x, const QuantOutput& q) {
  const DeviceTensor x(on, normal(act, {kTokens, kWidth}, 1, 2.0)), d_y(on, normal(act, {kTokens, kWidth / 2}, 2));
  on.activation_bwd({.kind = ActivationKind::swiglu, .d_y = d_y, .x = x, .d_x = d_x, .quantized = q});
  on.synchronize();
}
void produce_attention(Backend& on, DType act, TensorView out, const QuantOutput& q) {
  const DeviceTensor qkv(on, normal(act, {kTokens, 3 * kHeads * kHeadWidth}, 1)), lse(on, zeros(DType::f32, {1, kHeads, kTokens}));
  on.attention_fwd({.qkv = qkv,
                    .out = out,
                    .lse = lse,
                    .num_heads = kHeads,
                    .num_kv_heads = kHeads,
                    .sequence_length = kTokens,
                    .scale = 0.125F,
                    .quantized = q});
  on.synchronize();
}

/// The op with codes, against the op and then `quantize`.
Outcome run_fused(Backend& on, const QuantSpec& spec, DType act, const Producer& produce) {
  const DeviceTensor apart(on, zeros(act, {kTokens, kWidth})), fused(on, zeros(act, {kTokens, kWidth}));
  const DeviceQuant want(on, spec, kTokens, kWidth), got(on, spec, kTokens, kWidth);
  produce(on, act, apart, {});
  on.quantize({.x = apart, .to = {.q = want.view(), .random_seed = kSeed, .random_stream = kStream}});
  produce(on, act, fused, {.q = got.view(), .random_seed = kSeed, .random_stream = kStream});
  Outcome worst = got.compare(want);
  worst.join(fused.compare_bits(apart.read()));
  return worst;
}

std::string of_act(DType act) { return act == DType::bf16 ? "" : "." + std::string(name_of(act)); }

void add_fused(Checks& checks, const std::string& op, const QuantSpec& spec, DType act, Producer produce) {
  checks.push_back({fmt::format("fused.{}.{}{}", op, slug_of(spec), of_act(act)),
                    fmt::format("{} that writes {} codes, with {} and then quantize", op, ref::describe(spec), op), kBits, kOtherRecipe,
                    [=](Backend& on) { return run_fused(on, spec, act, produce); }});
}

void add_spec(Checks& checks, const QuantSpec& spec, DType from, DType round_to) {
  const std::string name = fmt::format("quantize.{}.{}", slug_of(spec), name_of(from));
  const bool is_known = std::any_of(checks.begin(), checks.end(), [&](const Check& c) { return c.name == name; });
  if (is_known) return;
  checks.push_back({name,
                    fmt::format("codes, scales and amax of {} from {}, aligned and odd, with NaN and Inf, with the rules",
                                ref::describe(spec), name_of(from)),
                    kBits, kOtherRecipe, [=](Backend& on) { return run_quantize(on, spec, from, round_to); }});
}

Outcome run_delayed_update(Backend& on, AmaxAlgorithm algorithm) {
  constexpr int64_t kLength = 5, kTensors = 7, kMargin = 1;
  std::vector<float> history(kLength * kTensors), scale(kTensors), fp8_max(kTensors);
  for (size_t i = 0; i < history.size(); ++i) history[i] = static_cast<float>(i * 7 % 11) * 0.75F;
  history[2] = INFINITY, history[3] = 0;
  for (size_t i = 0; i < kTensors; ++i)
    scale[i] = static_cast<float>(i + 1), fp8_max[i] = max_of(i % 2 == 0 ? QuantFormat::e4m3 : QuantFormat::e5m2);
  const DeviceArray<float> h(on, history, DType::f32), s(on, scale, DType::f32), m(on, fp8_max, DType::f32);
  on.delayed_scaling_update({.history = TensorView(h.data(), DType::f32, {kLength, kTensors}),
                             .scale = s,
                             .fp8_max = m,
                             .margin = kMargin,
                             .algorithm = algorithm});
  for (size_t i = 0; i < kTensors; ++i) {
    std::vector<float> column;
    for (size_t r = 0; r < kLength; ++r) column.push_back(history[r * kTensors + i]);
    update_delayed_scale(column, scale[i], fp8_max[i], kMargin, algorithm == AmaxAlgorithm::max);
    for (size_t r = 0; r < kLength; ++r) history[r * kTensors + i] = column[r];
  }
  const auto bytes = [](const std::vector<float>& v) {
    return std::span(reinterpret_cast<const uint8_t*>(v.data()), v.size() * sizeof(float));
  };
  const std::vector<float> got_history = h.read(), got_scale = s.read();
  Outcome worst = compare_bytes(bytes(got_history), bytes(history), "the history");
  worst.join(compare_bytes(bytes(got_scale), bytes(scale), "the scales"));
  return worst;
}

}  // namespace

Checks quantization_checks(const LinearPrecision& precision, DType act) {
  Checks checks;
  if (!precision.is_quantized()) return checks;
  for (const QuantSpec& spec : {*precision.input, *precision.weight, *precision.grad_output}) add_spec(checks, spec, act, DType::f32);
  const QuantSpec& weight = *precision.weight;
  add_spec(checks, weight, DType::f32, act);
  if (can_be_sharded(weight))
    checks.push_back({fmt::format("quantize_shard.{}{}", slug_of(weight), of_act(act)),
                      fmt::format("{} codes made of two slices of the fp32 master, with the rules on the whole", ref::describe(weight)),
                      kBits, kOtherRecipe, [=](Backend& on) { return run_shards(on, weight, act); }});
  add_fused(checks, "norm_fwd", *precision.input, act, produce_norm);
  add_fused(checks, "activation_fwd", *precision.input, act, produce_activation);
  add_fused(checks, "attention_fwd", *precision.input, act, produce_attention);
  add_fused(checks, "norm_bwd", *precision.grad_output, act, produce_norm_bwd);
  add_fused(checks, "activation_bwd", *precision.grad_output, act, produce_activation_bwd);
  return checks;
}

Checks delayed_scaling_checks() {
  Checks checks;
  for (const AmaxAlgorithm a : {AmaxAlgorithm::most_recent, AmaxAlgorithm::max})
    checks.push_back({fmt::format("delayed_scaling_update.{}", a == AmaxAlgorithm::max ? "max" : "most_recent"),
                      "amax history and scales after one update, with the rule", kBits, kOtherRecipe,
                      [a](Backend& on) { return run_delayed_update(on, a); }});
  return checks;
}

}  // namespace mbt::selftest
