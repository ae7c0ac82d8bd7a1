#include "kernels/cuda/nccl/nccl_collectives.h"

#include <nccl.h>

#include <algorithm>
#include <cstring>

#include "core/comm/gather.h"
#include "kernels/cuda/nccl/nccl_library.h"
#include "kernels/cuda/nccl/rank_sums.h"
#include "kernels/cuda/runtime/memory.h"

namespace mbt::cuda {
namespace {

constexpr int kFirst = -1000;        // a priority: CUDA takes the nearest that it has
constexpr size_t kEvents = 64;       // calls that wait() tells apart; with more on their way it waits for a later one
constexpr int64_t kAlignment = 128;  // of rows in the scratch, elements

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return ncclFloat32;
    case DType::f64: return ncclFloat64;
    case DType::bf16: return ncclBfloat16;
    case DType::f16: return ncclFloat16;
    case DType::i32: return ncclInt32;
    case DType::u8: return ncclUint8;
  }
  throw Error("NCCL: a dtype without a name");
}

std::string version_text() {
  int v = 0;
  if (ncclGetVersion(&v) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", v / 10000, v % 10000 / 100, v % 100);
}

/// On every rank when it is so on any: those that can go on would wait for the others.
void check_library(World& world) {
  agree(world, [] {
    const std::string problem = nccl_problem();
    if (problem.empty()) return;
    throw InputError(fmt::format("several ranks on GPUs need NCCL: {}; or run one rank, or use train.device=cpu", problem));
  });
}

cudaEvent_t make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event for collectives");
  return event;
}

}  // namespace

NcclCollectives::NcclCollectives(World& world, const CollectiveSite& site, size_t scratch_bytes)
    : place_(world.place()), site_(site), stream_(kFirst), scratch_bytes_(scratch_bytes) {
  MBT_CHECK(!site.wait.has_check(), "a backend has one connection at a time");
  MBT_CHECK(chunk_of(DType::f64) > 0, "{} bytes of scratch for {} ranks", scratch_bytes, place_.ranks);
  check_library(world);
  scratch_ = allocate_device(scratch_bytes_, "collectives between ranks");
  ready_ = make_event();
  for (size_t i = 0; i < kEvents; ++i) done_.push_back(make_event());
  connect(world);  // last: an error after it would leave a communicator
  PeerWork::connected();
  site_.scratch_bytes += scratch_bytes_;
  site_.wait.set_check([this] { check_peers(); }, stream_.get());
}

NcclCollectives::~NcclCollectives() {
  bool is_done = false;
  if (!PeerWork::is_abandoned()) {
    try {
      site_.wait.stream(stream_.get(), "the last collectives");
      is_done = true;
    } catch (const Error&) {  // there is nobody to tell it to: whoever waited for results has heard of it
    }
  }
  site_.wait.clear_check();
  site_.scratch_bytes -= scratch_bytes_;
  if (!is_done) {
    PeerWork::abandon();
    return;
  }
  PeerWork::disconnected();
  static_cast<void>(ncclCommDestroy(comm_));
  static_cast<void>(cudaFree(scratch_));
  static_cast<void>(cudaEventDestroy(ready_));
  for (cudaEvent_t event : done_) static_cast<void>(cudaEventDestroy(event));
}

std::string NcclCollectives::name() const { return "NCCL " + version_text(); }

void NcclCollectives::connect(World& world) {
  std::string id;
  int status = ncclSuccess;
  if (world.is_first()) {
    ncclUniqueId made{};
    status = ncclGetUniqueId(&made);
    if (status == ncclSuccess) id.assign(made.internal, sizeof made.internal);
  }
  id = broadcast_text(world, id);  // empty: rank 0 has none, and says why
  if (id.empty() && status == ncclSuccess) throw Error(fmt::format("{}: NCCL did not start on rank 0; its message says why", place_.str()));
  check_call(status, "ncclGetUniqueId");
  ncclUniqueId unique{};
  std::memcpy(unique.internal, id.data(), sizeof unique.internal);
  check_call(ncclCommInitRank(&comm_, place_.ranks, unique, place_.rank), "ncclCommInitRank");
}

// -- calls -------------------------------------------------------------------------------------------------------------------------------

Collectives::Ticket NcclCollectives::post(const char* call, const std::function<void()>& enqueue) {
  refuse_while_recording(call);
  check_peers();
  check(cudaEventRecord(ready_, site_.compute), call);
  check(cudaStreamWaitEvent(stream_.get(), ready_, 0), call);
  enqueue();
  ++posted_;
  check(cudaEventRecord(done_[posted_ % kEvents], stream_.get()), call);
  return posted_;
}

void NcclCollectives::wait(Ticket ticket) {
  MBT_CHECK(ticket >= 1 && ticket <= posted_, "ticket {} of {}", ticket, posted_);
  refuse_while_recording("wait for a collective");
  check_peers();
  if (ticket <= waited_) return;
  check(cudaStreamWaitEvent(site_.compute, done_[ticket % kEvents], 0), "waiting for a collective");
  waited_ = ticket;
}

