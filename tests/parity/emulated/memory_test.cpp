// A run that does not fit into the GPU is refused before anything is allocated, with a table of what needs how much.
#include "core/train/plan/memory_check.h"

#include "core/train/plan/plan_memory.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/settings.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::memory_test {

namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kKernels = 128 * kMiB;  // what the check keeps free for code

/// The device has `bytes` of memory while this lives.
class MemoryOf {
 public:
  explicit MemoryOf(size_t bytes) : before_(emulation::settings().memory_bytes) {
    size_t free = 0, total = 0;  // what other tests of the process hold does not count
    REQUIRE(cudaMemGetInfo(&free, &total) == cudaSuccess);
    emulation::settings().memory_bytes = bytes + total - free;
  }
  MemoryOf(const MemoryOf&) = delete;
  MemoryOf& operator=(const MemoryOf&) = delete;
  ~MemoryOf() { emulation::settings().memory_bytes = before_; }

 private:
  size_t before_;
};

RunConfig wide(int64_t micro_batch) {
  RunConfig c = tiny("bf16_mixed", {"--model.num_layers", "12", "--seq-length", "256"});
  c.train.micro_batch_size = micro_batch, c.train.global_batch_size = 96;
  return c;
}

std::string refusal(const RunConfig& c, size_t bytes) {
  const MemoryOf memory(bytes);
  cuda::CudaBackend device;
  Run run;
  try {
    train(c, run, device);
  } catch (const InputError& e) {
    CHECK(device.allocated_bytes() == 0);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a run that does not fit: who needs what, and the largest micro-batch that would fit does") {
  const std::string text = refusal(wide(96), kKernels + 64 * kMiB);
  CHECK_THAT(text,
             ContainsSubstring("activations") && ContainsSubstring("moments") && ContainsSubstring("total") && ContainsSubstring("free"));
  const std::string found = "largest train.micro_batch_size that fits is ";
  const size_t at = text.find(found);
  REQUIRE(at != std::string::npos);
  const int64_t fits = std::stoll(text.substr(at + found.size()));
  CHECK(96 % fits == 0);
  const MemoryOf memory(kKernels + 64 * kMiB);
  cuda::CudaBackend device;
  const auto check = [&](int64_t micro_batch) {
    const RunConfig c = wide(micro_batch);
    return check_memory(c, make_policy(c.model, c.ddp), device, 1);
  };
  CHECK_NOTHROW(check(fits));
  for (int64_t m = fits + 1; m <= 96; ++m)
    if (96 % m == 0) CHECK_THROWS_AS(check(m), InputError);
}

TEST_CASE("when not even one sample fits, other settings are named, or that there are none") {
  const RunConfig c = wide(1);
  const cuda::CudaBackend device;
  const auto needs = [&](const char* recompute) {
    RunConfig other = c;
    if (recompute != nullptr) other.model.recompute_granularity = value_named<RecomputeGranularity>(recompute);
    const std::vector<MemoryItem> items = plan_memory(other, make_policy(other.model, other.ddp), queries_of(device), 1);
    return static_cast<size_t>(total_bytes(items) - items.back().bytes) + kKernels;
  };
  {
    const MemoryOf memory(needs(nullptr));
    CHECK_NOTHROW(check_memory(c, make_policy(c.model, c.ddp), device, 1));
  }
  CHECK_THAT(refusal(c, needs("selective")), ContainsSubstring("not even 1; with model.recompute_granularity=selective 1 does"));
  CHECK_THAT(refusal(c, needs("full")), ContainsSubstring("recompute_granularity=full 1 does"));
  CHECK_THAT(refusal(c, kKernels), ContainsSubstring("take a smaller model"));
}

TEST_CASE("an allocation that fails all the same comes with the table") {
  const RunConfig c = tiny("bf16_mixed");
  cuda::CudaBackend device;
  Run run;
  std::optional<MemoryOf> memory;
  run.after_step = [&](const IterationRecord&) {  // someone else has taken all that was left
    memory.emplace(0);
    const Buffer fails(device, 1 << 20);
  };
  CHECK_THROWS_WITH(train(c, run, device), ContainsSubstring("GPU memory: 1048576 bytes needed (tensors), 0 of ") &&
                                               ContainsSubstring("activations") && ContainsSubstring("total"));
}

}  // namespace mbt::test::memory_test
