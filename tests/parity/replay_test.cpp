// Micro-batches that run as a recorded graph train to the same bits as those that run op by op; and what cannot be recorded.
#include "kernels/cuda/cuda_backend.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::replay_test {

namespace {

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

TEST_CASE("a replayed run has the bits of one whose ops are launched one by one") {
  for (const char* recipe : {"bf16_mixed", "bf16_with_nvfp4_mixed"}) {
    INFO(recipe);
    RunConfig c = tiny(recipe, {"--train-iters", "3", "--model.num_layers", "1"});
    const auto run = [&](bool with_graph) {
      const TemporaryFolder folder;
      c.train.cuda_graph = with_graph;
      c.checkpoint.save = folder.path("run");
      Run r;
      cuda::CudaBackend device;
      train(c, r, device);
      return std::pair(losses(r), state_of(r.checkpoints.back()));
    };
    CHECK((run(true) == run(false)));
  }
}

TEST_CASE("a recording runs its ops, records them, then runs without them; scratch that moves starts it anew") {
  cuda::CudaBackend device;
  Doubler x(device);
  Recording recording;
  int calls = 0;
  const auto ops = [&] { ++calls, x.run(); };
  for (int i = 1; i <= 5; ++i) {
    device.replay(recording, ops);
    CHECK(x.value() == static_cast<float>(1 << i));
  }
  CHECK(calls == 2);
  device.reserve_scratch(device.scratch_bytes() + (1 << 20));
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
  refuses([&] { device.reserve_scratch(device.scratch_bytes() + 4096); }, "cannot grow while work is recorded");

  Recording recording;  // an error that has nothing to do with recording
  device.replay(recording, [&] { x.run(); });
  CHECK_THROWS_WITH(device.replay(recording, [&] { throw Error("no such layer"); }), "no such layer");
}

}  // namespace mbt::test::replay_test
