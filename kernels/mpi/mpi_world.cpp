#include "kernels/mpi/mpi_world.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "kernels/mpi/mpi_thread.h"
#include "kernels/mpi/peer_watch.h"

namespace mbt::mpi {
namespace {

constexpr size_t kLargestMessage = size_t{1} << 28;  // bytes; MPI counts in int

void check(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  char reason[MPI_MAX_ERROR_STRING] = "unknown";
  int length = 0;
  MPI_Error_string(status, reason, &length);
  throw Error(fmt::format("MPI: {} failed: {}", what, reason));
}

/// An exit code to end the run with; -1: none. Whoever calls MPI looks at it, since no other thread may.
std::atomic<int> requested_abort{-1};

void abort_if_requested() {
  if (requested_abort >= 0) MPI_Abort(MPI_COMM_WORLD, requested_abort);
}

/// Polls until all are complete. Short at first, for small messages between ranks that run; then it sleeps, because the rank it waits for
/// may need this very core.
void wait_all(std::vector<MPI_Request>& requests) {
  using namespace std::chrono_literals;
  const auto start = std::chrono::steady_clock::now();
  for (int is_done = 0;;) {
    check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &is_done, MPI_STATUSES_IGNORE), "waiting");
    if (is_done) return;
    abort_if_requested();
    const auto waited = std::chrono::steady_clock::now() - start;
    if (waited < 20us) continue;
    if (waited < 200us) sched_yield();
    else std::this_thread::sleep_for(waited < 5ms ? 20us : 100us);
  }
}

void wait_one(MPI_Request request) {
  std::vector<MPI_Request> requests{request};
  wait_all(requests);
}

class MpiWorld final : public World {
 public:
  MpiWorld() {
    thread_.run([&] { start(); });
    watch_peers();
  }
  ~MpiWorld() override {
    peers_.reset();  // from MPI_Finalize on, which waits for all, a rank may end
    thread_.run([] { MPI_Finalize(); });
  }

  const RankPlace& place() const override { return place_; }
  std::string name() const override { return name_; }
  void all_gather(const void* mine, size_t bytes, void* all) override {
    thread_.run([&] { all_gather_here(mine, bytes, all); });
  }
  void all_to_all(const void* const* send, void* const* receive, size_t bytes) override {
    thread_.run([&] { all_to_all_here(send, receive, bytes); });
  }
  void broadcast(void* data, size_t bytes, int root) override {
    thread_.run([&] {
      for (size_t at = 0; at < bytes; at += kLargestMessage) {
        MPI_Request request{};
        const auto count = static_cast<int>(std::min(kLargestMessage, bytes - at));
        check(MPI_Ibcast(static_cast<char*>(data) + at, count, MPI_BYTE, root, MPI_COMM_WORLD, &request), "broadcast");
        wait_one(request);
      }
    });
  }
  void post(std::function<void()> job) override { thread_.post(std::move(job)); }
  [[noreturn]] void abort(int exit_code) noexcept override {
    say_last_words(exit_code);
    requested_abort = exit_code;
    try {
      thread_.post(abort_if_requested);  // in case the thread has nothing to do; if it waits for a rank, it looks by itself
      std::this_thread::sleep_for(std::chrono::seconds(3));
    } catch (...) {  // no memory for the job: the process ends all the same, and the launcher sees its exit code
    }
    std::_Exit(exit_code);
  }

 private:
  void start() {
    int provided = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS) throw InputError("MPI does not start");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &place_.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &place_.ranks);
    MPI_Comm host{};
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, place_.rank, MPI_INFO_NULL, &host), "finding the ranks of this host");
    MPI_Comm_rank(host, &place_.local_rank);
    MPI_Comm_size(host, &place_.local_ranks);
    MPI_Comm_free(&host);
    char buffer[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_processor_name(buffer, &length);
    place_.host = std::string(buffer, static_cast<size_t>(length));
    MPI_Get_library_version(buffer, &length);
    name_ = std::string(buffer, static_cast<size_t>(length));
    name_ = name_.substr(0, name_.find_first_of(",\n"));
  }

  void watch_peers() {
    const ProcessName own = own_process_name(place_.host);
    std::vector<ProcessName> all(static_cast<size_t>(ranks()));
    all_gather(&own, sizeof own, all.data());
    peers_ = std::make_unique<PeerWatch>(std::move(all), rank(), [this](int peer, int64_t pid) {
      std::fprintf(stderr, "mbtrain: error: rank %d (process %lld on %s) ended unexpectedly; rank %d ends too\n", peer,
                   static_cast<long long>(pid), place_.host.c_str(), rank());
      abort(1);
    });
  }

  void all_gather_here(const void* mine, size_t bytes, void* all) {
    if (bytes > kLargestMessage) {
      std::vector<const void*> send(static_cast<size_t>(ranks()), mine);
      std::vector<void*> receive;
      for (int r = 0; r < ranks(); ++r) receive.push_back(static_cast<char*>(all) + static_cast<size_t>(r) * bytes);
      if (receive[static_cast<size_t>(rank())] != mine) std::memcpy(receive[static_cast<size_t>(rank())], mine, bytes);
      return all_to_all_here(send.data(), receive.data(), bytes);
    }
    MPI_Request request{};
    const auto count = static_cast<int>(bytes);
    check(MPI_Iallgather(mine, count, MPI_BYTE, all, count, MPI_BYTE, MPI_COMM_WORLD, &request), "all-gather");
    wait_one(request);
  }

  void all_to_all_here(const void* const* send, void* const* receive, size_t bytes) {
    std::vector<MPI_Request> requests;
    requests.reserve(2 * static_cast<size_t>(ranks()));
    for (size_t at = 0; at < bytes; at += kLargestMessage) {
      const auto count = static_cast<int>(std::min(kLargestMessage, bytes - at));
      requests.clear();
      for (int step = 1; step < ranks(); ++step) {  // everyone begins with another peer
        const int from = (rank() + ranks() - step) % ranks();
        check(MPI_Irecv(static_cast<char*>(receive[from]) + at, count, MPI_BYTE, from, 0, MPI_COMM_WORLD, &requests.emplace_back()),
              "receiving");
      }
      for (int step = 1; step < ranks(); ++step) {
        const int to = (rank() + step) % ranks();
        check(MPI_Isend(static_cast<const char*>(send[to]) + at, count, MPI_BYTE, to, 0, MPI_COMM_WORLD, &requests.emplace_back()),
              "sending");
      }
      wait_all(requests);
    }
  }

  RankPlace place_;
  std::string name_;
  MpiThread thread_;  // uses the others
  std::unique_ptr<PeerWatch> peers_;
};

}  // namespace

std::unique_ptr<World> make_mpi_world() { return std::make_unique<MpiWorld>(); }

}  // namespace mbt::mpi
