// What was not measured is not reported: losses of no tokens, splits without samples, runs none of whose steps counted, last micro-batches
// that a split does not fill.
#include <cmath>

#include "core/data/make_dataset.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/thread_world.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::nothing_measured_test {

namespace {

/// Another dataset's samples, of which only some are there, and only some are in the loss.
class Portion final : public Dataset {
 public:
  Portion(const RunConfig& c, std::array<int64_t, 3> samples, bool in_loss) : all_(make_dataset(c)), samples_(samples), in_loss_(in_loss) {}
  int64_t vocab_size() const override { return all_->vocab_size(); }
  int64_t seq_length() const override { return all_->seq_length(); }
  int64_t num_samples(Split split) const override { return samples_[static_cast<size_t>(split)]; }
  std::string describe() const override { return all_->describe(); }
  void sample(Split split, int64_t index, Sample& out) const override {
    all_->sample(split, index, out);
    if (!in_loss_) std::fill(out.loss_mask.begin(), out.loss_mask.end(), 0.0F);
  }

 private:
  std::unique_ptr<Dataset> all_;
  std::array<int64_t, 3> samples_;
  bool in_loss_;
};

void run_on(const Dataset& data, const RunConfig& c, Run& run, World& world) {
  const std::unique_ptr<Backend> backend = make_backend("cpu", 1);
  Trainer trainer(*backend, world, c, make_policy(c.model, c.ddp), data, run);
  run.reason = trainer.run();
}

void run_on(const Dataset& data, const RunConfig& c, Run& run) {
  SingleWorld world;
  run_on(data, c, run, world);
}

bool contains(const std::vector<std::string>& texts, const std::string& part) {
  return std::any_of(texts.begin(), texts.end(), [&](const std::string& t) { return t.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("a loss of no tokens is no number, and a warning; the step is safe") {
  for (const bool per_token : {false, true}) {
    CAPTURE(per_token);
    RunConfig c = tiny("fp32", {"--validation.eval_iters", "1"});
    c.model.calculate_per_token_loss = per_token;
    Run run;
    run_on(Portion(c, {100, 9, 9}, false), c, run);
    REQUIRE(run.steps.size() == 6);
    for (const IterationRecord& r : run.steps) {
      CHECK(std::isnan(r.loss));
      CHECK((!r.is_nan && !r.was_skipped && r.grad_norm == 0.0));
    }
    REQUIRE(run.evaluations.size() == 2);
    for (const EvaluationRecord& r : run.evaluations) CHECK((std::isnan(r.loss) && r.tokens == 0));
    CHECK(contains(run.warnings, "no token of iteration 1's 4 samples"));
    CHECK_FALSE(contains(run.warnings, "no token of iteration 2's"));
    CHECK(contains(run.warnings, "6 iterations of this run had no token"));
    CHECK(contains(run.warnings, "no token of the 4 samples of the validation split"));
  }
}

TEST_CASE("an evaluation alone without a result is an error of the input") {
  RunConfig c = tiny("fp32", {"--validation.eval_iters", "1", "--skip-train"});
  Run run;
  CHECK_THROWS_WITH(run_on(Portion(c, {9, 0, 0}, true), c, run), ContainsSubstring("skip_train") && ContainsSubstring("dataset.split"));
  CHECK_THROWS_WITH(run_on(Portion(c, {9, 9, 9}, false), c, run), ContainsSubstring("there is no result"));
  CHECK(run.evaluations.size() == 2);
  CHECK_NOTHROW(run_on(Portion(c, {0, 0, 9}, true), c, run));  // nor does it need a sample to train on
  CHECK(run.evaluations.back().tokens == 4 * 32);
}

TEST_CASE("a run says which split it did not evaluate, once") {
  RunConfig c = tiny("fp32", {"--validation.eval_iters", "1", "--validation.eval_interval", "2"});
  Run run;
  run_on(Portion(c, {9, 0, 9}, true), c, run);
  CHECK(run.evaluations.size() == 1);
  CHECK(std::count_if(run.messages.begin(), run.messages.end(),
                      [](const std::string& m) { return m.find("the validation split has no sample") != std::string::npos; }) == 1);
}

TEST_CASE("evaluation scores every sample, whatever the micro-batch and the ranks") {
  RunConfig c = tiny("fp32", {"--train.global_batch_size", "24", "--train-iters", "1", "--validation.eval_iters", "1", "--skip-train"});
  const Portion data(c, {50, 7, 0}, true);  // less than one global batch, and full_validation
  std::vector<EvaluationRecord> records;
  for (const bool full : {false, true}) {
    for (const int ranks : {1, 2, 3}) {
      for (const int64_t micro_batch : {1, 2, 4, 8}) {
        c.validation.full_validation = full, c.train.micro_batch_size = micro_batch;
        std::vector<Run> runs(static_cast<size_t>(ranks));
        REQUIRE(run_threads(ranks, [&](World& w) { run_on(data, c, runs[static_cast<size_t>(w.rank())], w); }) == nothing_thrown(ranks));
        REQUIRE(runs[0].evaluations.size() == 1);
        records.push_back(runs[0].evaluations[0]);
      }
    }
  }
  for (const EvaluationRecord& r : records) {
    CHECK(r.tokens == 7 * 32);
    CHECK(r.loss == Approx(records[0].loss).epsilon(1e-6));
  }
}

TEST_CASE("a run whose steps are all skipped under a scale that cannot fall ends with the reason") {
  const std::vector<std::string> constant = {"--mixed-precision.loss_scale", "1e12"};
  const std::vector<std::string> smallest = {"--mixed-precision.initial_loss_scale", "1e12", "--mixed-precision.min_loss_scale", "1e12"};
  for (const std::vector<std::string>& scale : {constant, smallest}) {
    const TemporaryFolder folder;
    RunConfig c = tiny("fp16_mixed", scale);
    c.checkpoint.save = folder.path("run");
    c.train.train_iters = 100;
    Run run, shorter, in_parts;
    CHECK_THROWS_WITH(train(c, run), ContainsSubstring("the last 20 steps were skipped") && ContainsSubstring("0 of this run's 20 steps"));
    CHECK(run.steps.size() == 20);
    c.train.train_iters = 3;  // or is over before
    CHECK_THROWS_WITH(train(c, shorter), ContainsSubstring("0 of this run's 3 steps"));
    c.train.train_iters = 100, c.train.exit_interval = 5;
    CHECK_THROWS_WITH(train(c, in_parts), ContainsSubstring("0 of this run's 5 steps"));
    CHECK((run.checkpoints.empty() && shorter.checkpoints.empty() && in_parts.checkpoints.empty()));  // of the initial weights
  }
}

TEST_CASE("a run that ends while the scale still falls says that no step counted") {
  const Run run = train(tiny("fp16_mixed"));
  CHECK(run.state.optimizer_updates == 0);
  CHECK(contains(run.warnings, "no step of this run changed the weights: all 6 were skipped"));
}

}  // namespace mbt::test::nothing_measured_test
