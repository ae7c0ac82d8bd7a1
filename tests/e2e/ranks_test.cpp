// Several ranks under a real mpirun: the same numbers as one, sharded or not, overlapped or not; and what happens when ranks disagree or
// die.
#include <sys/wait.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <regex>
#include <thread>

#include "core/base/strings.h"
#include "core/train/verify_resume.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::ranks_test {

namespace fs = std::filesystem;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A global batch that divides over 1, 2, 3 and 4 ranks.
std::vector<std::string> small(const std::string& recipe, const std::string& iterations, const std::vector<std::string>& more = {}) {
  std::vector<std::string> args = {"--mixed-precision",  recipe,     "--model.hidden_size",     "64", "--seq-length",        "64",
                                   "--train-iters",      iterations, "--log-interval",          "1",  "--global-batch-size", "12",
                                   "--micro-batch-size", "1",        "--validation.eval_iters", "0"};
  // With several GPUs: MBT_TEST_DEVICE=cuda ctest -R e2e.ranks, and NCCL is what is tested.
  if (const char* device = std::getenv("MBT_TEST_DEVICE")) args.insert(args.end(), {"--train.device", device});
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

std::vector<std::string> trained(int ranks, const std::vector<std::string>& args) {
  const TemporaryFolder folder;
  const RunResult r = run_ranks(ranks, args, folder.path());
  INFO(r.out << r.err);
  REQUIRE(r.exit_code == 0);
  return losses(r.out);
}

double worst_difference(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(std::stod(a[i]) / std::stod(b[i]) - 1));
  return worst;
}

const std::vector<std::string> kOverlap = {"--use-distributed-optimizer", "--overlap-grad-reduce", "--overlap-param-gather",
                                           "--ddp-bucket-size", "50000"};

}  // namespace

TEST_CASE("2, 3 and 4 ranks lose as one does") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const std::vector<std::string> one = losses(run_binary(small("fp32", "12"), folder.path()).out);
  REQUIRE(one.size() == 12);
  for (const int ranks : {2, 3, 4}) {
    CAPTURE(ranks);
    CHECK(worst_difference(trained(ranks, small("fp32", "12")), one) <= 2e-6);
  }
}

TEST_CASE("a sharded optimizer, overlapped or not, gives the bits of the plain one") {
  if (!has_mpirun()) return;
  // Each way in which weights travel: plain, with delayed and current scales, in blocks of both kinds, in 16 bits; fp16 with a scale that
  // holds.
  const std::vector<std::vector<std::string>> runs = {
      {"fp32"},
      {"bf16_mixed", "--ddp.average_in_collective", "true"},
      {"bf16_mixed", "mixed_precision.grad_reduce_in_fp32=false"},
      {"bf16_with_fp8_delayed_scaling_mixed"},
      {"bf16_with_fp8_current_scaling_mixed", "mixed_precision.first_last_layers_bf16=false"},
      {"bf16_with_fp8_subchannel_scaling_mixed"},
      {"bf16_with_fp8_subchannel_scaling_mixed", "mixed_precision.fp8_param_gather=true", "mixed_precision.fp8_param=true"},
      {"bf16_with_mxfp8_mixed"},
      {"bf16_with_nvfp4_mixed"},
      {"fp16_with_fp8_delayed_scaling_mixed", "mixed_precision.initial_loss_scale=1024"},
      {"bf16_mixed", "--exp-avg-dtype", "bf16", "--use-precision-aware-optimizer"},
  };
  for (std::vector<std::string> run : runs) {
    const std::string recipe = run.front();
    run.erase(run.begin());
    CAPTURE(recipe, run);
    const std::vector<std::string> plain = trained(3, small(recipe, "5", run));
    CHECK(plain.size() == 5);
    std::vector<std::string> sharded = run, overlapped = run;
    sharded.emplace_back("--use-distributed-optimizer");
    overlapped.insert(overlapped.end(), kOverlap.begin(), kOverlap.end());
    CHECK(trained(3, small(recipe, "5", sharded)) == plain);
    CHECK(trained(3, small(recipe, "5", overlapped)) == plain);
  }
}

TEST_CASE("ranks hold the same weights, and a run checks it") {
  if (!has_mpirun()) return;
  std::vector<std::string> args = kOverlap;
  args.insert(args.end(), {"--train.check_weight_hash_across_dp_replicas_interval", "2"});
  CHECK(trained(2, small("bf16_with_fp8_current_scaling_mixed", "4", args)).size() == 4);
}

