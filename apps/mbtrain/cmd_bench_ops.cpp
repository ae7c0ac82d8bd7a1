// mbtrain bench ops: every op whose time is the memory's, against a copy measured in the same run.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/bench_ops_cases.h"
#include "apps/mbtrain/cmd_bench.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

struct OpsBenchRow {
  std::string name, traffic;
  int64_t bytes;
  double seconds, share_of_copy;

  double gb_per_second() const { return 1e-9 * static_cast<double>(bytes) / seconds; }
};

struct OpsBenchOptions {
  std::string device = "auto", act = "bf16", only;
  int threads = 0;
  OpBenchShape shape{};
  bool as_json = false;
};

OpsBenchOptions parse_ops_bench(const std::vector<std::string>& args) {
  VerbOptions options(
      "Time the memory-bound ops: microseconds, bytes that have to move, GB/s, and the share of a copy's bandwidth measured in the same "
      "run",
      "mbtrain bench ops");
  OpsBenchOptions o;
  constexpr int64_t kMost = int64_t{1} << 24;
  options.add_flag("--json", o.as_json, "Print JSON");
  options.add_option("--device", o.device, "Where to compute").with_default_shown().one_of({"auto", "cpu", "cuda"});
  options.add_option("--threads", o.threads, "CPU threads; 0: every core given to the process").with_default_shown();
  options.add_option("--tokens", o.shape.tokens, "N: rows; 0: 16384 on a GPU, 1024 on a CPU").with_default_shown().range(int64_t{0}, kMost);
  options.add_option("--width", o.shape.width, "C: columns, a multiple of 64; 0: 4096 on a GPU, 1024 on a CPU")
      .with_default_shown()
      .range(int64_t{0}, kMost);
  options.add_option("--vocabulary", o.shape.vocabulary, "V: of embeddings and logits; 0: 32768 on a GPU, 8192 on a CPU")
      .with_default_shown()
      .range(int64_t{0}, kMost);
  options.add_option("--act", o.act, "Activation dtype").with_default_shown().one_of({"f32", "bf16", "f16"});
  options.add_option("--only", o.only, "Only ops whose name contains this");
  options.parse(args);
  return o;
}

/// What was left open follows from the device.
void complete(OpsBenchOptions& o, bool is_gpu) {
  OpBenchShape& s = o.shape;
  if (s.tokens == 0) s.tokens = is_gpu ? 16384 : 1024;
  if (s.width == 0) s.width = is_gpu ? 4096 : 1024;
  if (s.vocabulary == 0) s.vocabulary = is_gpu ? 32768 : 8192;
  s.act = o.act == "f32" ? DType::f32 : o.act == "f16" ? DType::f16 : DType::bf16;
  if (s.width % OpBenchShape::kHeadDim != 0)
    throw InputError(fmt::format("--width {}: expected a multiple of {}, the width of a head", s.width, OpBenchShape::kHeadDim));
}

void print_table(const OpsBenchOptions& o, const Backend& backend, double copy_bandwidth, const std::vector<OpsBenchRow>& rows) {
  for (const auto& [name, value] : backend.facts()) std::cout << name << ": " << value << "\n";
  std::printf("%lld tokens x %lld, vocabulary %lld, %s; copy of f32: %.1f GB/s\n\n", static_cast<long long>(o.shape.tokens),
              static_cast<long long>(o.shape.width), static_cast<long long>(o.shape.vocabulary), o.act.c_str(), copy_bandwidth);
  TextTable table("lrrrrl");
  table.add({"op", "us", "MB", "GB/s", "of copy", "bytes counted"});
  for (const OpsBenchRow& r : rows)
    table.add({r.name, formatted("%.1f", r.seconds * 1e6), formatted("%.1f", static_cast<double>(r.bytes) * 1e-6),
               formatted("%.1f", r.gb_per_second()), formatted("%.0f%%", 100 * r.share_of_copy), r.traffic});
  std::cout << table.str();
}

nlohmann::ordered_json to_json(const OpsBenchOptions& o, const Backend& backend, double copy_bandwidth,
                               const std::vector<OpsBenchRow>& rows) {
  nlohmann::ordered_json j = {{"device", backend.name()},
                              {"facts", nlohmann::ordered_json::object()},
                              {"tokens", o.shape.tokens},
                              {"width", o.shape.width},
                              {"vocabulary", o.shape.vocabulary},
                              {"act", o.act},
                              {"copy_gb_per_second", copy_bandwidth},
                              {"ops", nlohmann::ordered_json::array()}};
  for (const auto& [name, value] : backend.facts()) j["facts"][name] = value;
  for (const OpsBenchRow& r : rows)
    j["ops"].push_back({{"op", r.name},
                        {"microseconds", r.seconds * 1e6},
                        {"bytes", r.bytes},
                        {"gb_per_second", r.gb_per_second()},
                        {"share_of_copy", r.share_of_copy},
                        {"counted", r.traffic}});
  return j;
}

}  // namespace

int bench_ops(const std::vector<std::string>& args) {
  OpsBenchOptions options = parse_ops_bench(args);
  const std::unique_ptr<Backend> backend = make_backend(options.device, options.threads);
  complete(options, backend->name() == "cuda");
  const auto time = [&](const OpBench& op) {
    return OpsBenchRow{op.name(), op.traffic(), op.bytes(), seconds_per_call(*backend, [&] { op.run(); }), 0.0};
  };
  const OpsBenchRow copy = time(copy_bench(*backend, options.shape));
  std::vector<OpsBenchRow> rows;
  for (const OpBenchMaker& maker :
       op_benches(backend->wants_transposed({.format = QuantFormat::e4m3, .scaling = QuantScaling::tensorwise}))) {
    if (maker.name.find(options.only) == std::string::npos) continue;
    rows.push_back(time(maker.make(*backend, options.shape)));
    rows.back().share_of_copy = rows.back().gb_per_second() / copy.gb_per_second();
  }
  if (rows.empty()) throw InputError(fmt::format("--only '{}': no op has this in its name", options.only));
  if (options.as_json) std::cout << json_text(to_json(options, *backend, copy.gb_per_second(), rows), {.indent = 2}) << "\n";
  else print_table(options, *backend, copy.gb_per_second(), rows);
  return 0;
}

}  // namespace mbt
