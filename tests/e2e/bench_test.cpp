// mbtrain bench, at sizes that take no time: what is measured, not how fast it is.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::bench_test {

using nlohmann::json;

namespace {

RunResult bench(std::vector<std::string> args) {
  const TemporaryFolder folder;
  args.insert(args.begin(), "bench");
  return run_binary(args, folder.path());
}

const std::vector<std::string> kTinyOps = {"ops", "--device", "cpu", "--tokens", "64", "--width", "128", "--vocabulary", "96"};

std::vector<std::string> with(std::vector<std::string> args, const std::vector<std::string>& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

}  // namespace

TEST_CASE("bench ops --json: every op with its time, bytes and share of a copy of the same run") {
  const RunResult r = bench(with(kTinyOps, {"--json"}));
  REQUIRE(r.exit_code == 0);
  const json report = json::parse(r.out);
  CHECK(report["device"] == "cpu");
  const double copy = report["copy_gb_per_second"];
  CHECK(copy > 0);
  std::vector<std::string> names;
  for (const json& op : report["ops"]) {
    CAPTURE(op.dump());
    names.push_back(op["op"]);
    CHECK(op["microseconds"] > 0);
    CHECK(op["gb_per_second"].get<double>() == Approx(op["bytes"].get<double>() / op["microseconds"].get<double>() * 1e-3));
    CHECK(op["share_of_copy"].get<double>() == Approx(op["gb_per_second"].get<double>() / copy));
  }
  for (const char* name : {"norm_fwd", "norm_bwd + residual", "rope", "qk_norm_bwd", "swiglu_bwd", "embedding_bwd",
                           "cross_entropy + gradient", "adamw", "grad_norm", "bias_bwd", "cast act to f32", "quantize tensorwise",
                           "quantize blockwise 128x128", "quantize mxfp8, both", "quantize nvfp4 hadamard stochastic, both"}) {
    CAPTURE(name);
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  }
}

TEST_CASE("bench ops counts the bytes that an op has to move") {
  const auto bytes_of = [](const std::string& op, const std::string& act) {
    const json report = json::parse(bench(with(kTinyOps, {"--json", "--only", op, "--act", act})).out);
    for (const json& o : report["ops"])
      if (o["op"] == op) return o["bytes"].get<int64_t>();
    return int64_t{-1};
  };
  constexpr int64_t n = 64, c = 128;
  CHECK(bytes_of("add", "bf16") == 3 * n * c * 2);
  CHECK(bytes_of("add", "f32") == 3 * n * c * 4);
  CHECK(bytes_of("norm_fwd", "bf16") == 2 * n * c * 2 + c * 2 + n * 4);
  CHECK(bytes_of("adamw", "bf16") == n * c * (3 * 4 + 4 + 3 * 4 + 2) + 4);
  CHECK(bytes_of("quantize tensorwise", "bf16") == n * c * (2 * 2 + 1) + 4);
  CHECK(bytes_of("quantize mxfp8, both", "bf16") == n * c * 2 + 2 * (n * c + n * c / 32));
}

TEST_CASE("bench ops refuses what it cannot measure") {
  CHECK(bench(with(kTinyOps, {"--only", "no such op"})).exit_code == 2);
  CHECK(bench({"ops", "--device", "cpu", "--width", "100"}).exit_code == 2);
  CHECK(bench({"ops", "--device", "tpu"}).exit_code == 2);
  CHECK_THAT(bench(kTinyOps).out, ContainsSubstring("of copy"));
}

TEST_CASE("bench step --json: the whole step as train.cuda_graph has it, its parts op by op") {
  const std::vector<std::string> tiny = {
      "step", "--device",     "cpu", "--steps", "2", "--json", "--num-layers", "1", "--hidden-size", "32", "--num-attention-heads",
      "2",    "--seq-length", "16"};
  for (const char* graph : {"true", "false"}) {
    const RunResult r = bench(with(tiny, {"--cuda-graph", graph}));
    CAPTURE(r.err);
    REQUIRE(r.exit_code == 0);
    const json report = json::parse(r.out);
    CHECK(report["cuda_graph"] == (std::string(graph) == "true"));
    CHECK(report["replay_refusal"] == "");
    CHECK(report["step_ms"] > 0);
    CHECK(report["parts"]["gemm.wgrad"]["calls"] > 0);
  }
}

TEST_CASE("bench step warns of too little memory before it takes any, and says who needs how much when there is none") {
  const RunResult r = bench({"step", "--device", "cpu", "--steps", "1", "--micro-batch-size", "1048576", "--global-batch-size", "1048576",
                             "--seq-length", "131072", "--num-layers", "64", "--position-embedding-type", "none"});
  CHECK(r.exit_code == 1);
  CHECK_THAT(r.err, ContainsSubstring("warning: memory: the run needs ") && ContainsSubstring("train.micro_batch_size"));
  const size_t error = r.err.find("mbtrain: error: ");
  REQUIRE(error != std::string::npos);
  CHECK_THAT(r.err.substr(error), ContainsSubstring("Memory that this run needs on cpu:") && ContainsSubstring("activations"));
}

TEST_CASE("bench gemm compares each product with the square product of the same operands") {
  const RunResult r = bench({"gemm", "--device", "cpu", "--tokens", "32", "--square", "64", "--layer", "64x32", "--json"});
  REQUIRE(r.exit_code == 0);
  const json report = json::parse(r.out);
  REQUIRE(report["gemm"].size() == 3 * report["peak_tflops"].size());
  for (const json& g : report["gemm"])
    CHECK(g["share_of_peak"].get<double>() ==
          Approx(g["tflops"].get<double>() / report["peak_tflops"][g["operands"].get<std::string>()].get<double>()));
  const RunResult wrong = bench({"gemm", "--layer", "64"});
  CHECK(wrong.exit_code == 2);
  CHECK_THAT(wrong.err, ContainsSubstring("expected KxN"));
}

}  // namespace mbt::test::bench_test
