// mbtrain bench step: one training step by part, against the same step's matrix products alone and the machine's peak.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/bench_tools.h"
#include "apps/mbtrain/cmd_bench.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/ranks.h"
#include "apps/mbtrain/verb_options.h"
#include "core/backend/timing_backend.h"
#include "core/base/json_text.h"
#include "core/comm/gather.h"
#include "core/model/flops.h"
#include "core/train/plan/plan_memory.h"
#include "core/train/random_step.h"
#include "core/train/resolve_loading.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUpSteps = 2;  // with one micro-batch a step: the one that runs op by op, and the one that is recorded

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// FLOP/s of a square product in the activation dtype, large enough to fill the device.
double measured_peak(Backend& backend, DType act) {
  const int64_t n = backend.name() == "cuda" ? 8192 : 2048;
  const BenchTensor a = random_tensor(backend, act, {n, n}), b = random_tensor(backend, act, {n, n}), d(backend, act, {n, n});
  const GemmArgs product{.role = GemmRole::fprop, .a = a.view(), .b = b.view(), .d = d.view()};
  const double cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  return 2.0 * cube / seconds_per_call(backend, [&] { backend.gemm(product); });
}

struct StepTimes {
  double step_s = 0.0, gemm_only_s = 0.0, gemm_flops = 0.0, model_flops = 0.0, peak = 0.0, tokens = 0.0;
  struct Part {
    double seconds = 0.0, flops = 0.0;
    int64_t calls = 0;
  };
  std::map<std::string, Part> parts;
  std::string replay_refusal;

  double share_of_gemm_only() const { return gemm_only_s / step_s; }
};

/// The trainer's look at memory, before anything is allocated.
MemoryCheck checked_memory(Backend& backend, const RunConfig& config, const PrecisionPolicy& policy, int ranks) {
  MemoryCheck memory = check_memory(config, policy, backend, ranks);
  if (!memory.warning.empty()) log_warning(memory.warning);
  return memory;
}

/// Whole steps run as the trainer runs them, replayed where train.cuda_graph allows it; the parts are those of a step that runs op by op.
StepTimes measure(Backend& backend, World& world, const RunConfig& config, int64_t steps) {
  TimingBackend timing(backend);
  timing.set_enabled(false);
  const PrecisionPolicy policy = training_policy(config, backend);
  RandomStep runner(timing, world, config, policy, checked_memory(backend, config, policy, world.ranks()));
  StepTimes t;
  t.tokens = static_cast<double>(config.train.global_batch_size * config.model.seq_length);
  t.model_flops = t.tokens * flops_per_token(config.model);
  for (int i = 0; i < kWarmUpSteps; ++i) runner.run();
  std::vector<double> times;
  for (int64_t i = 0; i < steps; ++i) {
    const auto start = Clock::now();
    runner.run();
    times.push_back(seconds_since(start));
  }
  t.step_s = median(times);
  t.replay_refusal = runner.replay_refusal();
  timing.clear();
  timing.set_enabled(true);
  runner.run();
  timing.set_enabled(false);
  for (const OpEvent& e : timing.events()) {
    StepTimes::Part& p = t.parts[e.name];
    p.seconds += e.seconds, p.flops += e.flops, p.calls += 1;
    t.gemm_flops += e.flops;
  }
  std::vector<double> gemm_only;
  for (int64_t i = 0; i < std::max<int64_t>(steps / 2, 2); ++i) {
    const auto start = Clock::now();
    for (const GemmArgs& g : timing.gemms()) backend.gemm(g);
    backend.synchronize();
    gemm_only.push_back(seconds_since(start));
  }
  t.gemm_only_s = median(gemm_only);
  t.peak = measured_peak(backend, policy.act);
  return t;
}

