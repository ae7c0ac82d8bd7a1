#include "core/selftest/device_tensor.h"

#include <cstring>
#include <random>

namespace mbt::selftest {
namespace {

constexpr uint8_t kUnwritten = 0xAA;

std::vector<uint8_t> unwritten(int64_t bytes) { return std::vector<uint8_t>(static_cast<size_t>(bytes), kUnwritten); }

}  // namespace

GuardedTensor normal(DType dtype, const Shape& shape, uint32_t seed, double deviation) {
  std::mt19937 random(seed);
  GuardedTensor t(dtype, shape);
  t.fill_normal(random, deviation);
  return t;
}

GuardedTensor uneven(DType dtype, const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> numbers;
  GuardedTensor t(dtype, shape);
  t.fill([&](int64_t i) {
    return numbers(random) * std::exp2(static_cast<double>((i / shape[1] / 16 * 7 + i % shape[1] / 16 * 3) % 11) - 5);
  });
  return t;
}

DeviceTensor::DeviceTensor(Backend& on, GuardedTensor start) : on_(&on), start_(std::move(start)), memory_(on, start_.bytes().size()) {
  on.upload(start_.bytes().data(), {memory_.data(), DType::u8, {static_cast<int64_t>(start_.bytes().size())}});
}

TensorView DeviceTensor::view() const {
  return {static_cast<char*>(memory_.data()) + GuardedTensor::kGuard, start_.dtype(), start_.shape()};
}

GuardedTensor DeviceTensor::read() const {
  GuardedTensor now(start_.dtype(), start_.shape());
  std::vector<uint8_t> bytes(now.bytes().size());  // not into `now`: in tests it lies where the device reaches it too
  on_->download({memory_.data(), DType::u8, {static_cast<int64_t>(bytes.size())}}, bytes.data());
  std::memcpy(now.bytes().data(), bytes.data(), bytes.size());
  return now;
}

Outcome DeviceTensor::compare(std::string_view op, const std::vector<double>& want) const {
  const GuardedTensor got = read();
  if (!got.guards_intact()) return {INFINITY, 0, "bytes", fmt::format("{} wrote outside of its output", op)};
  MBT_CHECK(static_cast<size_t>(got.size()) == want.size(), "{}: {} elements, reference {}", op, got.size(), want.size());
  const ref::Worst worst = ref::worst_element(op, got, want);
  return {worst.error, worst.allowed, "absolute",
          fmt::format("{}[{}] is {:g}, expected {:g}", op, worst.index, got.at(worst.index), want[static_cast<size_t>(worst.index)])};
}

Outcome DeviceTensor::compare_bits(const GuardedTensor& want) const { return compare_bytes(read().bytes(), want.bytes(), "the tensor"); }

DeviceQuant::DeviceQuant(Backend& on, const QuantSpec& spec, int64_t rows, int64_t cols)
    : scalars_(on, {kDelayedScale, kAmaxBefore, -1, -1}, DType::f32) {
  const bool is_transposed = on.wants_transposed(spec), is_shared = spec.columnwise_shares_codes() && !is_transposed;
  for (const bool columnwise : {false, true}) {
    if (columnwise && is_shared) break;
    const QuantCopyShape shape = quant_copy_shape(spec, rows, cols, columnwise);
    copies_.push_back({{on, unwritten(shape.codes_bytes), DType::u8}, {on, unwritten(shape.scale_bytes), DType::u8}});
  }
  view_ = {.spec = spec, .rows = rows, .cols = cols, .amax = scalars_.data() + 1};
  view_.rowwise = view_of(0, false);
  view_.columnwise = is_shared ? view_.rowwise : view_of(1, is_transposed);
  if (spec.scaling == QuantScaling::delayed) view_.scale = scalars_.data();
}

QuantCopy DeviceQuant::view_of(size_t copy, bool is_transposed) const {
  return {.codes = copies_[copy].codes.data(),
          .scale_inv = copies_[copy].scales.data(),
          .global_amax = view_.spec.scaling == QuantScaling::nvfp4 ? scalars_.data() + 2 + copy : nullptr,
          .is_transposed = is_transposed};
}

ref::OwnedCopy DeviceQuant::read(bool columnwise) const {
  const size_t i = columnwise ? copies_.size() - 1 : 0;
  ref::OwnedCopy copy(view_.spec, view_.rows, view_.cols, columnwise);
  copy.codes = copies_[i].codes.read();
  copy.scale_inv = copies_[i].scales.read();
  if (view_.spec.scaling == QuantScaling::nvfp4) copy.global_amax = scalars_.read()[2 + i];
  if (!columnwise || !view_.columnwise.is_transposed) return copy;
  const std::vector<uint8_t> transposed = copy.codes;
  for (int64_t r = 0; r < view_.rows; ++r)
    for (int64_t c = 0; c < view_.cols; ++c)
      copy.codes[static_cast<size_t>(r * view_.cols + c)] = transposed[static_cast<size_t>(c * view_.rows + r)];
  return copy;
}

float DeviceQuant::amax() const { return scalars_.read()[1]; }

Outcome DeviceQuant::compare(const DeviceQuant& other) const {
  Outcome worst = compare_copies(read(false), other.read(false), "the row-wise copy");
  worst.join(compare_copies(read(true), other.read(true), "the column-wise copy"));
  if (amax() != other.amax()) worst.join({4, 0, "bytes", fmt::format("amax is {}, expected {}", amax(), other.amax())});
  return worst;
}

Outcome compare_bytes(std::span<const uint8_t> got, std::span<const uint8_t> want, const std::string& what) {
  if (got.size() != want.size()) return {INFINITY, 0, "bytes", fmt::format("{} has {} bytes, expected {}", what, got.size(), want.size())};
  double different = 0;
  size_t first = 0;
  for (size_t i = got.size(); i-- > 0;)
    if (got[i] != want[i]) ++different, first = i;
  if (different == 0) return {0, 0, "bytes"};
  return {different, 0, "bytes", fmt::format("{}: byte {} is {:#04x}, expected {:#04x}", what, first, got[first], want[first])};
}

Outcome compare_copies(const ref::OwnedCopy& got, const ref::OwnedCopy& want, const std::string& what) {
  Outcome worst = compare_bytes(got.codes, want.codes, what + "'s codes");
  worst.join(compare_bytes(got.scale_inv, want.scale_inv, what + "'s scales"));
  if (std::memcmp(&got.global_amax, &want.global_amax, sizeof got.global_amax) != 0)
    worst.join({4, 0, "bytes", fmt::format("{}: global amax is {}, expected {}", what, got.global_amax, want.global_amax)});
  return worst;
}

std::vector<float> to_floats(const GuardedTensor& t) {
  std::vector<float> out;
  for (const double x : t.values()) out.push_back(static_cast<float>(x));
  return out;
}

}  // namespace mbt::selftest
