// NcclCollectives over NCCL's twin: a process with a device of its own for each rank. The bits of the contract on devices that are prompt
// or late, the order between collectives and ops, and that a rank which is gone leaves nobody waiting.
#include <unistd.h>

#include "core/comm/host_collectives.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/nccl/nccl_collectives.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/nccl/nccl_twin.h"
#include "tests/support/catch.h"
#include "tests/support/collective_cases.h"
#include "tests/support/process_world.h"

namespace mbt::test::nccl_test {

namespace {

std::vector<std::string> nothing_thrown(int ranks) { return std::vector<std::string>(static_cast<size_t>(ranks)); }

/// `job` on ranks that are connected by the backend's own connect().
using ConnectedJob = std::function<void(cuda::CudaBackend& device, Collectives& collectives)>;
std::vector<std::string> run_connected(int ranks, const ConnectedJob& job) {
  return run_processes(ranks, [&](World& world, World& beside) {
    emulation::set_nccl_world(&beside);
    cuda::CudaBackend device;
    const std::unique_ptr<Collectives> collectives = device.connect(world);
    job(device, *collectives);
  });
}

/// f32 [n] on the device.
class Numbers {
 public:
  Numbers(Backend& backend, int64_t n, float value)
      : backend_(backend), memory_(backend, static_cast<size_t>(4 * n)), view_(memory_.data(), DType::f32, {n}) {
    set(value);
  }
  operator TensorView() const { return view_; }       // NOLINT
  operator ConstTensorView() const { return view_; }  // NOLINT
  void set(float value) { backend_.upload(std::vector<float>(static_cast<size_t>(view_.size()), value).data(), view_); }
  void twice() { backend_.add({.a = view_, .b = view_, .out = view_}); }
  /// What lies in memory now, whatever is still on its way.
  float peek() const { return *view_.as<float>(); }
  void expect_all(float value) {
    std::vector<float> host(static_cast<size_t>(view_.size()));
    backend_.download(view_, host.data());
    for (float x : host) expect(x == value, fmt::format("is {}, expected {}", x, value));
  }

