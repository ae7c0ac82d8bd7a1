// mbtrain selftest as a user runs it, and what doctor says of it.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::selftest_test {
namespace {

/// Results are remembered in `folder` while this lives.
class Remembered {
 public:
  explicit Remembered(const TemporaryFolder& folder) { setenv("MBTRAIN_GEMM_ALGORITHMS", folder.path("algorithms.json").c_str(), 1); }
  Remembered(const Remembered&) = delete;
  Remembered& operator=(const Remembered&) = delete;
  ~Remembered() { unsetenv("MBTRAIN_GEMM_ALGORITHMS"); }
};

std::set<std::string> names_of(const nlohmann::json& report) {
  std::set<std::string> names;
  for (const auto& c : report["checks"]) names.insert(c["name"]);
  return names;
}

std::string doctor_on_cpu(const std::string& recipe, const TemporaryFolder& folder) {
  return nlohmann::json::parse(run_binary({"doctor", "--json"}, folder.path()).out)["recipes"][recipe]["cpu"]["selftest"];
}

}  // namespace

TEST_CASE("selftest --recipe runs what one recipe needs, and doctor says that it is proven") {
  const TemporaryFolder folder;
  const Remembered remembered(folder);
  CHECK(doctor_on_cpu("bf16_with_mxfp8_mixed", folder) == "not yet tried");
  const RunResult text = run_binary({"selftest", "--device", "cpu", "--recipe", "bf16_with_mxfp8_mixed"}, folder.path());
  CHECK(text.exit_code == 0);
  CHECK_THAT(text.out, ContainsSubstring("ok     gemm.wgrad.mxfp8-e4m3xmxfp8-e4m3.odd: ") && ContainsSubstring(" checks passed on "));
  CHECK_THAT(doctor_on_cpu("bf16_with_mxfp8_mixed", folder), ContainsSubstring("proven here (20"));
  CHECK_THAT(doctor_on_cpu("bf16_mixed", folder), ContainsSubstring("proven here (20"));  // a part of it
  CHECK(doctor_on_cpu("bf16_with_nvfp4_mixed", folder) == "not yet tried");
}

TEST_CASE("selftest --json has every check with its difference; --list names the same without running them") {
  const TemporaryFolder folder;
  const Remembered remembered(folder);
  const RunResult run = run_binary({"selftest", "--device", "cpu", "--json"}, folder.path());
  REQUIRE(run.exit_code == 0);
  const auto report = nlohmann::json::parse(run.out);
  CHECK(report["passed"] == true);
  CHECK(report["checks"].size() >= 60);
  for (const auto& c : report["checks"]) {
    CAPTURE(c["name"]);
    CHECK(c["passed"] == true);
    CHECK(c["difference"].get<double>() <= c["allowed"].get<double>());
  }
  const auto list = nlohmann::json::parse(run_binary({"selftest", "--list", "--json"}, folder.path()).out);
  CHECK(names_of(list) == names_of(report));
}

TEST_CASE("selftest refuses recipes and devices that there are not") {
  const TemporaryFolder folder;
  const RunResult recipe = run_binary({"selftest", "--recipe", "bf16_with_mxfp9_mixed"}, folder.path());
  CHECK(recipe.exit_code == 2);
  CHECK_THAT(recipe.err, ContainsSubstring("bf16_with_mxfp8_mixed"));
  CHECK(run_binary({"selftest", "--device", "tpu"}, folder.path()).exit_code == 2);
}

TEST_CASE("selftest on two ranks checks the collectives too") {
  if (!has_mpirun()) return;
  const TemporaryFolder folder;
  const Remembered remembered(folder);
  const RunResult run = run_ranks(2, {"selftest", "--device", "cpu", "--recipe", "bf16_mixed", "--json"}, folder.path());
  REQUIRE(run.exit_code == 0);
  const auto report = nlohmann::json::parse(run.out);
  CHECK(report["ranks"] == 2);
  const std::set<std::string> names = names_of(report);
  for (const char* name :
       {"reduce_scatter.f32", "reduce_scatter.bf16.f32_sums.in_place", "all_gather.u8", "all_reduce.f64.sum", "all_reduce.i32.max"})
    CHECK(names.contains(name));
  CHECK_THAT(run_ranks(2, {"selftest", "--device", "cpu", "--recipe", "bf16_mixed"}, folder.path()).out, ContainsSubstring(", 2 ranks"));
}

}  // namespace mbt::test::selftest_test
