#include "apps/mbtrain/ranks.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/program.h"
#include "apps/mbtrain/verb_help.h"
#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/xxhash.h"
#include "core/comm/gather.h"
#include "core/config/config_json.h"
#include "core/io/files.h"
#include "kernels/gpus.h"
#include "kernels/kernels.h"
#include "kernels/launch.h"

namespace mbt {
namespace {

constexpr size_t kShownDifferences = 5;

/// Every process of a launch fails alike where there is no world yet; one of them says why.
std::unique_ptr<World> world_or_exit() {
  try {
    return make_world();
  } catch (const std::exception& e) {
    if (launched_as().rank == 0) throw;
    std::exit(2);
  }
}

/// For an error that the other ranks do not know of.
[[noreturn]] void end_all_ranks(World& world, const std::exception& error) {
  const int code = exit_code_of(error);
  std::cerr << error_line(error, world.place().str() + ": ") << std::flush;
  world.abort(code);
  std::_Exit(code);  // g++ forgets that a virtual function does not return
}

int run_body(World& world, const std::function<int(World&)>& body) {
  try {
    return body(world);
  } catch (const HelpRequest&) {  // every rank was asked
    if (world.is_first()) throw;
    return 0;
  } catch (const AgreedError& e) {
    if (world.is_first()) std::cerr << error_line(e);
    return e.exit_code;
  } catch (const std::exception& e) {
    end_all_ranks(world, e);
  }
}

/// The values of two JSON objects that differ, as "train.lr: 1 on rank 0, 2 on rank 3".
std::string differences(const std::string& first, const std::string& other, size_t rank) {
  const nlohmann::json a = parse_json(first).flatten(), b = parse_json(other).flatten();
  std::string found;
  size_t count = 0;
  for (const auto& [path, value] : a.items()) {
    const nlohmann::json there = b.contains(path) ? b[path] : nlohmann::json();
    if (there == value || ++count > kShownDifferences) continue;
    std::string name = path.substr(1);
    std::replace(name.begin(), name.end(), '/', '.');
    found += fmt::format("\n  {}: {} on rank 0, {} on rank {}", name, json_text(value), json_text(there), rank);
  }
  if (count > kShownDifferences) found += fmt::format("\n  and {} more", count - kShownDifferences);
  return found;
}

}  // namespace

std::string program_name() { return fmt::format("{}, file {}", program_text(), hash_text(digest_of(FileReader("/proc/self/exe")).hash)); }

int run_on_ranks(const std::string& verb, const std::function<int(World& world)>& body) {
  const std::unique_ptr<World> world = world_or_exit();
  if (world->ranks() == 1) return body(*world);
  if (!world->is_first()) set_log_level("error");
  return run_body(*world, [&](World& w) {
    const std::vector<std::string> verbs = gather_texts(w, verb);  // exchanges of two verbs would wait for each other
    for (size_t r = 1; r < verbs.size(); ++r)
      if (verbs[r] != verbs[0])
        throw AgreedError(
            fmt::format("rank 0 was started as mbtrain {}, rank {} as mbtrain {}; start all with one command", verbs[0], r, verbs[r]), 2);
    return body(w);
  });
}

void require_same_run(World& world, const RunConfig& config, const Dataset& dataset) {
  if (world.ranks() == 1) return;
  const nlohmann::json mine = {
      {"program", program_name()}, {"config", to_json(config)}, {"data", {{"what", dataset.describe()}, {"hash", dataset.fingerprint()}}}};
  const std::vector<std::string> all = gather_texts(world, json_text(mine));
  std::string found;
  for (size_t r = 1; r < all.size() && found.empty(); ++r)
    if (all[r] != all[0]) found = differences(all[0], all[r], r);
  if (found.empty()) return;
  throw AgreedError(
      fmt::format("the ranks do not agree on the run:{}\nStart all of them with the same program, the same config and the same data",
                  found),
      2);
}

int threads_of_rank(World& world, int64_t wanted) {
  if (wanted > 0 || world.ranks() == 1 || std::getenv("OMP_NUM_THREADS") != nullptr) return static_cast<int>(wanted);
  struct Cores {
    cpu_set_t set;
    char host[64];
  };
  Cores mine{};
  sched_getaffinity(0, sizeof mine.set, &mine.set);
  std::strncpy(mine.host, world.place().host.c_str(), sizeof mine.host - 1);
  const std::vector<Cores> all = gather_values(world, mine);
  const auto sharing = std::count_if(all.begin(), all.end(), [&](const Cores& c) {
    cpu_set_t common;
    CPU_AND(&common, &c.set, &mine.set);
    return std::strcmp(c.host, mine.host) == 0 && CPU_COUNT(&common) > 0;
  });
  return std::max(1, CPU_COUNT(&mine.set) / static_cast<int>(sharing));
}

int gpu_of_rank(World& world, const std::string& device) {
  if (world.ranks() == 1 || device == "cpu") return 0;
  const RankPlace& place = world.place();
  int gpu = 0;
  std::string uuid;
  agree(world, [&] {
    const GpuProbe gpus = probe_gpus();
    if (gpus.devices.empty() || !cuda_build().is_built_in) return;  // make_backend says what that means
    const auto count = static_cast<int>(gpus.devices.size());
    gpu = count == 1 ? 0 : place.local_rank;  // one alone: the launcher shows each rank its own, or they share it
    if (gpu >= count)
      throw InputError(fmt::format("{} has {} GPUs and {} ranks; start at most one rank a GPU", place.host, count, place.local_ranks));
    uuid = gpus.devices[static_cast<size_t>(gpu)].uuid;
  });
  const std::vector<std::string> uuids = gather_texts(world, uuid), hosts = gather_texts(world, place.host);
  for (size_t a = 0; a < uuids.size(); ++a)
    for (size_t b = 0; b < a; ++b)
      if (!uuids[a].empty() && uuids[a] == uuids[b] && hosts[a] == hosts[b])
        throw AgreedError(
            fmt::format("ranks {} and {} on {} would share one GPU ({}); start at most one rank a GPU", b, a, hosts[a], uuids[a]), 2);
  return gpu;
}

std::unique_ptr<Backend> make_backend_of_rank(World& world, const std::string& device, int64_t num_threads) {
  const int threads = threads_of_rank(world, num_threads), gpu = gpu_of_rank(world, device);
  std::unique_ptr<Backend> backend;
  agree(world, [&] { backend = make_backend(device, threads, gpu); });
  return backend;
}

}  // namespace mbt