TEST_CASE("evaluation and per-token losses are those of one rank") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const std::vector<std::string> args =
      small("fp32", "4", {"--calculate-per-token-loss", "--validation.eval_iters", "3", "--log-params-norm", "--log-num-zeros-in-grad"});
  const RunResult one = run_binary(args, folder.path()), two = run_ranks(
                                                             2,
                                                             [&] {
                                                               auto a = args;
                                                               a.emplace_back("--use-distributed-optimizer");
                                                               return a;
                                                             }(),
                                                             folder.path());
  CHECK(worst_difference(losses(two.out), losses(one.out)) <= 2e-6);
  static const std::regex evaluation(R"(lm loss value: (\S+) )"), zeros(R"(num zeros: (\S+) )"), norm(R"(params norm: (\S+) )");
  for (const std::regex& what : {evaluation, zeros, norm}) {
    std::smatch a, b;
    REQUIRE(std::regex_search(one.out, a, what));
    REQUIRE(std::regex_search(two.out, b, what));
    CHECK(std::stod(a[1]) == Approx(std::stod(b[1])).epsilon(1e-3));  // a gradient may be zero in one order of sums alone
  }
}

TEST_CASE("what is wrong on all ranks is said once, with exit code 2") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const RunResult r = run_ranks(3, {"--train-iters", "0"}, folder.path());
  CHECK(r.exit_code == 2);
  CHECK(r.err.find("train.train_iters: got 0") == r.err.rfind("train.train_iters: got 0"));
  const RunResult batch = run_ranks(3, {"--global-batch-size", "16", "--micro-batch-size", "4"}, folder.path());
  CHECK(batch.exit_code == 2);
  CHECK(contains(batch.err, "micro_batch_size 4 x 3 ranks = 12; take 12 or 24"));
}

namespace {

/// Two ranks with arguments of their own; the second runs in `second_folder`.
std::vector<std::string> two_programs(const std::vector<std::string>& first, const std::vector<std::string>& second,
                                      const fs::path& second_folder) {
  std::vector<std::string> words = mpirun_words(1);
  words.emplace_back(MBT_BINARY);
  words.insert(words.end(), first.begin(), first.end());
  words.insert(words.end(), {":", "-np", "1", "-wdir", second_folder.string(), MBT_BINARY});
  words.insert(words.end(), second.begin(), second.end());
  return words;
}

/// Waits until a run in `folder` has finished its second iteration.
void wait_until_it_trains(const fs::path& folder) {
  const auto has_begun = [&] {
    std::ifstream file(folder / "stdout.txt");
    return contains(std::string(std::istreambuf_iterator<char>(file), {}), "iteration        2/");
  };
  for (int i = 0; i < 600 && !has_begun(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

}  // namespace

TEST_CASE("ranks that disagree on config or data are refused with both values") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder, other;
  const RunResult config = run_words(two_programs(small("fp32", "5"), small("fp32", "5", {"--lr", "0.001"}), folder.path()), folder.path());
  CHECK(config.exit_code == 2);
  CHECK(contains(config.err, "config.optimizer.lr: 0.002 on rank 0, 0.001 on rank 1"));

  const RunResult verbs = run_words(two_programs(small("fp32", "5"), {"verify-resume"}, folder.path()), folder.path());
  CHECK(verbs.exit_code == 2);
  CHECK(contains(verbs.err, "rank 1 as mbtrain verify-resume"));

  std::ofstream(folder.path("data.txt")) << std::string(100000, 'a');
  std::ofstream(other.path("data.txt")) << std::string(99999, 'a') << 'b';
  const std::vector<std::string> args = small("fp32", "5", {"--data-path", "data.txt"});
  const RunResult data = run_words(two_programs(args, args, other.path()), folder.path());
  CHECK(data.exit_code == 2);
  CHECK(contains(data.err, "data.hash: "));
}

TEST_CASE("an error of one rank ends all, with its rank and reason") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder, other;
  for (const TemporaryFolder* f : {&folder, &other}) std::ofstream(f->path("data.txt")) << std::string(1000000, 'a');
  const std::vector<std::string> args = small("fp32", "100000", {"--data-path", "data.txt"});
  std::chrono::steady_clock::time_point broken;
  std::thread breaker([&] {
    wait_until_it_trains(folder.path());
    broken = std::chrono::steady_clock::now();
    fs::resize_file(other.path("data.txt"), 10);
  });
  const RunResult r = run_words(two_programs(args, args, other.path()), folder.path());
  breaker.join();
  INFO(r.err);
  CHECK(!r.timed_out);
  CHECK(r.exit_code == 2);
  CHECK(std::chrono::steady_clock::now() - broken < std::chrono::seconds(10));
  CHECK(contains(r.err, "rank 1 of 2"));
  CHECK(contains(r.err, "data.txt"));
}

TEST_CASE("a rank that is killed ends the run within ten seconds") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  std::vector<std::string> words = mpirun_words(3);
  words.emplace_back(MBT_BINARY);
  const std::vector<std::string> args = small("fp32", "100000");
  words.insert(words.end(), args.begin(), args.end());
  std::chrono::steady_clock::time_point killed;
  std::thread killer([&] {
    wait_until_it_trains(folder.path());
    killed = std::chrono::steady_clock::now();
    const std::vector<pid_t> ranks = processes_in(folder.path());
    if (!ranks.empty()) kill(ranks.front(), SIGKILL);
  });
  const RunResult r = run_words(words, folder.path(), 60);
  killer.join();
  CHECK(!r.timed_out);
  CHECK(r.exit_code != 0);
  CHECK(std::chrono::steady_clock::now() - killed < std::chrono::seconds(10));
  CHECK(contains(r.err, "signal 9"));
}

