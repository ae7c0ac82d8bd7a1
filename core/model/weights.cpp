#include "core/model/weights.h"

#include <algorithm>

namespace mbt {
namespace {

constexpr int64_t kStagedAtOnce = 1 << 22;  // elements

bool is_quantized_weight(const ParamSpec& s, const PrecisionPolicy& policy) {
  return s.kind == ParamKind::linear && policy.linear(s.layer).is_quantized();
}

TensorView slice(const TensorView& flat, int64_t first, const Shape& shape) {
  return flat.element_range(first, shape.size()).reshaped(shape);
}

}  // namespace

WeightsPlan plan_weights(const ModelConfig& model, const PrecisionPolicy& policy, bool with_training,
                         const TransposedQuery& wants_transposed, MomentTypes moments, const Sharding& sharding) {
  const auto is_codes_only = [&](const ParamSpec& s) { return policy.quantized_params && is_quantized_weight(s, policy); };
  WeightsPlan plan;
  plan.params = list_params(model, sharding, is_codes_only);
  const ParamList& params = plan.params;
  ArenaPlan& arena = plan.arena;
  const Shape flat{params.flat_size}, held{sharding.is_sharded() ? params.shard_size() : params.flat_size};
  const bool masters_work = policy.act == DType::f32;
  const bool has_codes_only = params.plain_size < params.flat_size;
  if (with_training || masters_work || has_codes_only)
    plan.master = arena.add(MemoryCategory::masters, DType::f32, masters_work ? flat : held);
  else plan.staging = arena.add(MemoryCategory::workspace, DType::f32, {std::min(kStagedAtOnce, params.flat_size)});
  if (with_training) {
    plan.exp_avg = arena.add(MemoryCategory::moments, moments.exp_avg, held);
    plan.exp_avg_sq = arena.add(MemoryCategory::moments, moments.exp_avg_sq, held);
    plan.grad = arena.add(MemoryCategory::gradients, DType::f32, flat);
  }
  if (!masters_work) plan.working = arena.add(MemoryCategory::weights, policy.act, {params.plain_size});
  if (has_codes_only) {
    plan.codes = arena.add(MemoryCategory::quantized_weights, DType::u8, {params.flat_size - params.plain_size});
  }
  for (const ParamSpec& s : params.specs) {
    plan.quantized.push_back(QuantSlots{});
    if (!is_quantized_weight(s, policy)) continue;
    const QuantSpec& spec = *policy.linear(s.layer).weight;
    plan.quantized.back() = plan_quantized(arena, MemoryCategory::quantized_weights, spec, s.shape[0], s.shape[1],
                                           {.columnwise = with_training,
                                            .columnwise_is_transposed = with_training && wants_transposed(spec),
                                            .row_codes_elsewhere = s.is_codes_only});
  }
  plan.delayed = plan_delayed_state(arena, policy);
  return plan;
}

Weights::Weights(Backend& backend, const ModelConfig& model, const PrecisionPolicy& policy, bool with_training, MomentTypes moments,
                 const Sharding& sharding)
    : backend_(backend), policy_(policy), plan_(plan_weights(model, policy, with_training, transposed_query(backend), moments, sharding)) {
  memory_ = Buffer(backend, static_cast<size_t>(plan_.arena.total_bytes()));
  void* base = memory_.data();
  auto bind = [&](TensorSlot s) { return plan_.arena.bind(base, s); };
  master_ = bind(plan_.master);
  staging_ = bind(plan_.staging);
  exp_avg_ = bind(plan_.exp_avg);
  exp_avg_sq_ = bind(plan_.exp_avg_sq);
  grad_ = bind(plan_.grad);
  working_buffer_ = policy.act == DType::f32 ? master_ : bind(plan_.working);
  codes_buffer_ = bind(plan_.codes);
  delayed_ = DelayedState(backend, policy, plan_.delayed, plan_.arena, base);
  for (int64_t i = 0; i < num_params(); ++i) {
    const ParamSpec& s = spec(i);
    own_.push_back(params().own_range(i));
    held_.push_back(sharding.is_sharded() ? own_.back() : ElementRange{0, s.shape.size()});
    shard_offset_.push_back(params().shard_offset(i));
    working_.push_back(s.is_codes_only ? TensorView{} : slice(working_buffer_, s.offset, s.shape));
    void* const row_codes = s.is_codes_only ? slice(codes_buffer_, s.offset - params().plain_size, s.shape).data : nullptr;
    quantized_.push_back(bind_quantized(plan_.arena, base, plan_.quantized[static_cast<size_t>(i)], row_codes));
    delayed_.attach(quantized_.back(), s.layer, s.linear, TensorRole::weight);
  }
}

TensorView Weights::own_part(const TensorView& buffer, int64_t i) const {
  const ElementRange own = own_[static_cast<size_t>(i)];
  if (buffer.empty() || own.count == 0) return {};
  const bool is_whole = buffer.size() == params().flat_size;
  return slice(buffer, is_whole ? spec(i).offset + own.first : shard_offset_[static_cast<size_t>(i)], {own.count});
}

TensorView Weights::held_part(const TensorView& buffer, int64_t i) const {
  if (sharding().is_sharded() || buffer.empty()) return own_part(buffer, i);
  return slice(buffer, spec(i).offset, {spec(i).shape.size()});
}

TensorView Weights::held_working(int64_t i) const {
  if (working(i).empty() || held(i).count == 0) return {};
  return slice(working(i), held(i).first, {held(i).count});
}

TensorView Weights::part(const TensorView& flat, int64_t i) const {
  if (flat.empty()) return {};
  MBT_CHECK(flat.size() == params().flat_size, "{}: a shard, {}, holds no whole parameters", spec(i).name, flat.str());
  return slice(flat, spec(i).offset, spec(i).shape);
}

void Weights::set(int64_t i, std::span<const float> values, int64_t first) {
  const auto size = static_cast<int64_t>(values.size());
  MBT_CHECK(first >= 0 && size <= held(i).count - first, "{}: {} values from {} on, of {}", spec(i).name, size, first, held(i).count);
  if (values.empty()) return;
  if (!master_.empty()) return backend_.upload(values.data(), slice(held_part(master_, i), first, {size}));
  for (int64_t done = 0; done < size; done += staging_.size()) {
    const int64_t count = std::min(staging_.size(), size - done);
    const TensorView staged = slice(staging_, 0, {count});
    backend_.upload(values.data() + done, staged);
    backend_.cast({.src = staged, .dst = slice(held_working(i), first + done, {count})});
  }
}

std::vector<float> Weights::get(const TensorView& buffer, int64_t i) const {
  const bool is_gradient = buffer.data == grad_.data;
  const TensorView p = is_gradient ? part(buffer, i) : held_part(buffer, i);
  MBT_CHECK(p.dtype == DType::f32, "{}: {} is not f32", spec(i).name, p.str());
  std::vector<float> values(p.empty() ? 0 : static_cast<size_t>(p.size()));
  if (!values.empty()) backend_.download(p, values.data());
  return values;
}

void Weights::refresh_working() {
  MBT_CHECK(!sharding().is_sharded(), "the other ranks' masters are not here");
  round_masters();
  renew_codes();
}

void Weights::round_masters() {
  if (policy_.act == DType::f32 || master_.empty()) return;
  for (int64_t i = 0; i < num_params(); ++i) {
    const TensorView to = held_working(i);
    if (!to.empty()) backend_.cast({.src = held_part(master_, i), .dst = to});
  }
}

void Weights::renew_codes() {
  if (keeps_codes_only()) requantize_from_masters();
  expire_codes();
}

void Weights::requantize_from_masters() {
  for (int64_t i = 0; i < num_params(); ++i) {
    if (!quantized(i).empty()) backend_.quantize({.x = part(master_, i), .to = {.q = quantized(i)}, .round_to = policy_.act});
  }
}

void Weights::quantize_working() {
  if (keeps_codes_only()) return;
  for (int64_t i = 0; i < num_params(); ++i) {
    if (!quantized(i).empty()) backend_.quantize({.x = working(i), .to = {.q = quantized(i)}});
  }
  codes_are_fresh();
}

void Weights::quantize_working(int64_t unit) {
  if (keeps_codes_only()) return;
  for (int64_t i = 0; i < num_params(); ++i) {
    if (spec(i).unit == unit && !quantized(i).empty()) backend_.quantize({.x = working(i), .to = {.q = quantized(i)}});
  }
}

}  // namespace mbt
