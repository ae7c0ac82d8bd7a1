#include "core/selftest/products.h"

#include <algorithm>

#include "core/quant/dequantize.h"
#include "core/reference/product.h"
#include "core/selftest/device_tensor.h"

namespace mbt::selftest {
namespace {

using ref::ProductExtents;

constexpr GemmRole kRoles[] = {GemmRole::fprop, GemmRole::dgrad, GemmRole::wgrad};
constexpr const char* kSumAllowance =
    "fp32 sums: 2^-18 of the magnitudes added (2^-9 where FP8 tensor cores keep fewer bits), and one rounding to the output's dtype";

struct Size {
  const char* name;
  ProductExtents extents;
};
/// Whole tiles with a block of 128 that is not full, and what fills nothing.
constexpr Size kSizes[] = {{"aligned", {64, 96, 288}}, {"odd", {21, 45, 77}}};

GemmShape gemm_shape(GemmRole role, const ProductExtents& e) {
  if (role == GemmRole::fprop) return {role, e.rows, e.cols, e.summed};
  if (role == GemmRole::dgrad) return {role, e.rows, e.summed, e.cols};
  return {role, e.summed, e.rows, e.cols};
}

/// One operand on the device, and the values that it stands for.
class Operand {
 public:
  Operand(Backend& on, const QuantSpec* spec, DType act, const Shape& shape, bool columnwise, uint32_t seed)
      : plain_(on, uneven(act, shape, seed)) {
    if (spec == nullptr) {
      values_ = plain_.start().values();
      return;
    }
    quant_.emplace(on, *spec, shape[0], shape[1]);
    on.quantize({.x = plain_, .to = {.q = quant_->view()}});
    ref::OwnedCopy copy = quant_->read(columnwise);
    QuantTensorView host{.spec = *spec, .rows = shape[0], .cols = shape[1]};
    (columnwise ? host.columnwise : host.rowwise) = copy.view();
    const std::vector<float> decoded = dequantize(host, columnwise);
    values_.assign(decoded.begin(), decoded.end());
  }
  GemmOperand get() const { return quant_ ? GemmOperand(quant_->view()) : GemmOperand(plain_.view()); }
  const std::vector<double>& values() const { return values_; }

 private:
  DeviceTensor plain_;
  std::optional<DeviceQuant> quant_;
  std::vector<double> values_;
};

struct Product {
  GemmRole role;
  ProductExtents extents;
  std::optional<QuantSpec> a, b;
  DType act;
  bool fast_accumulation;

  const QuantSpec* a_spec() const { return a ? &*a : nullptr; }
  const QuantSpec* b_spec() const { return b ? &*b : nullptr; }
};

/// Why the device takes no such product; a run that needs one is refused with these words before it starts.
std::string refusal_of(Backend& on, const Product& p) {
  const GemmSupport support = on.gemm_support(p.a_spec(), p.b_spec(), p.act);
  if (support.execution == Execution::unsupported) return support.how;
  return on.gemm_size_problem(gemm_shape(p.role, p.extents), p.a_spec(), p.b_spec(), p.act);
}

Outcome run_product(Backend& on, const Product& p) {
  const std::string refusal = refusal_of(on, p);
  if (!refusal.empty()) return {0, 0, "absolute", "this device takes no such product: " + refusal};
  const bool is_wgrad = p.role == GemmRole::wgrad, is_fprop = p.role == GemmRole::fprop;
  const Operand a(on, p.a_spec(), p.act, ref::product_a_shape(p.role, p.extents), is_wgrad, 3);
  const Operand b(on, p.b_spec(), p.act, ref::product_b_shape(p.role, p.extents), !is_fprop, 4);
  const DType d_type = is_wgrad ? DType::f32 : p.act;
  const DeviceTensor bias(on, normal(p.act, {p.extents.cols}, 6));
  GuardedTensor before = normal(d_type, {p.extents.rows, p.extents.cols}, 5);
  if (!is_wgrad) before.fill([](int64_t) { return NAN; });  // what D held must not matter
  const DeviceTensor d(on, before);
  GemmArgs args{.role = p.role, .a = a.get(), .b = b.get(), .d = d.view()};
  if (is_fprop) args.bias = bias, args.fast_accumulation = p.fast_accumulation;
  args.accumulate = is_wgrad;
  on.gemm(args);

  const bool is_narrow = p.a && on.gemm_support(p.a_spec(), p.b_spec(), p.act).execution == Execution::native;
  const GuardedTensor got = d.read();
  if (!got.guards_intact()) return {INFINITY, 0, "bytes", "the product wrote outside of its output"};
  const ref::Worst worst = ref::worst_of_product(p.role, p.extents, a.values(), b.values(), is_fprop ? &bias.start() : nullptr,
                                                 is_wgrad ? &before : nullptr, got, is_narrow ? 0x1p-9 : 0x1p-18);
  return {worst.error, worst.allowed, "absolute", fmt::format("element {} is {:g}", worst.index, got.at(worst.index))};
}

std::string operand_slug(const std::optional<QuantSpec>& spec, DType act) { return spec ? slug_of(*spec) : std::string(name_of(act)); }

}  // namespace

std::string slug_of(const QuantSpec& spec) {
  std::string slug = ref::describe(spec);
  std::replace(slug.begin(), slug.end(), ' ', '-');
  return slug;
}

Checks product_checks(const LinearPrecision& precision, DType act) {
  Checks checks;
  for (const GemmRole role : kRoles)
    for (const Size& size : kSizes) {
      const Product p{.role = role,
                      .extents = size.extents,
                      .a = role == GemmRole::fprop ? precision.input : precision.grad_output,
                      .b = role == GemmRole::wgrad ? precision.input : precision.weight,
                      .act = act,
                      .fast_accumulation = precision.fast_accumulation_fprop};
      const std::string a = operand_slug(p.a, act), b = operand_slug(p.b, act);
      const std::string of = p.a ? fmt::format("{}.{}x{}", act == DType::bf16 ? "" : name_of(act), a, b) : a;
      const char* extra = role == GemmRole::fprop ? ", with bias" : role == GemmRole::wgrad ? ", added to f32 gradients" : "";
      checks.push_back({fmt::format("gemm.{}.{}.{}", name_of(role), of.front() == '.' ? of.substr(1) : of, size.name),
                        fmt::format("D[{},{}] over {} of {} and {}{}, with {} multiplied in double", size.extents.rows, size.extents.cols,
                                    size.extents.summed, a, b, extra, p.a ? "their decoded values" : "their values"),
                        kSumAllowance, p.a ? kOtherRecipe : kOtherDevice, [p](Backend& on) { return run_product(on, p); }});
    }
  return checks;
}

}  // namespace mbt::selftest
