#include "tests/emulation/nccl/nccl_twin.h"

#include <nccl.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/comm/gather.h"
#include "core/numerics/codecs.h"
#include "kernels/cuda/nccl/nccl_library.h"
#include "tests/emulation/engine/memory.h"
#include "tests/emulation/engine/stream.h"

using namespace mbt;

namespace {

/// Outlives the communicator, in work that a stream has not done yet.
struct State {
  World* world;
  ncclResult_t error = ncclSuccess;  // asynchronous
};

/// An ncclSend or ncclRecv of the open group.
struct PeerCall {
  bool is_send;
  void* data;
  size_t bytes;
  int peer;
  ncclComm_t comm;
  cudaStream_t stream;
};

using Parts = std::vector<std::vector<char>>;  // by rank

World* chosen_world = nullptr;
std::string problem, last_error;
bool next_init_fails = false;
int live = 0, open_groups = 0;
std::vector<PeerCall> group;

ncclResult_t refuse(ncclResult_t status, std::string why) {
  last_error = std::move(why);
  return status;
}

}  // namespace

struct ncclComm {
  std::shared_ptr<State> state;
  int rank, ranks;
};

namespace {

// -- work --------------------------------------------------------------------------------------------------------------------------------

/// False: a rank is gone.
bool runs(State& state, const std::function<void()>& exchange) {
  try {
    exchange();
    return true;
  } catch (const Error& e) {
    last_error = e.what();
    state.error = ncclRemoteError;
    return false;
  }
}

/// Gives `exchange` to the stream. When a rank is gone it can never end, as on a GPU.
ncclResult_t enqueue(ncclComm_t comm, cudaStream_t stream, std::string call, std::function<void(World&)> exchange) {
  emulation::submit(stream, [state = comm->state, call = std::move(call), exchange = std::move(exchange)] {
    if (state->error != ncclSuccess) return emulation::hold();
    World& world = *state->world;
    std::vector<std::string> calls;
    if (!runs(*state, [&] { calls = gather_texts(world, call); })) return emulation::hold();
    for (size_t r = 0; r < calls.size(); ++r)
      if (calls[r] != call) throw Error(fmt::format("NCCL calls differ: rank {}: {}; rank {}: {}", world.rank(), call, r, calls[r]));
    if (!runs(*state, [&] { exchange(world); })) emulation::hold();
  });
  return ncclSuccess;
}

/// What each rank has for this one: of `send`, [ranks] pieces of `bytes`.
Parts exchange_pieces(World& world, const char* send, size_t bytes) {
  const auto ranks = static_cast<size_t>(world.ranks()), self = static_cast<size_t>(world.rank());
  Parts parts(ranks, std::vector<char>(bytes));
  std::vector<const void*> from(ranks);
  std::vector<void*> to(ranks);
  for (size_t r = 0; r < ranks; ++r) from[r] = send + r * bytes, to[r] = parts[r].data();
  world.all_to_all(from.data(), to.data(), bytes);
  std::memcpy(parts[self].data(), send + self * bytes, bytes);
  return parts;
}

// -- types -------------------------------------------------------------------------------------------------------------------------------

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};
/// In the type itself: a 16-bit sum is rounded after each addition, as NCCL's may be.
float add(float x, float y) { return x + y; }
double add(double x, double y) { return x + y; }
Bf16 add(Bf16 x, Bf16 y) { return {static_cast<uint16_t>(encode_bf16(decode_bf16(x.bits) + decode_bf16(y.bits)))}; }
F16 add(F16 x, F16 y) { return {static_cast<uint16_t>(encode_fp16(decode_fp16(x.bits) + decode_fp16(y.bits)))}; }

template <class T>
void add_parts(const Parts& parts, size_t count, void* out) {
  const auto element = [&](size_t r, size_t i) { return reinterpret_cast<const T*>(parts[r].data())[i]; };
  for (size_t i = 0; i < count; ++i) {
    T sum = element(0, i);
    for (size_t r = 1; r < parts.size(); ++r) sum = add(sum, element(r, i));
    static_cast<T*>(out)[i] = sum;
  }
}

using AddParts = void(const Parts& parts, size_t count, void* out);

struct Type {
  size_t bytes;
  AddParts* add;  // null: the twin does not add it
};
Type type_of(ncclDataType_t type) {
  switch (type) {
    case ncclFloat32: return {4, add_parts<float>};
    case ncclFloat64: return {8, add_parts<double>};
    case ncclFloat16: return {2, add_parts<F16>};
    case ncclBfloat16: return {2, add_parts<Bf16>};
    case ncclInt8:
    case ncclUint8: return {1, nullptr};
    case ncclInt32:
    case ncclUint32: return {4, nullptr};
    case ncclInt64:
    case ncclUint64: return {8, nullptr};
  }
  throw Error(fmt::format("NCCL has no data type {}", static_cast<int>(type)));
}

// -- what callers may do -----------------------------------------------------------------------------------------------------------------

bool is_device(const void* data, size_t bytes) { return bytes == 0 || emulation::memory().is_device(data, bytes); }

/// One side of a collective is a piece, the other all ranks' pieces. They lie apart, or the piece is this rank's of the whole.
std::string buffers_problem(const void* whole, const void* piece, size_t bytes, const ncclComm& comm) {
  const auto* const all = static_cast<const char*>(whole);
  const auto* const part = static_cast<const char*>(piece);
  const size_t all_bytes = bytes * static_cast<size_t>(comm.ranks);
  if (!is_device(all, all_bytes) || !is_device(part, bytes)) return "a buffer is not device memory, or is too short";
  const bool apart = bytes == 0 || part + bytes <= all || all + all_bytes <= part;
  if (!apart && part != all + bytes * static_cast<size_t>(comm.rank)) return "the buffers overlap, and not as NCCL's in-place calls do";
  return "";
}

