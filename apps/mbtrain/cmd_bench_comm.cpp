// mbtrain bench comm: collectives between the ranks of this launch.
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
#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/comm/gather.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kEnough = 0.1;  // seconds of calls

double slowest(World& world, double mine) {
  const std::vector<double> all = gather_values(world, mine);
  return *std::max_element(all.begin(), all.end());
}

/// `calls` calls after a common start.
double seconds_of_calls(Backend& backend, World& world, Collectives& collectives, const std::function<Collectives::Ticket()>& call,
                        int64_t calls) {
  backend.synchronize();
  world.barrier();
  const auto start = Clock::now();
  Collectives::Ticket last = 0;
  for (int64_t i = 0; i < calls; ++i) last = call();
  collectives.wait(last);
  backend.synchronize();
  return slowest(world, std::chrono::duration<double>(Clock::now() - start).count());
}

struct CommBenchRow {
  const char* name;
  int64_t bytes;
  double seconds;
  double bandwidth;  // bytes of the tensor a second
  double bus;        // what a rank's link carries a second
};

const char* name_of(Collective c) {
  return c == Collective::reduce_scatter ? "reduce-scatter" : c == Collective::all_gather ? "all-gather" : "all-reduce (small)";
}

std::vector<CommBenchRow> measure(Backend& backend, World& world, Collectives& collectives, int64_t max_bytes) {
  std::vector<CommBenchRow> rows;
  const double n = world.ranks();
  for (const Collective what : {Collective::reduce_scatter, Collective::all_gather, Collective::all_reduce})
    for (int64_t bytes = 1 << 10; bytes <= max_bytes; bytes *= 8) {
      if (what == Collective::all_reduce && bytes > 1 << 16) break;  // it is for scalars and amaxes
      const double s = seconds_of(backend, world, collectives, what, bytes);
      const double bandwidth = static_cast<double>(bytes) / s;
      rows.push_back({name_of(what), bytes, s, bandwidth, bandwidth * (what == Collective::all_reduce ? 2 : 1) * (n - 1) / n});
    }
  return rows;
}

void print_table(const World& world, const Collectives& collectives, const std::vector<CommBenchRow>& rows) {
  std::printf("%d ranks over %s, fp32; bytes: whole tensor; bus: rate at which one rank sends (and receives)\n", world.ranks(),
              collectives.name().c_str());
  TextTable table("lrrrr");
  table.add({"collective", "bytes", "us", "GB/s", "bus GB/s"});
  for (const CommBenchRow& r : rows)
    table.add({r.name, human_bytes(r.bytes), formatted("%.1f", r.seconds * 1e6), formatted("%.2f", r.bandwidth * 1e-9),
               formatted("%.2f", r.bus * 1e-9)});
  std::printf("%s", table.str().c_str());
}

void print_json(const World& world, const Collectives& collectives, const std::vector<CommBenchRow>& rows) {
  nlohmann::ordered_json j = {{"ranks", world.ranks()}, {"transport", collectives.name()}, {"rows", nlohmann::ordered_json::array()}};
  for (const CommBenchRow& r : rows)
    j["rows"].push_back(
        {{"collective", r.name}, {"bytes", r.bytes}, {"us", r.seconds * 1e6}, {"gb_s", r.bandwidth * 1e-9}, {"bus_gb_s", r.bus * 1e-9}});
  std::printf("%s\n", json_text(j, {.indent = 2}).c_str());
}

struct CommBenchOptions {
  VerbOptions options{"Time collectives between the ranks of this launch (mpirun -np N mbtrain bench comm)", "mbtrain bench comm"};
  bool as_json = false;
  int64_t max_bytes = 64 << 20;
  std::string device = "auto";

  CommBenchOptions() {
    options.add_flag("--json", as_json, "Print JSON");
    options.add_option("--max-bytes", max_bytes, "Largest tensor").range(int64_t{1} << 10, int64_t{1} << 34);
    options.add_option("--device", device, "Where to compute").one_of({"auto", "cpu", "cuda"});
  }
};

int comm_bench(World& world, CommBenchOptions& o, const std::vector<std::string>& args) {
  const auto setup = [&] { o.options.parse(args); };
  agree(world, setup);
  if (world.ranks() == 1)
    throw InputError("bench comm times the exchange between ranks, but there is only one rank; start it with mpirun -np N or srun");
  const std::unique_ptr<Backend> backend = make_backend_of_rank(world, o.device, 0);
  const std::unique_ptr<Collectives> collectives = backend->connect(world);
  const std::vector<CommBenchRow> rows = measure(*backend, world, *collectives, o.max_bytes);
  if (!world.is_first()) return 0;
  o.as_json ? print_json(world, *collectives, rows) : print_table(world, *collectives, rows);
  return 0;
}

}  // namespace

double seconds_of(Backend& backend, World& world, Collectives& collectives, Collective what, int64_t bytes) {
  const int64_t ranks = world.ranks(), piece = std::max<int64_t>(bytes / 4 / ranks, 1);
  const BenchTensor whole(backend, DType::f32, {piece * ranks});
  const TensorView own = whole.view().element_range(world.rank() * piece, piece);
  const auto call = [&] {
    switch (what) {
      case Collective::reduce_scatter: return collectives.reduce_scatter({.in = whole, .out = own});
      case Collective::all_gather: return collectives.all_gather({.in = own, .out = whole});
      case Collective::all_reduce: break;
    }
    return collectives.all_reduce({.t = whole});
  };
  const double first = seconds_of_calls(backend, world, collectives, call, 2) / 2;
  const auto calls = static_cast<int64_t>(std::clamp(kEnough / first, 3.0, 1000.0));  // the same on every rank: `first` is the slowest's
  return seconds_of_calls(backend, world, collectives, call, calls) / static_cast<double>(calls);
}

int bench_comm(const std::vector<std::string>& args) {
  CommBenchOptions o;
  o.options.answer_help(args, false);
  return run_on_ranks("bench comm", [&](World& world) { return comm_bench(world, o, args); });
}

}  // namespace mbt
