// Training by several ranks, as threads: nothing may depend on how gradients are averaged or who holds the optimizer's state.
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/thread_world.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::ranks_train_test {

namespace {

RunConfig config_of(const std::string& recipe, std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--train.global_batch_size", "6", "--train.micro_batch_size", "1", "--train.train_iters", "3"});
  return tiny(recipe, more);
}

Run run_as(int ranks, const RunConfig& c) {
  std::vector<Run> runs(static_cast<size_t>(ranks));
  REQUIRE(run_threads(ranks, [&](World& w) {
            const std::unique_ptr<Backend> backend = make_backend("cpu", 1);
            train(c, runs[static_cast<size_t>(w.rank())], *backend, w);
          }) == nothing_thrown(ranks));
  return runs[0];
}

/// Norms too: Adam takes no notice of a factor that all gradients have.
void check_near(const Run& a, const Run& b) {
  REQUIRE(a.steps.size() == b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    CHECK(a.steps[i].loss == Approx(b.steps[i].loss).epsilon(1e-5));
    CHECK(a.steps[i].grad_norm == Approx(b.steps[i].grad_norm).epsilon(1e-4));
  }
}

}  // namespace

TEST_CASE("several ranks learn as one does, whether they average gradients before the collective or in it") {
  RunConfig c = config_of("fp32");
  const Run one = run_as(1, c);
  REQUIRE(one.steps.size() == 3);
  RunConfig larger = c;
  larger.train.micro_batch_size = 3;  // nor on how many samples are taken at once
  check_near(run_as(1, larger), one);
  for (const int ranks : {2, 3}) {
    for (const bool in_collective : {false, true}) {
      CAPTURE(ranks, in_collective);
      c.ddp.average_in_collective = in_collective;
      check_near(run_as(ranks, c), one);
    }
  }
}

TEST_CASE("a sharded optimizer gives the losses of one that is not, bit for bit, however parameters travel") {
  const std::vector<std::vector<std::string>> recipes = {{"fp32"},
                                                         {"bf16_with_fp8_delayed_scaling_mixed"},
                                                         {"bf16_with_fp8_subchannel_scaling_mixed", "mixed_precision.fp8_param=true"},
                                                         {"bf16_with_mxfp8_mixed"}};
  for (const std::vector<std::string>& words : recipes) {
    CAPTURE(words);
    RunConfig c = config_of(words.front(), {words.begin() + 1, words.end()});
    const Run plain = run_as(3, c);
    c.ddp.use_distributed_optimizer = true;
    const Run sharded = run_as(3, c);
    c.ddp.overlap_grad_reduce = c.ddp.overlap_param_gather = true;
    c.ddp.bucket_size = 5000;
    const Run overlapped = run_as(3, c);
    CHECK(plain.steps.size() == 3);
    CHECK(losses(sharded) == losses(plain));
    CHECK(losses(overlapped) == losses(plain));
  }
}

}  // namespace mbt::test::ranks_train_test
