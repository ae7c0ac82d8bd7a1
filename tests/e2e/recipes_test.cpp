// mbtrain recipes, as a user types it.
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::recipes_test {

using nlohmann::json;

namespace {

RunResult run(std::vector<std::string> args) {
  const TemporaryFolder folder;
  args.insert(args.begin(), "recipes");
  return run_binary(args, folder.path());
}

json parsed(const RunResult& r) {
  REQUIRE(r.exit_code == 0);
  return json::parse(r.out);
}

}  // namespace

TEST_CASE("recipes lists every recipe with what it is for, in 120 columns") {
  const RunResult r = run({});
  CHECK(r.exit_code == 0);
  CHECK_THAT(r.out, ContainsSubstring("bf16_with_fp8_current_scaling_mixed"));
  CHECK_THAT(r.out, ContainsSubstring("made for Nemotron Nano v2"));
  CHECK_THAT(r.out, ContainsSubstring("named current scaling upstream, but blockwise"));
  std::istringstream lines(r.out);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 120);
  CHECK(parsed(run({"--json"})).size() == 15);
}

TEST_CASE("recipes show prints every field, as JSON that reads back as a recipe") {
  const json recipe = parsed(run({"show", "bf16-with-mxfp8-mixed", "--json"}));
  CHECK(recipe["name"] == "bf16_with_mxfp8_mixed");
  CHECK(recipe["extends"] == "bf16_mixed");
  CHECK(recipe["fp8"] == "e4m3");
  CHECK(recipe["fp8_param"] == true);
  CHECK(recipe["reuse_grad_buf_for_mxfp8_param_ag"] == true);
  const TemporaryFolder folder;
  const std::string file = folder.file("mine.json", recipe.dump());
  CHECK(parsed(run({"show", file, "--json"}))["fp8_recipe"] == "mxfp8");
  CHECK(parsed(run({"show", file, "--diff", "bf16_with_mxfp8_mixed", "--json"})).empty());

  const RunResult text = run({"show", "nanov2_bf16_with_fp8_current_scaling_mixed"});
  CHECK_THAT(text.out, ContainsSubstring("set by bf16_mixed"));
  CHECK_THAT(text.out, ContainsSubstring("Nemotron Nano v2"));
}

TEST_CASE("recipes show --diff prints what differs") {
  const json difference = parsed(run({"show", "bf16_mixed", "--diff", "fp16_mixed", "--json"}));
  CHECK(difference.size() == 5);  // fp16, bf16, params_dtype, pipeline_dtype, grad_reduce_in_fp32
  CHECK_THAT(run({"show", "bf16_mixed", "--diff", "fp16_mixed"}).out, ContainsSubstring("grad_reduce_in_fp32"));
  CHECK_THAT(run({"show", "bf16_mixed", "--diff", "bf16-mixed"}).out, ContainsSubstring("equal"));
}

TEST_CASE("recipes of a user's file are listed with it; mistakes end with 2") {
  const TemporaryFolder folder;
  const std::string good = folder.file("good.json", R"({"recipes": {"mine": {"extends": "bf16_mixed", "fp8": "hybrid"}}})");
  const std::string bad = folder.file("bad.json", "{\"recipes\": {\n\"mine\": {\"fp88\": \"hybrid\"}}}");
  CHECK_THAT(run({"--recipes", good}).out, ContainsSubstring("from " + good));
  const RunResult r = run({"--recipes", bad});
  CHECK(r.exit_code == 2);
  CHECK_THAT(r.err, ContainsSubstring("bad.json:2"));
  const RunResult unknown = run({"show", "bf16_mixd"});
  CHECK(unknown.exit_code == 2);
  CHECK(unknown.out.empty());
  CHECK_THAT(unknown.err, ContainsSubstring("did you mean \"bf16_mixed\"?"));
}

}  // namespace mbt::test::recipes_test
