// mbtrain doctor, on machines with and without a GPU.
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

using namespace mbt::test;

TEST_CASE("doctor says what there is and how every recipe runs, without a GPU too") {
  const TemporaryFolder folder;
  const RunResult text = run_binary({"doctor"}, folder.path());
  REQUIRE(text.exit_code == 0);
  for (const char* part : {"CPU (cpu)", "GPU (cuda)", "bf16_with_mxfp8_mixed", "sm_100"}) CHECK_THAT(text.out, ContainsSubstring(part));
  const RunResult json = run_binary({"doctor", "--json"}, folder.path());
  REQUIRE(json.exit_code == 0);
  const auto report = nlohmann::json::parse(json.out);
  CHECK(report["devices"]["cpu"]["usable"] == true);
  CHECK(report["devices"]["cuda"].contains("usable"));
  CHECK(report["recipes"].size() == 15);
  CHECK(report["recipes"]["fp32"]["cpu"]["execution"] == "native");
  CHECK(report["recipes"]["bf16_with_nvfp4_mixed"]["cpu"]["execution"] == "emulated");
  CHECK(run_binary({"doctor", "--nonsense"}, folder.path()).exit_code == 2);
}
