// mbtrain doctor: what this machine and this build offer, and which recipes run natively on which device. Works without a GPU.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/text_table.h"
#include "core/config/command_line.h"
#include "core/recipe/library.h"
#include "core/recipe/resolve.h"
#include "core/train/plan_precision.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

using Json = nlohmann::ordered_json;

struct Device {
  std::string name;                  ///< "cpu", "cuda"
  std::unique_ptr<Backend> backend;  ///< null: `problem` says why
  std::string problem;
};

Device open_device(const std::string& name) {
  try {
    return {name, make_backend(name), ""};
  } catch (const Error& e) {
    return {name, nullptr, e.what()};
  }
}

/// How a recipe's products run on a device, those of its quantised layers where it has any: the worst, and what is said about it.
struct Verdict {
  Execution execution = Execution::native;
  std::string how;
};

Verdict judge(const Backend& backend, const std::string& recipe) {
  // Enough layers for every recipe to quantise one: nemotron_3_super keeps the last 14 in 16 bits.
  const ResolvedRun run = resolve_run(parse_config_arguments({"--mixed-precision", recipe, "model.num_layers=32"}));
  const std::vector<LayerRangePlan> ranges = plan_precision(make_policy(run.config.model, run.config.ddp), queries_of(backend).support);
  const bool has_quantised = std::any_of(ranges.begin(), ranges.end(), [](const LayerRangePlan& r) { return r.is_quantised; });
  Verdict verdict;
  for (const LayerRangePlan& range : ranges) {
    if (range.is_quantised != has_quantised) continue;
    for (const GemmPlan& g : range.gemms)
      if (verdict.how.empty() || g.support.execution > verdict.execution) verdict = {g.support.execution, g.support.how};
  }
  return verdict;
}

const char* word_of(Execution e) { return e == Execution::native ? "native" : e == Execution::emulated ? "emulated" : "unsupported"; }

Json to_json(const std::vector<Device>& devices, const RecipeLibrary& library) {
  Json out = {{"version", MBT_VERSION}, {"devices", Json::object()}, {"recipes", Json::object()}};
  for (const Device& d : devices) {
    Json& device = out["devices"][d.name];
    device["usable"] = d.backend != nullptr;
    if (!d.backend) device["problem"] = d.problem;
    if (d.backend)
      for (const auto& [what, value] : d.backend->facts()) device["facts"][what] = value;
  }
  for (const Recipe& r : library.all()) {
    for (const Device& d : devices) {
      if (!d.backend) continue;
      const Verdict v = judge(*d.backend, r.name);
      out["recipes"][r.name][d.name] = {{"execution", word_of(v.execution)}, {"how", v.how}};
    }
    out["recipes"][r.name]["native_on"] = r.native_on;
  }
  return out;
}

void print(const std::vector<Device>& devices, const RecipeLibrary& library) {
  std::cout << "mbtrain " << MBT_VERSION << "\n";
  for (const Device& d : devices) {
    std::cout << "\n" << (d.name == "cuda" ? "GPU (cuda)" : "CPU (cpu)") << "\n";
    if (!d.backend) {
      std::cout << "  not usable: " << d.problem << "\n";
      continue;
    }
    TextTable facts("ll");
    for (const auto& [what, value] : d.backend->facts()) facts.add({what, value});
    std::cout << facts.str();
  }
  std::cout << "\nRecipes\n";
  for (const Device& d : devices) {
    if (!d.backend) continue;
    TextTable table("lll");
    table.add({"recipe", "on " + d.name, "how its products run"});
    for (const Recipe& r : library.all()) {
      const Verdict v = judge(*d.backend, r.name);
      table.add({r.name, word_of(v.execution), v.how});
    }
    std::cout << table.str() << "\n";
  }
  TextTable native("ll");
  native.add({"recipe", "native on these NVIDIA GPUs"});
  for (const Recipe& r : library.all())
    if (!r.native_on.empty()) native.add({r.name, r.native_on});
  std::cout << native.str();
}

}  // namespace

int cmd_doctor(const std::vector<std::string>& args) {
  CLI::App app("Show what this machine and this build offer: devices, libraries, and how each recipe would run", "mbtrain doctor");
  bool as_json = false;
  app.add_flag("--json", as_json, "Print one JSON object");
  parse_args(app, args);
  std::vector<Device> devices;
  for (const char* name : {"cpu", "cuda"}) devices.push_back(open_device(name));
  const RecipeLibrary library = RecipeLibrary::load();
  if (as_json) std::cout << to_json(devices, library).dump(2) << "\n";
  else print(devices, library);
  return 0;
}

}  // namespace mbt
