// mbtrain bench scaling: what a step would take at many ranks, from a step measured here without exchange and from links that are measured
// here or given.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/bench_comm.h"
#include "apps/mbtrain/bench_tools.h"
#include "apps/mbtrain/cmd_bench.h"
#include "apps/mbtrain/ranks.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/backend/timing_backend.h"
#include "core/base/json_text.h"
#include "core/comm/gather.h"
#include "core/model/flops.h"
#include "core/parallel/exchange_plan.h"
#include "core/train/plan/plan_memory.h"
#include "core/train/random_step.h"
#include "core/train/resolve_loading.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSmall = 4 << 10, kLarge = 16 << 20;  // bytes between which a link's line is drawn
constexpr int64_t kRanks[] = {8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

struct ScalingBenchOptions {
  VerbOptions options{"Model the step time at 8 to 4096 ranks from parts measured here; the output is a model, not a measurement",
                      "mbtrain bench scaling"};
  bool as_json = false;
  int64_t steps = 3;
  double latency_us = -1, bandwidth_gbs = -1;

  ScalingBenchOptions() {
    options.add_flag("--json", as_json, "Print JSON");
    options.add_option("--steps", steps, "Steps to time; the median counts").range(1, 10000);
    options.add_option("--latency-us", latency_us, "Latency of one hop between ranks; default: measured in this launch").at_least_zero();
    options.add_option("--bandwidth-gbs", bandwidth_gbs, "10^9 bytes per second that one rank sends; default: measured in this launch")
        .positive();
  }
};

/// One rank's step of `micro_batches`, alone.
StepParts measure_parts(Backend& backend, RunConfig config, int64_t micro_batches, int64_t steps) {
  config.train.global_batch_size = config.train.micro_batch_size * micro_batches;
  config.ddp.use_distributed_optimizer = config.optimizer.use_distributed_optimizer = false;
  TimingBackend timing(backend);
  timing.set_enabled(false);
  SingleWorld alone;
  const PrecisionPolicy policy = training_policy(config, backend);
  RandomStep runner(timing, alone, config, policy, check_memory(config, policy, backend, 1));
  for (int i = 0; i < 2; ++i) runner.run();
  std::vector<double> times;
  for (int64_t i = 0; i < steps; ++i) {
    const auto start = Clock::now();
    runner.run();
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  timing.set_enabled(true);
  runner.run();
  StepParts parts{.micro_batches = micro_batches};
  for (const OpEvent& e : timing.events())
    if (e.name == "adamw" || e.name == "grad_norm") parts.optimizer_s += e.seconds;
  parts.micro_batch_s = std::max(median(times) - parts.optimizer_s, 0.0) / static_cast<double>(micro_batches);
  return parts;
}

LinkModel measure_link(Backend& backend, World& world, const ScalingBenchOptions& o) {
  LinkModel link{.latency_s = o.latency_us * 1e-6, .bytes_per_s = o.bandwidth_gbs * 1e9};
  if (o.latency_us >= 0 && o.bandwidth_gbs > 0) return link;
  if (world.ranks() == 1)
    throw InputError(
        "bench scaling needs to know the links between ranks: start it under mpirun or srun, where it measures them, or give "
        "--latency-us and --bandwidth-gbs (bytes a second that one rank sends, in 10^9)");
  const std::unique_ptr<Collectives> collectives = backend.connect(world);
  const double small = seconds_of(backend, world, *collectives, Collective::reduce_scatter, kSmall);
  const double large = seconds_of(backend, world, *collectives, Collective::reduce_scatter, kLarge);
  const LinkModel measured = fit_link(kSmall, small, kLarge, large, world.ranks());
  if (o.latency_us < 0) link.latency_s = measured.latency_s;
  if (o.bandwidth_gbs <= 0) link.bytes_per_s = measured.bytes_per_s;
  return link;
}

struct Figures {
  StepParts parts;
  LinkModel link;
  ExchangePlan exchange;
  std::vector<ScaledStep> rows;
};

Figures figures(Backend& backend, World& world, const RunConfig& config, const ScalingBenchOptions& o) {
  Figures f;
  const int64_t micro_batches = config.train.global_batch_size / (config.train.micro_batch_size * world.ranks());
  f.parts = measure_parts(backend, config, micro_batches, o.steps);
  f.link = measure_link(backend, world, o);
  const PrecisionPolicy policy = training_policy(config, backend);
  const OverlapChoice overlap{config.ddp.overlap_grad_reduce, config.ddp.overlap_param_gather && config.ddp.use_distributed_optimizer,
                              config.ddp.use_distributed_optimizer};
  for (const int64_t ranks : kRanks) {
    const Sharding sharding = sharding_of(config.ddp, 0, static_cast<int>(ranks));
    const WeightsPlan weights = plan_weights(config.model, policy, true, transposed_query(backend), {}, sharding);
    const ExchangePlan exchange = plan_exchange(weights, policy);
    if (f.rows.empty()) f.exchange = exchange;  // later ones are padded a little more
    f.rows.push_back(model_step(f.parts, exchange, f.link, overlap, ranks));
  }
  return f;
}

void print_table(const RunConfig& config, const Figures& f) {
  const double tokens = static_cast<double>(f.parts.micro_batches * config.train.micro_batch_size * config.model.seq_length);
  std::printf("MODEL, not a measurement: %s, every rank with %lld micro-batches of %lld x %lld tokens\n",
              config.mixed_precision.name.c_str(), static_cast<long long>(f.parts.micro_batches),
              static_cast<long long>(config.train.micro_batch_size), static_cast<long long>(config.model.seq_length));
  std::printf("  from a micro-batch of %.2f ms and an optimizer step of %.2f ms, measured here on one rank;\n", f.parts.micro_batch_s * 1e3,
              f.parts.optimizer_s * 1e3);
  std::printf("  from links with %.1f us and %.2f GB/s a rank; %s of gradients and %s of parameters a step\n", f.link.latency_s * 1e6,
              f.link.bytes_per_s * 1e-9, human_bytes(f.exchange.reduce_scatter_bytes).c_str(),
              human_bytes(f.exchange.all_gather_bytes).c_str());
  std::printf("  not modeled: stragglers, link contention, memory traffic of the exchange during compute\n");
  TextTable table("rrrrrr");
  table.add({"ranks", "step ms", "exchange ms", "waited ms", "tokens/s", "efficiency"});
  for (const ScaledStep& s : f.rows)
    table.add({std::to_string(s.ranks), formatted("%.2f", s.seconds * 1e3), formatted("%.2f", s.exchange_s * 1e3),
               formatted("%.2f", s.waiting_s * 1e3), with_commas(static_cast<int64_t>(tokens * static_cast<double>(s.ranks) / s.seconds)),
               formatted("%.3f", s.efficiency)});
  std::printf("%s", table.str().c_str());
}

void print_json(const RunConfig& config, const Figures& f) {
  nlohmann::ordered_json j = {{"is_model", true},
                              {"recipe", config.mixed_precision.name},
                              {"micro_batch_ms", f.parts.micro_batch_s * 1e3},
                              {"micro_batches", f.parts.micro_batches},
                              {"optimizer_ms", f.parts.optimizer_s * 1e3},
                              {"latency_us", f.link.latency_s * 1e6},
                              {"bandwidth_gb_s", f.link.bytes_per_s * 1e-9},
                              {"rows", nlohmann::ordered_json::array()}};
  for (const ScaledStep& s : f.rows)
    j["rows"].push_back({{"ranks", s.ranks},
                         {"step_ms", s.seconds * 1e3},
                         {"exchange_ms", s.exchange_s * 1e3},
                         {"waited_ms", s.waiting_s * 1e3},
                         {"efficiency", s.efficiency}});
  std::printf("%s\n", json_text(j, {.indent = 2}).c_str());
}

int scaling_bench(World& world, ScalingBenchOptions& o, const std::vector<std::string>& args) {
  RunConfig config;
  agree(world, [&] { config = resolve_loading(o.options.parse_with_config(args), world.ranks()).config; });
  config.validation.skip_train = false;
  const std::unique_ptr<Backend> backend = make_backend_of_rank(world, name_of(config.train.device), config.train.num_threads);
  const Figures f = figures(*backend, world, config, o);
  if (!world.is_first()) return 0;
  o.as_json ? print_json(config, f) : print_table(config, f);
  return 0;
}

}  // namespace

int bench_scaling(const std::vector<std::string>& args) {
  ScalingBenchOptions o;
  o.options.answer_help(args);
  return run_on_ranks("bench scaling", [&](World& world) { return scaling_bench(world, o, args); });
}

}  // namespace mbt
