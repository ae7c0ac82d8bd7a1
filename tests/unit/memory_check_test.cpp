// What a run says of memory before it takes any, on a backend whose memory is no limit.
#include "core/train/memory_check.h"

#include "core/backend/timing_backend.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace mbt;
using namespace mbt::test;

namespace {

/// The CPU's backend, on a machine with `bytes` to give.
class WithMemory final : public TimingBackend {
 public:
  WithMemory(Backend& cpu, std::optional<AvailableMemory> memory) : TimingBackend(cpu), memory_(memory) { set_enabled(false); }
  std::optional<AvailableMemory> available_memory() const override { return memory_; }

 private:
  std::optional<AvailableMemory> memory_;
};

}  // namespace

TEST_CASE("the CPU knows roughly what it could give, and it is no limit") {
  const std::optional<AvailableMemory> memory = make_backend("cpu")->available_memory();
  REQUIRE(memory);
  CHECK_FALSE(memory->is_limit);
  CHECK(memory->bytes > size_t{1} << 20);
}

TEST_CASE("more than the system can give is a warning on the CPU, with table and advice; the run goes on") {
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  WithMemory small(*cpu, AvailableMemory{.bytes = 1 << 20, .is_limit = false});
  const RunConfig c = tiny("fp32", {"--train-iters", "2"});
  Run run;
  train(c, run, small);
  CHECK(run.steps.size() == 2);
  REQUIRE(!run.messages.empty());
  CHECK_THAT(run.messages.front(), ContainsSubstring("cpu has 1.00 MiB free") && ContainsSubstring("moments") &&
                                       ContainsSubstring("train.micro_batch_size") && ContainsSubstring("pages come when they are touched"));
  WithMemory unknown(*cpu, std::nullopt);
  Run other;
  train(c, other, unknown);
  CHECK(other.messages.empty());
}

TEST_CASE("where memory is a limit the run is refused before it allocates") {
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  WithMemory small(*cpu, AvailableMemory{.bytes = 1 << 20, .is_limit = true});
  Run run;
  CHECK_THROWS_AS(train(tiny("fp32"), run, small), InputError);
  CHECK(cpu->allocated_bytes() == 0);
}
