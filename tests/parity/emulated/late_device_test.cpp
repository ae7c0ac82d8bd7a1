// Runs whose micro-batches are replayed, on a device that is prompt, late or broken: the same bits as op by op, or an error that says so.
#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/engine/stream.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::late_device_test {

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

}  // namespace

TEST_CASE("a run whose micro-batches are replayed has the bits of one whose ops are launched one by one") {
  for (const char* recipe :
       {"fp32", "bf16_with_fp8_delayed_scaling_mixed", "bf16_with_fp8_current_scaling_mixed", "bf16_with_nvfp4_mixed", "fp16_mixed"}) {
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

TEST_CASE("a recording that CUDA itself refuses runs op by op") {
  cuda::CudaBackend device;
  Buffer memory(device, 256);
  const TensorView x(memory.data(), DType::f32, {4});
  Recording recording;
  for (int i = 0; i < 3; ++i)
    device.replay(recording, [&] {
      device.fill_zero(x);
      cuda::check(cudaStreamSynchronize(nullptr), "waiting");
    });
  CHECK_THAT(recording.refusal, ContainsSubstring("op by op") && ContainsSubstring("waiting: "));
}

TEST_CASE("a kernel that failed is told late: the error says so, and what to do") {
  cuda::CudaBackend device;
  Buffer memory(device, 256);
  const TensorView x(memory.data(), DType::f32, {4});
  const auto add = [&] { device.add({.a = x, .b = x, .out = x}); };
  add();
  emulation::fail_from_now_on(cudaErrorIllegalAddress);
  CHECK_THROWS_WITH(device.synchronize(), ContainsSubstring("the last op of which was add") && ContainsSubstring("in or before") &&
                                              ContainsSubstring("CUDA_LAUNCH_BLOCKING=1"));
  CHECK_THROWS_WITH(add(), ContainsSubstring("kernel 'add'") && ContainsSubstring("in or before"));
  emulation::fail_from_now_on(cudaSuccess);
  CHECK_NOTHROW(device.synchronize());
}

}  // namespace mbt::test::late_device_test
