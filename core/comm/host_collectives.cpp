#include "core/comm/host_collectives.h"

#include <algorithm>
#include <cmath>

#include "core/numerics/codecs.h"

namespace mbt {
namespace {

float to_f32(float x) { return x; }

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};
float to_f32(Bf16 x) { return decode_bf16(x.bits); }
float to_f32(F16 x) { return decode_fp16(x.bits); }
void from_f32(float x, float& out) { out = x; }
void from_f32(float x, Bf16& out) { out.bits = static_cast<uint16_t>(encode_bf16(x)); }
void from_f32(float x, F16& out) { out.bits = static_cast<uint16_t>(encode_fp16(x)); }

/// out[i] = factor * sum of parts[r][i], the ranks in order. out may be one of the parts.
template <class T>
void add_in_order(const std::vector<const void*>& parts, float factor, int64_t n, std::vector<float>& sum, void* out) {
  sum.resize(static_cast<size_t>(n));
  float* const s = sum.data();
  const T* first = static_cast<const T*>(parts[0]);
  for (int64_t i = 0; i < n; ++i) s[i] = to_f32(first[i]);
  for (size_t r = 1; r < parts.size(); ++r) {
    const T* part = static_cast<const T*>(parts[r]);
    for (int64_t i = 0; i < n; ++i) s[i] += to_f32(part[i]);
  }
  T* const to = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) from_f32(s[i] * factor, to[i]);  // times 1 changes no bit
}

template <class T>
void combine(const std::vector<const void*>& parts, ReduceOp op, int64_t n, void* out) {
  T* const to = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) {
    T value = static_cast<const T*>(parts[0])[i];
    for (size_t r = 1; r < parts.size(); ++r) {
      const T other = static_cast<const T*>(parts[r])[i];
      if constexpr (std::is_floating_point_v<T>) value = op == ReduceOp::sum ? value + other : std::fmax(value, other);
      else value = op == ReduceOp::sum ? value + other : std::max(value, other);
    }
    to[i] = value;
  }
}

}  // namespace

HostCollectives::~HostCollectives() {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [&] { return done_ == posted_; });
}

Collectives::Ticket HostCollectives::post(std::function<void()> call) {
  Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    ticket = ++posted_;
  }
  world_.post([this, ticket, call = std::move(call)] {
    std::exception_ptr failure;
    const bool has_failed = [&] {
      const std::lock_guard lock(mutex_);
      return failure_ != nullptr;
    }();
    try {
      if (!has_failed) call();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    if (failure) failure_ = failure;
    done_ = ticket;
    finished_.notify_all();
  });
  return ticket;
}

void HostCollectives::wait(Ticket ticket) {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [&] { return done_ >= ticket; });
  if (failure_) std::rethrow_exception(failure_);
}

Collectives::Ticket HostCollectives::do_reduce_scatter(const ReduceScatterArgs& args) {
  return post([this, args] { run_reduce_scatter(args); });
}
Collectives::Ticket HostCollectives::do_all_gather(const AllGatherArgs& args) {
  return post([this, args] { run_all_gather(args); });
}
Collectives::Ticket HostCollectives::do_all_reduce(const AllReduceArgs& args) {
  return post([this, args] { run_all_reduce(args); });
}

void HostCollectives::run_reduce_scatter(const ReduceScatterArgs& args) {
  const auto ranks = static_cast<size_t>(world_.ranks()), self = static_cast<size_t>(world_.rank());
  const int64_t n = args.out.size(), width = size_of(args.in.dtype);
  const auto chunk_bytes = static_cast<size_t>(std::min(n, kChunk) * width);
  scratch_.resize(std::max(scratch_.size(), ranks * chunk_bytes));
  std::vector<const void*> send(ranks), parts(ranks);
  std::vector<void*> receive(ranks);
  std::vector<float> sum;
  for (int64_t first = 0; first < n; first += kChunk) {
    const int64_t count = std::min(kChunk, n - first);
    for (size_t r = 0; r < ranks; ++r) {
      send[r] = args.in.as<char>() + (static_cast<int64_t>(r) * n + first) * width;
      receive[r] = scratch_.data() + r * chunk_bytes;
      parts[r] = r == self ? send[r] : receive[r];
    }
    world_.all_to_all(send.data(), receive.data(), static_cast<size_t>(count * width));
    void* const out = args.out.as<char>() + first * width;
    if (args.in.dtype == DType::f32) add_in_order<float>(parts, args.factor, count, sum, out);
    else if (args.in.dtype == DType::bf16) add_in_order<Bf16>(parts, args.factor, count, sum, out);
    else add_in_order<F16>(parts, args.factor, count, sum, out);
  }
}

void HostCollectives::run_all_gather(const AllGatherArgs& args) {
  const auto ranks = static_cast<size_t>(world_.ranks()), self = static_cast<size_t>(world_.rank());
  const int64_t bytes = args.in.size_bytes(), step = kChunk * 4;
  char* const own = args.out.as<char>() + static_cast<int64_t>(self) * bytes;
  if (own != args.in.data) std::memmove(own, args.in.data, static_cast<size_t>(bytes));
  std::vector<const void*> send(ranks);
  std::vector<void*> receive(ranks);
  for (int64_t first = 0; first < bytes; first += step) {
    for (size_t r = 0; r < ranks; ++r) send[r] = own + first, receive[r] = args.out.as<char>() + static_cast<int64_t>(r) * bytes + first;
    world_.all_to_all(send.data(), receive.data(), static_cast<size_t>(std::min(step, bytes - first)));
  }
}

void HostCollectives::run_all_reduce(const AllReduceArgs& args) {
  const auto ranks = static_cast<size_t>(world_.ranks());
  const int64_t width = size_of(args.t.dtype), chunk = kChunk * static_cast<int64_t>(sizeof(float)) / width;
  std::vector<const void*> parts(ranks);
  for (int64_t first = 0; first < args.t.size(); first += chunk) {
    const TensorView t = args.t.element_range(first, std::min(chunk, args.t.size() - first));
    const auto bytes = static_cast<size_t>(t.size_bytes());
    scratch_.resize(std::max(scratch_.size(), ranks * bytes));
    world_.all_gather(t.data, bytes, scratch_.data());
    for (size_t r = 0; r < ranks; ++r) parts[r] = scratch_.data() + r * bytes;
    if (t.dtype == DType::f32) combine<float>(parts, args.op, t.size(), t.data);
    else if (t.dtype == DType::f64) combine<double>(parts, args.op, t.size(), t.data);
    else combine<int32_t>(parts, args.op, t.size(), t.data);
  }
}

}  // namespace mbt