TEST_CASE("a loss that is no number ends all ranks in order, with one message") {
  if (!has_mpirun()) return;
  for (int i = 0; i < 4; ++i) {  // what went wrong once did so in half of the runs: a signal to a rank that unwinds
    const TemporaryFolder folder;
    const RunResult r = run_ranks(2, small("fp32", "30", {"--lr", "1e6", "--optimizer.clip_grad", "0"}), folder.path());
    INFO(r.err);
    CHECK(r.exit_code == 1);
    CHECK(contains(r.err, "is not finite"));
    CHECK(!contains(r.err, "Segmentation"));
  }
}

TEST_CASE("verbs that need one rank print once, and plan is that of the launch") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const RunResult plan = run_ranks(2, {"plan", "--use-distributed-optimizer"}, folder.path());
  CHECK(plan.exit_code == 0);
  CHECK(plan.out.find("Memory of one rank") == plan.out.rfind("Memory of one rank"));
  CHECK(contains(plan.out, "1/2 of them"));
}

TEST_CASE("a run starts in a folder that is not there yet, and a state is the same whoever keeps the masters") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const std::vector<std::string> args = {"--checkpoint.save", "run", "--checkpoint.load", "./run/"};
  std::vector<std::string> sharded = args;
  sharded.emplace_back("--use-distributed-optimizer");
  const std::string recipe = "bf16_with_fp8_delayed_scaling_mixed";
  const RunResult first = run_ranks(2, small(recipe, "4", args), folder.path());
  INFO(first.err);
  CHECK(first.exit_code == 0);
  const TemporaryFolder other;
  CHECK(run_ranks(2, small(recipe, "4", sharded), other.path()).exit_code == 0);
  CHECK(differing_files(folder.path("run/iter_0000004"), other.path("run/iter_0000004")).empty());
  CHECK(run_ranks(2, small(recipe, "4", {"--checkpoint.load", "nowhere"}), folder.path()).exit_code == 2);
}

TEST_CASE("SIGTERM to one rank ends all after the step, with a checkpoint and exit code 0") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  std::vector<std::string> words = mpirun_words(2);
  words.emplace_back(MBT_BINARY);
  const std::vector<std::string> args = small("fp32", "100000", {"--checkpoint.save", "run", "--use-distributed-optimizer"});
  words.insert(words.end(), args.begin(), args.end());
  std::thread stopper([&] {
    wait_until_it_trains(folder.path());
    const std::vector<pid_t> ranks = processes_in(folder.path());
    if (!ranks.empty()) kill(ranks.back(), SIGTERM);
  });
  const RunResult r = run_words(words, folder.path(), 60);
  stopper.join();
  INFO(r.err);
  CHECK(r.exit_code == 0);
  CHECK(contains(r.out, "exiting program after receiving SIGTERM."));
  CHECK(fs::exists(folder.path("run/latest_checkpointed_iteration.txt")));
}

}  // namespace mbt::test::ranks_test
