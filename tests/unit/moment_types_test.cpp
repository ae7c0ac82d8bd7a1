// Runs whose Adam moments are kept in bf16: saved and continued to the same bits, continued under another dtype, and how well they learn.
#include "core/io/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::moment_types_test {

namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kBoth = {"--use-precision-aware-optimizer", "--exp-avg-dtype", "bf16", "--exp-avg-sq-dtype", "bf16"};

std::string message_with(const Run& run, const std::string& part) {
  for (const std::string& m : run.messages)
    if (m.find(part) != std::string::npos) return m;
  return "";
}

double mean_of_last(const Run& run, size_t count) {
  double sum = 0;
  for (size_t i = run.steps.size() - count; i < run.steps.size(); ++i) sum += run.steps[i].loss;
  return sum / static_cast<double>(count);
}

}  // namespace

TEST_CASE("a run with bf16 moments, saved half way and continued, ends with the bits of one that was not") {
  const TemporaryFolder folder;
  RunConfig c = tiny("bf16_mixed", kBoth);
  c.checkpoint.save = folder.path("whole");
  const Run whole = train(c);
  c.checkpoint.save = folder.path("halves");
  c.train.exit_interval = 3;
  train(c);
  const SafetensorsFile file = SafetensorsFile::open(folder.path("halves/iter_0000003/optimizer_00000_of_00001.safetensors"));
  for (const SafetensorsEntry& e : file.entries()) REQUIRE(e.type == SafetensorsType::BF16);
  c.train.exit_interval.reset();
  c.checkpoint.load = c.checkpoint.save;
  const Run rest = train(c);
  REQUIRE(rest.steps.size() == 3);
  CHECK(rest.steps[2].loss == whole.steps[5].loss);
  CHECK((state_of(folder.path("halves/iter_0000006")) == state_of(folder.path("whole/iter_0000006"))));
  CHECK(message_with(rest, "moment").empty());
}

TEST_CASE("moments of another dtype are converted, and the run says so") {
  const TemporaryFolder folder;
  const RunConfig fp32 = saved(folder, 2, "bf16_mixed");
  RunConfig c = fp32;
  c.optimizer.use_precision_aware_optimizer = true;
  c.optimizer.exp_avg_dtype = MomentDtype::bf16;
  c.checkpoint.save = folder.path("other");
  const Run narrower = train(c), as_before = train(fp32);
  CHECK(message_with(narrower, "first moment") == "Adam's first moment was saved in fp32 and continues in bf16, rounded to nearest even");
  CHECK(message_with(narrower, "second moment").empty());
  CHECK(narrower.steps[0].loss == as_before.steps[0].loss);  // of the weights as they were saved
  CHECK(narrower.steps[1].loss != as_before.steps[1].loss);

  RunConfig back = c;
  back.checkpoint.load = folder.path("other");
  back.checkpoint.save.clear();
  back.train.train_iters = 7;
  back.optimizer.exp_avg_dtype = MomentDtype::fp32;
  CHECK(message_with(train(back), "first moment") == "Adam's first moment was saved in bf16 and continues in fp32, the same values");
  back.checkpoint.load_optim = false;
  CHECK(message_with(train(back), "moment").empty());
}

// With a beta2 that bf16 can follow (docs/mixed-precision.md).
TEST_CASE("moments in bf16 learn as well as in fp32: within 1 % of the loss after 120 steps") {
  const std::vector<std::string> length = {"--train-iters", "120", "--lr", "1e-2", "--adam-beta2", "0.95", "--model.num_layers", "1"};
  std::vector<std::string> narrow = length;
  narrow.insert(narrow.end(), kBoth.begin(), kBoth.end());
  const Run fp32 = train(tiny("bf16_mixed", length)), bf16 = train(tiny("bf16_mixed", narrow));
  CAPTURE(fp32.steps[0].loss, mean_of_last(fp32, 20), mean_of_last(bf16, 20));
  CHECK(mean_of_last(fp32, 20) < 0.8 * fp32.steps[0].loss);
  CHECK(mean_of_last(bf16, 20) == Approx(mean_of_last(fp32, 20)).epsilon(0.01));
}

}  // namespace mbt::test::moment_types_test
