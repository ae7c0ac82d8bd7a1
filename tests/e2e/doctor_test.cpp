// mbtrain doctor, on machines with and without a GPU.
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::doctor_test {

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

TEST_CASE("doctor --json: what is built in, the machine's memory, driver and libraries") {
  const TemporaryFolder folder;
  const auto report = nlohmann::json::parse(run_binary({"doctor", "--json"}, folder.path()).out);
  for (const char* part : {"MBT_CUDA", "MBT_ONEDNN", "MBT_OPENMP", "MBT_NCCL", "MBT_MPI"}) {
    CAPTURE(part);
    REQUIRE(report["build"]["parts"].contains(part));
    CHECK_FALSE(report["build"]["parts"][part]["said"].get<std::string>().empty());
  }
  CHECK_FALSE(report["build"]["parts"].contains("MPI"));  // one line a part
  CHECK(report["build"]["parts"].contains("MBT_NVTX") == report["build"]["parts"]["MBT_CUDA"]["is_built_in"].get<bool>());
  CHECK(report["build"]["parts"]["MBT_CUDA"]["is_built_in"] == !report["build"]["cuda_runtime"].is_null());
  const auto& machine = report["machine"];
  CHECK(machine["memory"]["available_bytes"] > 0);
  CHECK(machine["memory"]["available_bytes"] <= machine["memory"]["total_bytes"]);
  for (const char* library : {"cuBLASLt", "NCCL", "MPI"}) {
    CAPTURE(library);
    const auto& l = machine["libraries"][library];
    CHECK(l["is_found"] == l["problem"].get<std::string>().empty());
  }
  const auto& driver = machine["nvidia"]["driver"];
  CHECK((driver["is_installed"] == true || !driver["problem"].get<std::string>().empty()));
}

TEST_CASE("doctor takes no library for what its name says, and asks for the cuBLASLt that this build loads") {
  const TemporaryFolder folder;
  const std::vector<std::string> names = {"libcublasLt.so.12", "libcublasLt.so.13", "libnccl.so.2", "libmpi.so.40", "libmpi.so.12"};
  for (const std::string& name : names) std::filesystem::copy_file(MBT_STAND_IN_DRIVER "/libcuda.so.1", folder.path(name));
  setenv("LD_LIBRARY_PATH", folder.path().c_str(), 1);
  const RunResult json = run_binary({"doctor", "--json"}, folder.path()), text = run_binary({"doctor"}, folder.path());
  unsetenv("LD_LIBRARY_PATH");
  const auto report = nlohmann::json::parse(json.out);
  for (const char* library : {"cuBLASLt", "NCCL", "MPI"}) {
    CAPTURE(library);
    const auto& l = report["machine"]["libraries"][library];
    CHECK(l["is_found"] == false);
    CHECK_THAT(l["problem"].get<std::string>(),
               ContainsSubstring("cannot be used: lib") && ContainsSubstring("no function that tells its version"));
  }
  CHECK_THAT(text.out, ContainsSubstring("cannot be used: libnccl.so.2"));
  const std::string cuda = report["build"]["cuda_runtime"].is_null() ? "13.0" : report["build"]["cuda_runtime"].get<std::string>();
  CHECK(report["machine"]["libraries"]["cuBLASLt"]["file"] == "libcublasLt.so." + cuda.substr(0, cuda.find('.')));
}

TEST_CASE("a GPU that cannot be used ends a run with the reason doctor gives, and exit code 2") {
  const TemporaryFolder folder;
  const auto report = nlohmann::json::parse(run_binary({"doctor", "--json"}, folder.path()).out);
  if (report["devices"]["cuda"]["usable"] == true) SUCCEED("this machine's GPU is usable");
  else {
    const std::string problem = report["devices"]["cuda"]["problem"];
    const RunResult run = run_binary({"train", "--device", "cuda", "--train-iters", "1"}, folder.path());
    CHECK(run.exit_code == 2);
    CHECK_THAT(run.err, ContainsSubstring(problem));
    CHECK_THAT(problem, ContainsSubstring("train.device=cpu"));  // what to do
  }
}

TEST_CASE("doctor asks the driver for its version and its devices, and says why they cannot be used") {
  const TemporaryFolder folder;
  setenv("LD_LIBRARY_PATH", MBT_STAND_IN_DRIVER, 1);
  const RunResult text = run_binary({"doctor"}, folder.path()), json = run_binary({"doctor", "--json"}, folder.path());
  const RunResult run = run_binary({"train", "--device", "cuda", "--train-iters", "1"}, folder.path());
  unsetenv("LD_LIBRARY_PATH");
  CHECK_THAT(text.out, ContainsSubstring("Stand-in GPU, compute capability 9.1, 80.0 GiB"));
  const auto report = nlohmann::json::parse(json.out);
  CHECK(report["machine"]["nvidia"]["driver"]["cuda"] == "12.4");
  REQUIRE(report["machine"]["nvidia"]["devices"].size() == 1);
  CHECK(report["machine"]["nvidia"]["devices"][0]["compute_capability"] == "9.1");
  CHECK(report["machine"]["nvidia"]["devices"][0]["uuid"] == "GPU-00112233-4455-6677-8899-aabbccddeeff");
  const bool has_cuda = report["build"]["parts"]["MBT_CUDA"]["is_built_in"];
  CHECK_THAT(report["devices"]["cuda"]["problem"].get<std::string>(),
             ContainsSubstring(has_cuda ? "is too old: it runs CUDA up to 12.4" : "built without CUDA"));
  CHECK(run.exit_code == 2);
}

}  // namespace mbt::test::doctor_test