void print_table(const World& world, const RunConfig& config, const StepTimes& t) {
  std::printf("%s, %d rank%s, %lld x %lld tokens a step\n", config.mixed_precision.name.c_str(), world.ranks(),
              world.ranks() == 1 ? "" : "s", static_cast<long long>(config.train.global_batch_size),
              static_cast<long long>(config.model.seq_length));
  std::printf("  step                  %10.1f ms   %8.0f tokens/s   %.3f TFLOP/s (model)\n", t.step_s * 1e3, t.tokens / t.step_s,
              t.model_flops / t.step_s * 1e-12);
  if (!t.replay_refusal.empty()) std::printf("  %s\n", t.replay_refusal.c_str());
  std::printf("  its GEMMs alone       %10.1f ms   %.3f TFLOP/s, %.2f of the peak of %.3f\n", t.gemm_only_s * 1e3,
              t.gemm_flops / t.gemm_only_s * 1e-12, t.gemm_flops / t.gemm_only_s / t.peak, t.peak * 1e-12);
  std::printf("  GEMM-only time / step %10.2f\n\n", t.share_of_gemm_only());
  std::vector<std::pair<std::string, StepTimes::Part>> rows(t.parts.begin(), t.parts.end());
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0.0;
  for (const auto& [name, p] : rows) total += p.seconds;
  std::printf("  %-24s %8s %10s %7s %9s\n", "part", "calls", "ms", "share", "TFLOP/s");
  for (const auto& [name, p] : rows) {
    std::printf("  %-24s %8lld %10.2f %6.1f%%", name.c_str(), static_cast<long long>(p.calls), p.seconds * 1e3, 100.0 * p.seconds / total);
    if (p.flops > 0.0) std::printf(" %9.3f", p.flops / p.seconds * 1e-12);
    std::printf("\n");
  }
}

nlohmann::ordered_json to_json(const Backend& backend, const World& world, const RunConfig& config, const StepTimes& t) {
  nlohmann::ordered_json j = {{"recipe", config.mixed_precision.name},
                              {"ranks", world.ranks()},
                              {"tokens", t.tokens},
                              {"step_ms", t.step_s * 1e3},
                              {"tokens_per_second", t.tokens / t.step_s},
                              {"model_tflops", t.model_flops / t.step_s * 1e-12},
                              {"gemm_only_ms", t.gemm_only_s * 1e3},
                              {"gemm_tflops", t.gemm_flops / t.gemm_only_s * 1e-12},
                              {"peak_tflops", t.peak * 1e-12},
                              {"gemm_only_over_step", t.share_of_gemm_only()},
                              {"cuda_graph", config.train.cuda_graph},
                              {"replay_refusal", t.replay_refusal}};
  for (const auto& [what, value] : backend.facts()) j["facts"][what] = value;
  for (const auto& [name, p] : t.parts) j["parts"][name] = {{"calls", p.calls}, {"ms", p.seconds * 1e3}, {"flops", p.flops}};
  return j;
}

struct StepBenchOptions {
  VerbOptions options{"Time a training step of the configured model on random tokens: by part, and against its matrix products alone",
                      "mbtrain bench step"};
  bool as_json = false;
  int64_t steps = 5;

  StepBenchOptions() {
    options.add_flag("--json", as_json, "Print JSON");
    options.add_option("--steps", steps, "Steps to time; the median counts").range(1, 10000);
  }
};

int step_bench(World& world, StepBenchOptions& o, const std::vector<std::string>& args) {
  RunConfig config;
  agree(world, [&] { config = resolve_loading(o.options.parse_with_config(args), world.ranks()).config; });
  config.validation.skip_train = false;  // it trains, whatever a run of this config would do
  const std::unique_ptr<Backend> backend = make_backend_of_rank(world, name_of(config.train.device), config.train.num_threads);
  const StepTimes times = measure(*backend, world, config, o.steps);
  if (!world.is_first()) return 0;
  if (o.as_json) std::printf("%s\n", json_text(to_json(*backend, world, config, times), {.indent = 2}).c_str());
  else print_table(world, config, times);
  return 0;
}

}  // namespace

int bench_step(const std::vector<std::string>& args) {
  StepBenchOptions o;
  o.options.answer_help(args);
  return run_on_ranks("bench step", [&](World& world) { return step_bench(world, o, args); });
}

}  // namespace mbt
