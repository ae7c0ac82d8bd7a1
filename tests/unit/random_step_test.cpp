// A training step on random tokens: how it is replayed, and what it says when memory runs out.
#include "core/train/random_step.h"

#include "core/backend/timing_backend.h"
#include "core/train/plan/plan_memory.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::random_step_test {

namespace {

/// The CPU's backend, counting what it is asked to replay; out of memory on demand.
class Counting final : public TimingBackend {
 public:
  explicit Counting(Backend& cpu) : TimingBackend(cpu) { set_enabled(false); }
  void replay(Recording& recording, const std::function<void()>& ops) override {
    ++replays;
    TimingBackend::replay(recording, ops);
  }
  void* allocate(size_t bytes) override {
    if (is_full) throw OutOfMemory("no memory left");
    return TimingBackend::allocate(bytes);
  }
  void synchronize() override {
    if (is_full) throw OutOfMemory("no memory left");
    TimingBackend::synchronize();
  }

  int replays = 0;
  bool is_full = false;
};

struct Stepper {
  explicit Stepper(const RunConfig& c) : config(c) {}
  void build() {
    const PrecisionPolicy policy = training_policy(config, backend);
    step.emplace(backend, world, config, policy, check_memory(config, policy, backend, 1));
  }

  RunConfig config;
  std::unique_ptr<Backend> cpu = make_backend("cpu");
  Counting backend{*cpu};
  SingleWorld world;
  std::optional<RandomStep> step;
};

}  // namespace

TEST_CASE("train.cuda_graph decides whether the micro-batches of a random step are replayed") {
  for (const bool with_graph : {true, false}) {
    CAPTURE(with_graph);
    RunConfig c = tiny("fp32");
    c.train.cuda_graph = with_graph;
    Stepper s(c);
    s.build();
    s.step->run();
    CHECK(s.backend.replays == (with_graph ? c.train.global_batch_size / c.train.micro_batch_size : 0));
    CHECK(s.step->replay_refusal().empty());
  }
}

TEST_CASE("a random step that is timed op by op shows its ops though it is replayed otherwise") {
  Stepper s(tiny("fp32"));
  s.build();
  s.step->run();
  CHECK(s.backend.events().empty());
  s.backend.set_enabled(true);
  s.step->run();
  CHECK(s.backend.gemms().size() > 10);
}

TEST_CASE("a random step without memory says who needs how much, before its first step and in it") {
  Stepper built(tiny("fp32"));
  built.build();
  built.backend.is_full = true;
  CHECK_THROWS_WITH(built.step->run(), ContainsSubstring("no memory left") && ContainsSubstring("moments") && ContainsSubstring("total"));
  built.backend.is_full = false;
  Stepper refused(tiny("fp32"));
  refused.backend.is_full = true;
  CHECK_THROWS_WITH(refused.build(), ContainsSubstring("no memory left") && ContainsSubstring("moments") && ContainsSubstring("total"));
}

}  // namespace mbt::test::random_step_test
