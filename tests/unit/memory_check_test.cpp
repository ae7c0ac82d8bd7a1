// What a run says of memory before it takes any, on a backend whose memory is no limit.
#include "core/train/plan/memory_check.h"

#include "core/backend/timing_backend.h"
#include "core/config/command_line.h"
#include "core/recipe/resolve.h"
#include "core/train/plan/plan.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::memory_check_test {

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
  REQUIRE(run.warnings.size() == 1);
  CHECK_THAT(run.warnings.front(), ContainsSubstring("cpu has 1.00 MiB free") && ContainsSubstring("moments") &&
                                       ContainsSubstring("train.micro_batch_size") &&
                                       ContainsSubstring("pages come when they are touched"));
  WithMemory unknown(*cpu, std::nullopt);
  Run other;
  train(c, other, unknown);
  CHECK(other.warnings.empty());
}

TEST_CASE("where memory is a limit the run is refused before it allocates") {
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  WithMemory small(*cpu, AvailableMemory{.bytes = 1 << 20, .is_limit = true});
  Run run;
  CHECK_THROWS_AS(train(tiny("fp32"), run, small), InputError);
  CHECK(cpu->allocated_bytes() == 0);
}

namespace {

constexpr size_t kGiB = size_t{1} << 30;

ResolvedRun qwen(const std::vector<std::string>& more = {}) {
  std::vector<std::string> args = {
      "--config", MBT_SOURCE_DIR "/configs/qwen2.5_1.5b.json", "--micro-batch-size", "512", "--global-batch-size", "512"};
  args.insert(args.end(), more.begin(), more.end());
  return resolve_run(parse_config_arguments(args));
}

RunPlan plan_with(ResolvedRun run, std::optional<AvailableMemory> memory) {
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  return make_plan(std::move(run), 1, queries_of(WithMemory(*cpu, memory)));
}

}  // namespace

TEST_CASE("the advice tries Adam's moments in bf16 when no recompute is enough, and what it names does fit") {
  const AvailableMemory free{.bytes = 24 * kGiB, .is_limit = true};
  const MemoryFit fit = plan_with(qwen(), free).fit;
  CHECK_FALSE(fit.fits());
  const std::string flags = "--use-precision-aware-optimizer --exp-avg-dtype bf16 --exp-avg-sq-dtype bf16";
  CHECK_THAT(fit.advice,
             ContainsSubstring("not even 1; with model.recompute_granularity=full it does with Adam's moments in bf16 (" + flags + ")"));
  const std::vector<std::string> advised = {
      "--micro-batch-size", "1",   "model.recompute_granularity=full", "--use-precision-aware-optimizer", "--exp-avg-dtype", "bf16",
      "--exp-avg-sq-dtype", "bf16"};
  const MemoryFit followed = plan_with(qwen(advised), free).fit;
  CHECK(followed.fits());
  CHECK(followed.advice.empty());
  CHECK_THAT(plan_with(qwen(), AvailableMemory{.bytes = kGiB}).fit.advice,
             ContainsSubstring("no bf16 moments") && ContainsSubstring("smaller model"));
}

TEST_CASE("a plan compares its own total with what the device has free") {
  for (const bool is_limit : {true, false}) {
    const RunPlan plan = plan_with(qwen(), AvailableMemory{.bytes = 22 * kGiB, .is_limit = is_limit});
    CHECK(plan.fit.needed == total_bytes(plan.memory));
    CHECK(plan.memory.back().category == (is_limit ? "kernels" : "program"));
    const nlohmann::ordered_json device = to_json(plan)["memory"]["device"];
    CHECK(device["free"] == 22 * kGiB);
    CHECK(device["is_limit"] == is_limit);
    CHECK(device["fits"] == false);
    CHECK(device["advice"] == plan.fit.advice);
  }
  CHECK(to_json(plan_with(qwen(), AvailableMemory{.bytes = size_t{1} << 50}))["memory"]["device"]["fits"] == true);
  CHECK(to_json(plan_with(qwen(), std::nullopt))["memory"]["device"]["fits"].is_null());
}

TEST_CASE("the plan of an evaluation has no moments, as its run has none") {
  for (const MemoryItem& item : plan_with(qwen({"--skip-train"}), std::nullopt).memory)
    if (item.category == "moments" || item.category == "main_gradients") CHECK(item.bytes == 0);
}

}  // namespace mbt::test::memory_check_test