 private:
  Backend& backend_;
  Buffer memory_;
  TensorView view_;
};

/// What a rank threw: Error with these parts.
void check_thrown(const std::string& thrown, std::initializer_list<const char*> parts) {
  for (const char* part : parts) CHECK_THAT(thrown, ContainsSubstring(part));
}

}  // namespace

TEST_CASE("collectives over NCCL keep the contract, on prompt and on late devices, in pieces too") {
  for (const bool is_late : {false, true})
    for (int ranks : {1, 2, 3, 5}) {
      CAPTURE(is_late, ranks);
      CHECK(run_processes(ranks, [&](World& world, World& beside) {
              emulation::set_nccl_world(&beside);
              emulation::settings().late_streams = is_late;
              const cuda::Stream compute;
              cuda::HostWait wait;
              size_t scratch_bytes = 0;
              // For 128 elements of f64 and 512 of bf16 at a time.
              cuda::NcclCollectives collectives(world, {compute.get(), wait, scratch_bytes}, static_cast<size_t>(ranks) * 1024);
              const auto finish = [&] { wait.stream(compute.get(), "the test"); };
              const Tested tested{.collectives = collectives, .finish = finish, .rounds_each_addition = true};
              for (int64_t n : {1, 128, 333, 1040}) check_collectives(tested, n);
            }) == nothing_thrown(ranks));
    }
}

TEST_CASE("sums in f32 differ from NCCL's own in 16 bits, and are the host's bits") {
  const auto sums = [](Collectives& collectives, bool with_f32_sums, const std::function<void()>& finish) {
    GuardedTensor in = given_by(collectives.rank(), DType::bf16, 3 * 500), out(DType::bf16, {500});
    collectives.wait(collectives.reduce_scatter({.in = in, .out = out, .factor = 0.1f, .with_f32_sums = with_f32_sums}));
    finish();
    return out.values();
  };
  CHECK(run_processes(3, [&](World& world, World& beside) {
          emulation::set_nccl_world(&beside);
          cuda::CudaBackend device;
          const auto nccl = device.connect(world);
          HostCollectives host(world);
          const auto finish = [&] { device.synchronize(); };
          const std::vector<double> exact = sums(host, false, [] {});
          expect(sums(*nccl, true, finish) == exact, "f32 sums are not the host's");
          expect(sums(*nccl, false, finish) != exact, "sums in 16 bits cannot be told from those in f32");
        }) == nothing_thrown(3));
}

TEST_CASE("a collective comes after the ops before it and before those after wait(), however late the device is") {
  CHECK(run_connected(2, [](cuda::CudaBackend& device, Collectives& collectives) {
          const emulation::LateStreams late;
          Numbers x(device, 1000, 1);
          x.twice();
          const auto ticket = collectives.all_reduce({.t = x});
          expect(x.peek() != 4.0f, "the call waited for its collective");
          collectives.wait(ticket);
          expect(x.peek() != 4.0f, "wait() made the host wait");
          x.twice();
          x.expect_all(8);
        }) == nothing_thrown(2));
}

TEST_CASE("a collective comes after the ops before it also when nothing but itself is waited for") {
  CHECK(run_processes(2, [](World& world, World& beside) {
          emulation::set_nccl_world(&beside);
          const emulation::LateStreams late;
          cuda::CudaBackend device;
          auto collectives = device.connect(world);
          Numbers x(device, 10, 1), one(device, 10, 1);
          device.add({.a = x, .b = one, .out = x});
          collectives->all_reduce({.t = x});
          collectives.reset();  // waits for the collectives' stream
          x.expect_all(4);      // 3: the sum came first
        }) == nothing_thrown(2));
}

TEST_CASE("ops that are given before wait() do not wait for the collective") {
  CHECK(run_connected(2, [](cuda::CudaBackend& device, Collectives& collectives) {
          const emulation::LateStreams late;
          Numbers sent(device, 10, 1), other(device, 10, 3);
          const auto ticket = collectives.all_reduce({.t = sent});
          other.twice();
          device.synchronize();
          expect(other.peek() == 6.0f, "the op is not done");
          expect(sent.peek() == 1.0f, "the collective was waited for");
          collectives.wait(ticket);
          sent.expect_all(2);
        }) == nothing_thrown(2));
}

TEST_CASE("wait() covers all calls before its own, also when there are more than events") {
  CHECK(run_connected(2, [](cuda::CudaBackend& device, Collectives& collectives) {
          const emulation::LateStreams late;
          const emulation::RunOnce once;
          std::vector<std::unique_ptr<Numbers>> x;
          std::vector<Collectives::Ticket> tickets;
          for (int i = 0; i < 150; ++i) {
            x.push_back(std::make_unique<Numbers>(device, 5, static_cast<float>(i)));
            tickets.push_back(collectives.all_reduce({.t = *x.back()}));
            expect(tickets.back() == static_cast<uint64_t>(i) + 1, "tickets count from 1");
          }
          collectives.wait(tickets[99]);
          for (int i = 0; i < 100; ++i) x[static_cast<size_t>(i)]->expect_all(2 * static_cast<float>(i));
          collectives.wait(tickets[3]);  // long done
          collectives.wait(tickets[149]);
          for (int i = 100; i < 150; ++i) x[static_cast<size_t>(i)]->expect_all(2 * static_cast<float>(i));
        }) == nothing_thrown(2));
}

TEST_CASE("collectives are not recorded: what makes them runs op by op") {
  CHECK(run_connected(2, [](cuda::CudaBackend& device, Collectives& collectives) {
          Numbers x(device, 10, 1);
          Recording recording;
          const auto ops = [&] {
            x.twice();
            collectives.wait(collectives.all_reduce({.t = x}));
          };
          for (int i = 0; i < 3; ++i) device.replay(recording, ops);
          expect(recording.refusal.find("all_reduce among ops that are recorded") != std::string::npos, "refusal: " + recording.refusal);
          x.expect_all(64);
        }) == nothing_thrown(2));
}

TEST_CASE("a connection counts its scratch, gives all back, and is the only one") {
  CHECK(run_processes(2, [](World& world, World& beside) {
          emulation::set_nccl_world(&beside);
          cuda::CudaBackend device;
          const size_t before = device.scratch_bytes();
          size_t free_before = 0, free_after = 0, total = 0;
          cuda::check(cudaMemGetInfo(&free_before, &total), "memory");
          {
            const auto collectives = device.connect(world);
            expect(collectives->name() == "NCCL 2.28.9", collectives->name());
            expect(device.scratch_bytes() == before + cuda::NcclCollectives::kScratchBytes, "scratch is not counted");
            expect(emulation::live_nccl_communicators() == 1, "no communicator");
            try {
              const auto second = device.connect(world);
              throw std::runtime_error("a second connection");
            } catch (const Error& e) {
              expect(std::string(e.what()).find("one connection at a time") != std::string::npos, e.what());
            }
          }
          cuda::check(cudaMemGetInfo(&free_after, &total), "memory");
          expect(device.scratch_bytes() == before && free_after == free_before, "memory is left");
          expect(emulation::live_nccl_communicators() == 0, "the communicator was not ended");
          const auto again = device.connect(world);
          Numbers x(device, 3, 2);
          again->wait(again->all_reduce({.t = x}));
          x.expect_all(4);
        }) == nothing_thrown(2));
}

TEST_CASE("one rank needs no NCCL") {
  emulation::nccl_twin_problem() = "NCCL cannot be loaded";
  SingleWorld world;
  cuda::CudaBackend device;
  const auto collectives = device.connect(world);
  emulation::nccl_twin_problem().clear();
  Numbers x(device, 3, 2);
  collectives->wait(collectives->all_reduce({.t = x}));
  x.expect_all(2);
}

TEST_CASE("where one rank cannot load NCCL, all ranks say which, and none waits") {
  const std::vector<std::string> thrown = run_processes(3, [](World& world, World& beside) {
    emulation::set_nccl_world(&beside);
    if (world.rank() == 1) emulation::nccl_twin_problem() = "libnccl.so.2 is nowhere";
    cuda::CudaBackend device;
    try {
      device.connect(world);
    } catch (const AgreedError& e) {
      throw Error(fmt::format("exit code {}: {}", e.exit_code, e.what()));
    }
  });
  for (const std::string& t : thrown)
    check_thrown(t, {"exit code 2: rank 1 of 3 on board: ", "need NCCL: libnccl.so.2 is nowhere", "train.device=cpu"});
}

TEST_CASE("a communicator that cannot be made is an error with the rank and NCCL's text") {
  const std::vector<std::string> thrown = run_processes(2, [](World& world, World& beside) {
    emulation::set_nccl_world(&beside);
    if (world.rank() == 1) emulation::fail_next_nccl_init();
    cuda::CudaBackend device;
    device.connect(world);
  });
  check_thrown(thrown[1], {"rank 1 of 2 on board: ncclCommInitRank: unhandled system error; a test wanted this to fail"});
  check_thrown(thrown[0], {"rank 0 of 2 on board: ncclCommInitRank: remote process exited", "another rank"});
}

TEST_CASE("a rank that is gone ends the others' waiting, wherever they wait, and what they had on the device") {
  struct Place {
    const char* name;
    std::function<void(cuda::CudaBackend& device, Collectives& collectives, Numbers& x)> wait;
  };
  const Place places[] = {
      {"synchronize", [](auto& device, auto&, auto&) { device.synchronize(); }},
      {"download", [](auto&, auto&, auto& x) { x.expect_all(0); }},
      {"upload",
       [](auto&, auto&, auto& x) {
         for (int i = 0; i < 10; ++i) x.set(1);
       }},
      {"the next call", [](auto& device, auto& collectives, auto& x) { device.synchronize(), collectives.all_reduce({.t = x}); }},
  };
  for (const bool is_late : {false, true})
    for (const Place& place : places) {
      CAPTURE(is_late, place.name);
      const std::vector<std::string> thrown = run_connected(3, [&](cuda::CudaBackend& device, Collectives& collectives) {
        emulation::settings().late_streams = is_late;
        Numbers x(device, 10, 1);
        collectives.wait(collectives.all_reduce({.t = x}));
        x.expect_all(3);
        if (collectives.rank() == 1) _exit(7);
        const auto is_thrown = [&](const std::function<void()>& f) {
          try {
            f();
            return std::string();
          } catch (const Error& e) {
            return std::string(e.what());
          }
        };
        const std::string first = is_thrown([&] {
          collectives.wait(collectives.all_reduce({.t = x}));
          place.wait(device, collectives, x);
        });
        expect(!first.empty(), "nothing was thrown");
        expect(emulation::live_nccl_communicators() == 1, "the communicator was torn down");
        expect(is_thrown([&] { collectives.all_reduce({.t = x}); }) == first && is_thrown([&] { collectives.wait(1); }) == first,
               "later calls say something else");
        throw Error(first);  // what is on the device never ends: unwinding leaves it
      });
      CHECK(thrown[1] == "ended with exit code 7");
      check_thrown(thrown[0], {"rank 0 of 3 on board: a collective: remote process exited", "rank 1 of 3 has ended", "NCCL_DEBUG=WARN"});
      check_thrown(thrown[2], {"rank 2 of 3 on board: a collective: remote process exited"});
    }
}

TEST_CASE("unwinding waits for no collective that nobody comes to") {
  const std::vector<std::string> thrown = run_connected(2, [](cuda::CudaBackend& device, Collectives& collectives) {
    const emulation::LateStreams late;
    Numbers x(device, 10, 1), waited(device, 10, 1);
    if (collectives.rank() == 1) return;  // by mistake
    collectives.wait(collectives.all_reduce({.t = waited}));
    collectives.all_reduce({.t = x});  // in the collectives' stream alone
    throw Error("out of luck");        // frees tensors first, which waits, then the connection
  });
  CHECK(thrown[0] == "out of luck");
  CHECK(thrown[1].empty());
}

TEST_CASE("an error of a rank's own is told before anything is torn down, whatever its device has to do, and ends the others' waiting") {
  for (const bool is_late : {false, true}) {
    CAPTURE(is_late);
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<std::string> thrown = run_processes(3, [&](World& world, World& beside) {
      emulation::set_nccl_world(&beside);
      emulation::settings().late_streams = is_late;
      cuda::CudaBackend device;
      Recording recording;
      Numbers before(device, 10, 1);
      const auto ops = [&] { before.twice(); };
      for (int i = 0; i < 3; ++i) device.replay(recording, ops);
      const auto collectives = device.connect(world);
      Numbers x(device, 10, 1);
      collectives->wait(collectives->all_reduce({.t = x}));
      x.expect_all(3);
      if (world.rank() == 1) throw Error("out of luck");
      collectives->wait(collectives->all_reduce({.t = x}));  // rank 1 never comes to it
      x.twice();
      device.synchronize();
    });
    CHECK(thrown[1] == "out of luck");
    for (const size_t r : {0, 2}) check_thrown(thrown[r], {"remote process exited", "another rank"});
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
  }
}

TEST_CASE("an error of a rank's own leaves its communicator") {
  const std::vector<std::string> thrown = run_processes(2, [](World& world, World& beside) {
    emulation::set_nccl_world(&beside);
    cuda::CudaBackend device;
    Numbers x(device, 10, 1);
    try {
      const auto collectives = device.connect(world);
      if (world.rank() == 1) throw Error("out of luck");
      collectives->wait(collectives->all_reduce({.t = x}));
      device.synchronize();
    } catch (const Error& e) {
      expect(emulation::live_nccl_communicators() == 1, "torn down");
      throw Error(e.what());
    }
  });
  CHECK(thrown[1] == "out of luck");
  check_thrown(thrown[0], {"remote process exited"});
}

TEST_CASE("the twin notices what NCCL does not: ranks that make different calls") {
  const std::vector<std::string> thrown = run_connected(2, [](cuda::CudaBackend& device, Collectives& collectives) {
    Numbers x(device, 10 + collectives.rank(), 1);
    collectives.all_reduce({.t = x});
  });
  for (const std::string& t : thrown) check_thrown(t, {"NCCL calls differ", "all gather, 40 bytes", "all gather, 44 bytes"});
}

}  // namespace mbt::test::nccl_test
