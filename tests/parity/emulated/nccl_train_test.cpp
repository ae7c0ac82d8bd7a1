// Training on two emulated devices, each in a process of its own, over NCCL's twin: it learns what one device learns, and no bit depends on
// how late the devices are or on who holds the optimizer's state.
#include <sstream>

#include "core/data/make_dataset.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/nccl/nccl_twin.h"
#include "tests/parity/loss_tolerance.h"
#include "tests/support/catch.h"
#include "tests/support/collective_cases.h"
#include "tests/support/process_world.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::nccl_train_test {

namespace {

/// What rank 0 saw: after some steps, all weights and gradients of both ranks have had a part in these numbers.
struct Trained {
  std::vector<double> losses, grad_norms;
  bool operator==(const Trained&) const = default;
};

Trained train_on(int ranks, const RunConfig& c, bool is_late = false) {
  const TemporaryFolder folder;
  const std::vector<std::string> thrown = run_processes(ranks, [&](World& world, World& beside) {
    emulation::set_nccl_world(&beside);
    emulation::settings().run_twice = false;
    emulation::settings().late_streams = is_late;
    cuda::CudaBackend device;
    const std::unique_ptr<Dataset> data = make_dataset(c);
    Run run;
    Trainer trainer(device, world, c, make_policy(c.model, c.ddp), *data, run);
    trainer.run();
    expect(trainer.transport() == (ranks == 1 ? "" : "NCCL 2.28.9"), "transport: " + trainer.transport());
    std::string told;
    for (const IterationRecord& r : run.steps) told += fmt::format("{:a} {:a}\n", r.loss, r.grad_norm);
    if (world.is_first()) write_file_atomically(folder.path("told"), told);
  });
  for (const std::string& t : thrown) {
    INFO(t);
    REQUIRE(t.empty());
  }
  Trained trained;
  std::istringstream told(read_text_file(folder.path("told")));
  for (std::string loss, norm; told >> loss >> norm;) {
    trained.losses.push_back(std::strtod(loss.c_str(), nullptr));
    trained.grad_norms.push_back(std::strtod(norm.c_str(), nullptr));
  }
  REQUIRE(trained.losses.size() == 4);
  return trained;
}

RunConfig small(const std::string& recipe) {
  return tiny(recipe, {"--train-iters", "4", "--model.num_layers", "2", "--train.micro_batch_size", "1"});
}

}  // namespace

TEST_CASE("two devices learn what one does") {
  for (const char* recipe : {"fp32", "bf16_mixed", "bf16_with_fp8_delayed_scaling_mixed"}) {
    CAPTURE(recipe);
    const RunConfig c = small(recipe);
    const Trained one = train_on(1, c), two = train_on(2, c);
    for (size_t i = 0; i < one.losses.size(); ++i) CHECK(two.losses[i] == Approx(one.losses[i]).epsilon(loss_tolerance(c)));
  }
}

TEST_CASE("no bit depends on how late devices are, or on who holds the optimizer's state") {
  for (const char* recipe : {"fp32", "bf16_mixed"})
    for (const bool overlaps : {false, true}) {  // that changes the buckets, and so the order of the norm's sum
      CAPTURE(recipe, overlaps);
      RunConfig c = small(recipe);
      c.ddp.bucket_size = 5000;
      c.ddp.overlap_grad_reduce = overlaps;
      const Trained plain = train_on(2, c);
      CHECK((train_on(2, c, true) == plain));
      c.ddp.use_distributed_optimizer = c.optimizer.use_distributed_optimizer = true;
      c.ddp.overlap_param_gather = c.optimizer.overlap_param_gather = overlaps;
      CHECK((train_on(2, c, true) == plain));
    }
}

}  // namespace mbt::test::nccl_train_test
