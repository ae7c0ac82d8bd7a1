// mbtrain plan, as a user types it.
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::plan_test {

using nlohmann::json;

namespace {

const std::vector<std::string> kLlama405B = {"model.num_layers=126",          "model.hidden_size=16384",
                                             "model.num_attention_heads=128", "model.num_query_groups=8",
                                             "model.vocab_size=128256",       "model.ffn_hidden_size=53248",
                                             "model.seq_length=8192",         "train.micro_batch_size=1",
                                             "train.global_batch_size=128",   "model.share_embeddings_and_output_weights=false"};

RunResult plan(std::vector<std::string> args) {
  const TemporaryFolder folder;
  args.insert(args.begin(), "plan");
  return run_binary(args, folder.path());
}

}  // namespace

TEST_CASE("plan --json prints one object with the documented keys") {
  const RunResult r = plan({"--json", "--mixed-precision", "bf16_with_fp8_current_scaling_mixed", "--model.fp8_margin", "2"});
  REQUIRE(r.exit_code == 0);
  const json p = json::parse(r.out);
  for (const char* key : {"config", "origins", "overwrites", "precision_map", "parameters", "memory", "flops_per_token", "run"})
    CHECK(p.contains(key));
  CHECK(p["config"]["mixed_precision"]["name"] == "bf16_with_fp8_current_scaling_mixed");
  bool has_margin = false;
  for (const json& o : p["overwrites"])
    has_margin |= o["field"] == "fp8_margin" && o["old"] == 2 && o["old_origin"]["kind"] == "command_line";
  CHECK(has_margin);
}

TEST_CASE("plan for people stays within 120 columns and tells what gave way") {
  const RunResult r = plan({"--mixed-precision", "bf16_with_fp8_current_scaling_mixed", "--model.fp8_margin", "2", "--all"});
  REQUIRE(r.exit_code == 0);
  CHECK_THAT(r.out, ContainsSubstring("model.fp8_margin"));
  CHECK_THAT(r.out, ContainsSubstring("tensorwise"));
  CHECK(r.out.find('\x1b') == std::string::npos);
  std::istringstream lines(r.out);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 120);
}

TEST_CASE("a 405B config is planned without allocating it") {
  std::vector<std::string> args = kLlama405B;
  args.insert(args.end(), {"--json", "--mixed-precision", "bf16_with_mxfp8_mixed"});
  const auto start = std::chrono::steady_clock::now();
  const RunResult r = plan(args);
  REQUIRE(r.exit_code == 0);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));  // far above the goal of 0.2 s: CI machines are shared
  const json p = json::parse(r.out);
  CHECK(p["parameters"]["total"] == 405853388800);
  CHECK(p["flops_per_token"].get<double>() == Approx(2523.96e9).epsilon(2e-5));
  CHECK(p["precision_map"].size() == 126);
}

TEST_CASE("plan says whether the run fits into the device's memory, and what would when it does not") {
  const RunResult fits = plan({"--device", "cpu"});
  REQUIRE(fits.exit_code == 0);
  CHECK_THAT(fits.out, ContainsSubstring("Fits: cpu has ") && ContainsSubstring("the system's estimate and no limit"));
  std::vector<std::string> args = kLlama405B;
  args.insert(args.end(), {"--device", "cpu"});
  const RunResult large = plan(args);
  CHECK(large.exit_code == 0);
  CHECK_THAT(large.out, ContainsSubstring("DOES NOT FIT: cpu has ") && ContainsSubstring("take a smaller model"));
  args.emplace_back("--json");
  const json device = json::parse(plan(args).out)["memory"]["device"];
  CHECK(device["name"] == "cpu");
  CHECK(device["fits"] == false);
  CHECK(device["free"] > 0);
}

TEST_CASE("plan refuses what train would refuse, all at once") {
  const RunResult r = plan({"model.hidden_sise=4", "--mixed-precision", "bf16_mixd", "train.micro_batch_size=-1"});
  CHECK(r.exit_code == 2);
  CHECK(r.out.empty());
  CHECK_THAT(r.err, ContainsSubstring("hidden_size"));
  CHECK_THAT(r.err, ContainsSubstring("bf16_mixed"));
  CHECK_THAT(r.err, ContainsSubstring("micro_batch_size"));
}

}  // namespace mbt::test::plan_test