Collectives::Ticket NcclCollectives::do_reduce_scatter(const ReduceScatterArgs& args) {
  return post("reduce_scatter", [&] {
    if (args.with_f32_sums && args.in.dtype != DType::f32) return add_in_f32(args);
    check_call(ncclReduceScatter(args.in.data, args.out.data, static_cast<size_t>(args.out.size()), type_of(args.in.dtype), ncclSum, comm_,
                                 stream_.get()),
               "ncclReduceScatter");
    // Not ncclAvg, nor ncclRedOpCreatePreMulSum: they multiply each rank's part by the factor, rounded to the dtype, before they add.
    if (args.factor != 1.0f) launch_sum_ranks({args.out.data, nullptr, 0, 0, 1}, args.factor, args.out, stream_.get());
  });
}

Collectives::Ticket NcclCollectives::do_all_gather(const AllGatherArgs& args) {
  return post("all_gather", [&] {
    const auto n = static_cast<size_t>(args.in.size());
    check_call(ncclAllGather(args.in.data, args.out.data, n, type_of(args.in.dtype), comm_, stream_.get()), "ncclAllGather");
  });
}

Collectives::Ticket NcclCollectives::do_all_reduce(const AllReduceArgs& args) {
  return post("all_reduce", [&] { combine(args); });
}

int64_t NcclCollectives::chunk_of(DType dtype) const {
  return static_cast<int64_t>(scratch_bytes_) / (place_.ranks * size_of(dtype)) / kAlignment * kAlignment;
}

void NcclCollectives::add_in_f32(const ReduceScatterArgs& args) {
  const int64_t n = args.out.size(), chunk = chunk_of(args.in.dtype), width = size_of(args.in.dtype);
  for (int64_t first = 0; first < n; first += chunk) {
    const int64_t count = std::min(chunk, n - first);
    exchange(args.in, n, first, count);
    const char* const own = args.in.as<char>() + (place_.rank * n + first) * width;
    const TensorView out(args.out.as<char>() + first * width, args.out.dtype, {count});
    launch_sum_ranks({own, scratch_, chunk, place_.rank, place_.ranks}, args.factor, out, stream_.get());
  }
}

void NcclCollectives::exchange(const ConstTensorView& all, int64_t piece, int64_t first, int64_t count) {
  const int64_t width = size_of(all.dtype), chunk = chunk_of(all.dtype);
  const auto elements = static_cast<size_t>(count);
  ncclResult_t status = ncclGroupStart();
  for (int r = 0; r < place_.ranks && status == ncclSuccess; ++r) {
    if (r == place_.rank) continue;
    status = ncclSend(all.as<char>() + (r * piece + first) * width, elements, type_of(all.dtype), r, comm_, stream_.get());
    if (status == ncclSuccess)
      status = ncclRecv(static_cast<char*>(scratch_) + r * chunk * width, elements, type_of(all.dtype), r, comm_, stream_.get());
  }
  const ncclResult_t ended = ncclGroupEnd();  // whatever came before: a group that stays open would swallow the calls after it
  check_call(status != ncclSuccess ? status : ended, "ncclSend and ncclRecv");
}

void NcclCollectives::combine(const AllReduceArgs& args) {
  const int64_t n = args.t.size(), chunk = chunk_of(args.t.dtype), width = size_of(args.t.dtype);
  for (int64_t first = 0; first < n; first += chunk) {
    const int64_t count = std::min(chunk, n - first);
    const TensorView part(args.t.as<char>() + first * width, args.t.dtype, {count});
    check_call(ncclAllGather(part.data, scratch_, static_cast<size_t>(count), type_of(part.dtype), comm_, stream_.get()), "ncclAllGather");
    launch_combine_ranks({part.data, scratch_, count, place_.rank, place_.ranks}, args.op, part, stream_.get());
  }
}

// -- what goes wrong ---------------------------------------------------------------------------------------------------------------------

void NcclCollectives::refuse_while_recording(const char* call) const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(site_.compute, &status), call);
  if (status != cudaStreamCaptureStatusNone)
    throw Error(fmt::format("{} among ops that are recorded: Backend::replay takes ops alone; run what communicates op by op", call));
}

void NcclCollectives::check_peers() {
  if (!failure_.empty()) throw Error(failure_);
  ncclResult_t status = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &status);
  if (asked != ncclSuccess) fail(asked, "ncclCommGetAsyncError");
  if (status != ncclSuccess && status != ncclInProgress) fail(status, "a collective");
}

void NcclCollectives::check_call(int status, const char* call) {
  if (status != ncclSuccess) fail(status, call);
}

void NcclCollectives::fail(int status, const std::string& call) {
  const char* const last = ncclGetLastError(comm_);
  const std::string more = last != nullptr && *last != '\0' ? fmt::format("; {}", last) : "";
  failure_ = fmt::format("{}: {}: {}{}. If another rank has stopped, see its message for the reason; NCCL_DEBUG=WARN makes NCCL say more",
                         place_.str(), call, ncclGetErrorString(static_cast<ncclResult_t>(status)), more);
  PeerWork::abandon();
  throw Error(failure_);
}

}  // namespace mbt::cuda
