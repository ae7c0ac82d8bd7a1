// Micro-batches that run as a recorded graph train to the same bits as those that run op by op; and what cannot be recorded.
#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/engine/stream.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace mbt;
using namespace mbt::test;

namespace {

/// Losses, norms and the whole state at the end; how many graphs were launched.
struct Trained {
  Trained(RunConfig c, bool with_graph, const std::string& folder) {
    const emulation::RunOnce once;
    c.train.cuda_graph = with_graph;
    c.checkpoint.save = folder;
    const int64_t before = emulation::graph_launches();
    cuda::CudaBackend device;
    train(c, run, device);
    launches = emulation::graph_launches() - before;
    state = state_of(run.checkpoints.back());
  }
  Run run;
  int64_t launches = 0;
  std::string state;
};

class Doubler {
 public:
  explicit Doubler(Backend& backend) : backend_(backend), memory_(backend, 256), x_(memory_.data(), DType::f32, {4}) {
    const float ones[4] = {1, 1, 1, 1};
    backend_.upload(ones, x_);
  }
  void run() { backend_.add({.a = x_, .b = x_, .out = x_}); }
  float value() {
    float values[4];
    backend_.download(x_, values);
    return values[2];
  }

 private:
  Backend& backend_;
  Buffer memory_;
  TensorView x_;
};

}  // namespace

TEST_CASE("a run whose micro-batches are replayed has the bits of one whose ops are launched one by one") {
  for (const char* recipe : {"fp32", "bf16_with_fp8_delayed_scaling_mixed", "bf16_with_fp8_current_scaling_mixed", "bf16_with_nvfp4_mixed",
                             "fp16_mixed"}) {
    INFO(recipe);
    const TemporaryFolder folder;
    RunConfig c = tiny(recipe, {"--train-iters", "4", "--model.num_layers", "1"});
    c.optimizer.initial_loss_scale = 1 << 20;  // fp16: some overflows, some steps
    const Trained eager(c, false, folder.path("eager")), replayed(c, true, folder.path("replayed"));
    CHECK(eager.launches == 0);
    CHECK(replayed.launches >= 5);  // of 8 micro-batches: one to warm up, one more whenever scratch has grown in between
    CHECK(losses(eager.run) == losses(replayed.run));
    for (size_t i = 0; i < eager.run.steps.size(); ++i) {
      CHECK(eager.run.steps[i].was_skipped == replayed.run.steps[i].was_skipped);
      CHECK(eager.run.steps[i].loss_scale == replayed.run.steps[i].loss_scale);
    }
    CHECK((eager.state == replayed.state));
    CHECK(replayed.run.messages == eager.run.messages);
  }
}

TEST_CASE("evaluation between replayed steps changes nothing") {
  RunConfig c = tiny("bf16_with_fp8_delayed_scaling_mixed", {"--train-iters", "3", "--model.num_layers", "1"});
  const TemporaryFolder folder;
  const Trained plain(c, true, folder.path("plain"));
  c.validation.eval_iters = 1, c.validation.eval_interval = 1;
  const Trained evaluated(c, true, folder.path("evaluated"));
  CHECK(losses(plain.run) == losses(evaluated.run));
  CHECK((plain.state == evaluated.state));
}

TEST_CASE("nothing waits for a device that is late: the same bits, uploads and all") {
  for (const bool with_graph : {false, true}) {
    INFO((with_graph ? "with graph" : "op by op"));
    RunConfig c = tiny("bf16_with_nvfp4_mixed", {"--train-iters", "3", "--model.num_layers", "1"});
    c.train.micro_batch_size = 1;  // four micro-batches a step through two slots
    const TemporaryFolder folder;
    const Trained prompt(c, with_graph, folder.path("prompt"));
    const emulation::LateStreams late;
    const Trained slow(c, with_graph, folder.path("late"));
    CHECK(losses(prompt.run) == losses(slow.run));
    CHECK((prompt.state == slow.state));
  }
}

TEST_CASE("uploads leave their host memory free on return, however late the device is") {
  const emulation::LateStreams late;
  cuda::CudaBackend device;
  Buffer memory(device, 5 * 400);
  std::vector<int32_t> host(100);
  const auto row = [&](int64_t i) { return TensorView(static_cast<char*>(memory.data()) + 400 * i, DType::i32, {100}); };
  for (int32_t i = 0; i < 5; ++i) {
    std::fill(host.begin(), host.end(), i);
    if (i % 2 == 0) device.upload(host.data(), row(i));
    else std::copy(host.begin(), host.end(), static_cast<int32_t*>(device.stage(row(i)))), device.submit_staged();
  }
  for (int32_t i = 0; i < 5; ++i) {
    device.download(row(i), host.data());
    CHECK(host == std::vector<int32_t>(100, i));
  }
}

TEST_CASE("a recording runs its ops, records them, then runs without them; scratch that moves starts it anew") {
  cuda::CudaBackend device;
  Doubler x(device);
  Recording recording;
  int calls = 0;
  const auto ops = [&] { ++calls, x.run(); };
  const int64_t before = emulation::graph_launches();
  for (int i = 1; i <= 5; ++i) {
    device.replay(recording, ops);
    CHECK(x.value() == static_cast<float>(1 << i));
  }
  CHECK(calls == 2);
  CHECK(emulation::graph_launches() - before == 4);
  device.reserve_scratch(1 << 20);
  device.replay(recording, ops);
  CHECK(calls == 3);  // not the graph: it may hold the old address
  device.replay(recording, ops);
  device.replay(recording, ops);
  CHECK(calls == 4);
  CHECK(x.value() == 256.0f);
  recording.reset();
  device.replay(recording, ops);
  CHECK(calls == 5);
  CHECK(x.value() == 512.0f);
}

TEST_CASE("what cannot be recorded runs op by op, and says why") {
  cuda::CudaBackend device;
  Doubler x(device);
  const auto refuses = [&](const std::function<void()>& forbidden, const std::string& why) {
    Recording recording;
    const float start = x.value();
    for (int i = 0; i < 3; ++i) device.replay(recording, [&] { x.run(), forbidden(); });
    CHECK(x.value() == 8 * start);
    CHECK_THAT(recording.refusal, ContainsSubstring("op by op") && ContainsSubstring(why));
  };
  refuses([&] { device.synchronize(); }, "synchronize among ops that are recorded");
  refuses([&] { x.value(); }, "download among");
  refuses([&] { const Buffer b(device, 16); }, "allocate among");
  size_t wanted = 1 << 12;
  refuses([&] { device.reserve_scratch(wanted *= 2); }, "cannot grow while work is recorded");
  refuses([&] { cuda::check(cudaStreamSynchronize(nullptr), "waiting"); }, "waiting: ");

  Recording recording;  // an error that has nothing to do with recording
  device.replay(recording, [&] { x.run(); });
  CHECK_THROWS_WITH(device.replay(recording, [&] { throw Error("no such layer"); }), "no such layer");
}

TEST_CASE("a kernel that failed is told late: the error says so, and what to do") {
  cuda::CudaBackend device;
  Doubler x(device);
  x.run();
  emulation::fail_from_now_on(cudaErrorIllegalAddress);
  CHECK_THROWS_WITH(device.synchronize(), ContainsSubstring("the last op of which was add") && ContainsSubstring("in or before") &&
                                              ContainsSubstring("CUDA_LAUNCH_BLOCKING=1"));
  CHECK_THROWS_WITH(x.run(), ContainsSubstring("kernel 'add'") && ContainsSubstring("in or before"));
  emulation::fail_from_now_on(cudaSuccess);
  CHECK_NOTHROW(device.synchronize());
}