/// NCCL takes any; this twin what makes an all to all: one send to and one receive from each other rank, of one size.
ncclResult_t enqueue_group(const std::vector<PeerCall>& calls) {
  if (calls.empty()) return ncclSuccess;
  const PeerCall first = calls.front();
  const auto ranks = static_cast<size_t>(first.comm->ranks);
  std::vector<const void*> send(ranks);
  std::vector<void*> receive(ranks);
  size_t different = 0;
  for (const PeerCall& c : calls) {
    const auto peer = static_cast<size_t>(c.peer);
    const bool is_alike = c.bytes == first.bytes && c.comm == first.comm && c.stream == first.stream && c.peer != first.comm->rank;
    const bool is_new = c.is_send ? send[peer] == nullptr : receive[peer] == nullptr;
    if (is_alike && is_new) ++different;
    if (c.is_send) send[peer] = c.data;
    else receive[peer] = c.data;
  }
  if (different != calls.size() || calls.size() != 2 * (ranks - 1)) return refuse(ncclInvalidUsage, "the group is no all to all");
  return enqueue(first.comm, first.stream, fmt::format("all to all, {} bytes", first.bytes),
                 [=](World& world) { world.all_to_all(send.data(), receive.data(), first.bytes); });
}

ncclResult_t add_to_group(bool is_send, void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  const size_t bytes = count * type_of(type).bytes;
  if (open_groups == 0) return refuse(ncclInvalidUsage, "ncclSend and ncclRecv outside of a group wait for each other for ever");
  if (peer < 0 || peer >= comm->ranks) return refuse(ncclInvalidArgument, fmt::format("there is no rank {}", peer));
  if (!is_device(data, bytes)) return refuse(ncclInvalidArgument, "a buffer is not device memory, or is too short");
  group.push_back({is_send, data, bytes, peer, comm, stream});
  return ncclSuccess;
}

}  // namespace

// -- for tests ---------------------------------------------------------------------------------------------------------------------------

void emulation::set_nccl_world(World* world) { chosen_world = world; }
std::string& emulation::nccl_twin_problem() { return problem; }
void emulation::fail_next_nccl_init() { next_init_fails = true; }
int emulation::live_nccl_communicators() { return live; }
std::string cuda::nccl_problem() { return problem; }

// -- NCCL's functions --------------------------------------------------------------------------------------------------------------------

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int count = 0;
  std::memset(id->internal, 0, sizeof id->internal);
  std::memcpy(id->internal, "twin", 4);
  id->internal[4] = static_cast<char>(++count);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  *comm = nullptr;
  if (std::exchange(next_init_fails, false)) return refuse(ncclSystemError, "a test wanted this to fail");
  if (chosen_world == nullptr) throw Error("emulation::set_nccl_world() comes before ncclCommInitRank");
  World& world = *chosen_world;
  if (rank != world.rank() || ranks != world.ranks())
    return refuse(ncclInvalidArgument, fmt::format("rank {} of {} is {}", rank, ranks, world.place().str()));
  const auto state = std::make_shared<State>(State{&world});
  std::vector<ncclUniqueId> ids;
  if (!runs(*state, [&] { ids = gather_values(world, id); })) return state->error;
  for (const ncclUniqueId& other : ids)
    if (std::memcmp(other.internal, id.internal, sizeof id.internal) != 0)
      return refuse(ncclInvalidUsage, "ranks have different unique ids");
  *comm = new ncclComm{state, rank, ranks};
  ++live;
  return ncclSuccess;
}

/// On a GPU it waits for the communicator's work.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  emulation::finish_all_streams();
  delete comm;
  --live;
  return ncclSuccess;
}

/// The real one may wait for its proxy thread, and that for other ranks, for ever (NCCL issues 863, 1777). This one does.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  for (;;) pause();
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  if (comm == nullptr) return refuse(ncclInvalidArgument, "no communicator");
  *error = comm->state->error;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t status) {
  switch (status) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error";
    case ncclSystemError: return "unhandled system error";
    case ncclInternalError: return "internal error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
  }
  return "unknown result code";
}
const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                               cudaStream_t stream) {
  const Type t = type_of(type);
  const size_t bytes = count * t.bytes;
  if (op != ncclSum || t.add == nullptr) return refuse(ncclInvalidArgument, "the twin adds floating-point numbers");
  if (const std::string why = buffers_problem(send, receive, bytes, *comm); !why.empty()) return refuse(ncclInvalidArgument, why);
  return enqueue(comm, stream, fmt::format("reduce scatter, {} of type {}", count, static_cast<int>(type)),
                 [=](World& world) { t.add(exchange_pieces(world, static_cast<const char*>(send), bytes), count, receive); });
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  const size_t bytes = count * type_of(type).bytes;
  if (const std::string why = buffers_problem(receive, send, bytes, *comm); !why.empty()) return refuse(ncclInvalidArgument, why);
  return enqueue(comm, stream, fmt::format("all gather, {} bytes", bytes), [=](World& world) {
    const std::vector<char> own(static_cast<const char*>(send), static_cast<const char*>(send) + bytes);  // it may lie in `receive`
    if (bytes > 0) world.all_gather(own.data(), bytes, receive);
  });
}

ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add_to_group(true, const_cast<void*>(send), count, type, peer, comm, stream);
}
ncclResult_t ncclRecv(void* receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add_to_group(false, receive, count, type, peer, comm, stream);
}

ncclResult_t ncclGroupStart() {
  ++open_groups;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (open_groups == 0) return refuse(ncclInvalidUsage, "no group is open");
  if (--open_groups > 0) return ncclSuccess;
  return enqueue_group(std::exchange(group, {}));
}
