// mbtrain doctor: what this machine and this build offer, and which recipes run natively on which device. Works without a GPU.
#include <gnu/libc-version.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/machine.h"
#include "apps/mbtrain/program.h"
#include "apps/mbtrain/proof.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/build_parts.h"
#include "core/base/json_text.h"
#include "core/config/command_line.h"
#include "core/recipe/library.h"
#include "core/recipe/resolve.h"
#include "core/selftest/checks.h"
#include "core/train/plan/plan_precision.h"
#include "kernels/gpus.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

using Json = nlohmann::ordered_json;

struct Device {
  std::string name;                  ///< "cpu", "cuda"
  std::unique_ptr<Backend> backend;  ///< null: `problem` says why
  std::string problem;
  std::optional<selftest::Proofs> proofs = {};  ///< of the self-test, with a backend
};

/// Everything that doctor says.
struct Report {
  std::vector<Device> devices;
  GpuProbe gpus;
  std::vector<MachineLibrary> libraries;
  std::optional<HostMemory> memory;
  RecipeLibrary recipes;
};

Device open_device(const std::string& name) {
  try {
    Device device{name, make_backend(name), ""};
    device.proofs = open_proofs(*device.backend);
    return device;
  } catch (const Error& e) {
    return {name, nullptr, e.what()};
  }
}

/// How a recipe's products run on a device, those of its quantized layers where it has any: the worst, and what is said about it.
struct Verdict {
  Execution execution = Execution::native;
  std::string how;
};

Verdict judge(const Backend& backend, const std::string& recipe) {
  // Enough layers for every recipe to quantize one: nemotron_3_super keeps the last 14 in 16 bits.
  const ResolvedRun run = resolve_run(parse_config_arguments({"--mixed-precision", recipe, "model.num_layers=32"}));
  const std::vector<LayerRangePlan> ranges = plan_precision(make_policy(run.config.model, run.config.ddp), queries_of(backend).support);
  const bool has_quantized = std::any_of(ranges.begin(), ranges.end(), [](const LayerRangePlan& r) { return r.is_quantized; });
  Verdict verdict;
  for (const LayerRangePlan& range : ranges) {
    if (range.is_quantized != has_quantized) continue;
    for (const GemmPlan& g : range.gemms)
      if (verdict.how.empty() || g.support.execution > verdict.execution) verdict = {g.support.execution, g.support.how};
  }
  return verdict;
}

/// What the self-test has found for a recipe on a device.
std::string proven_text(const selftest::Proofs& proofs, const std::string& recipe) {
  return selftest::status_of(selftest::checks_for_recipe(recipe), proofs).str();
}

const char* word_of(Execution e) { return e == Execution::native ? "native" : e == Execution::emulated ? "emulated" : "unsupported"; }

std::string driver_text(const GpuProbe& gpus) {
  if (!gpus.has_driver) return "none: " + gpus.driver_error;
  std::string said = gpus.driver_release.empty() ? "release unknown" : gpus.driver_release;
  said += ", runs CUDA up to " + cuda_version_text(gpus.driver_cuda);
  return gpus.driver_error.empty() ? said : said + "; does not start: " + gpus.driver_error;
}

std::string runtime_text() {
  const CudaBuild build = cuda_build();
  return build.is_built_in ? fmt::format("{}, linked statically", cuda_version_text(build.runtime)) : "not built in";
}

// -- JSON --------------------------------------------------------------------------------------------------------------------------------

Json gpus_to_json(const GpuProbe& gpus) {
  Json driver = {{"is_installed", gpus.has_driver}, {"release", gpus.driver_release}, {"cuda", nullptr}, {"problem", gpus.driver_error}};
  if (gpus.driver_cuda > 0) driver["cuda"] = cuda_version_text(gpus.driver_cuda);
  Json devices = Json::array();
  for (const GpuDevice& g : gpus.devices)
    devices.push_back({{"name", g.name},
                       {"compute_capability", fmt::format("{}.{}", g.major, g.minor)},
                       {"memory_bytes", g.total_bytes},
                       {"uuid", g.uuid}});
  return {{"driver", driver}, {"devices", devices}};
}

Json machine_to_json(const Report& r) {
  Json out = {{"glibc", gnu_get_libc_version()}, {"memory", nullptr}, {"nvidia", gpus_to_json(r.gpus)}, {"libraries", Json::object()}};
  if (r.memory) out["memory"] = {{"total_bytes", r.memory->total}, {"available_bytes", r.memory->available}};
  for (const MachineLibrary& l : r.libraries)
    out["libraries"][l.what] = {{"file", l.file}, {"is_found", l.problem.empty()}, {"version", l.version}, {"problem", l.problem}};
  return out;
}

Json build_to_json() {
  const CudaBuild build = cuda_build();
  Json out = {{"parts", Json::object()}, {"cuda_runtime", nullptr}, {"cuda_architectures", build.architectures}};
  if (build.is_built_in) out["cuda_runtime"] = cuda_version_text(build.runtime);
  for (const BuildPart& p : build_parts()) out["parts"][p.name] = {{"is_built_in", p.is_built_in}, {"said", p.said}};
  return out;
}

Json to_json(const Report& r) {
  Json out = {{"version", program_version()},  {"commit", program_commit()}, {"build", build_to_json()},
              {"machine", machine_to_json(r)}, {"devices", Json::object()},  {"recipes", Json::object()}};
  for (const Device& d : r.devices) {
    Json& device = out["devices"][d.name];
    device["usable"] = d.backend != nullptr;
    if (!d.backend) device["problem"] = d.problem;
    if (d.backend)
      for (const auto& [what, value] : d.backend->facts()) device["facts"][what] = value;
  }
  for (const Recipe& recipe : r.recipes.all()) {
    for (const Device& d : r.devices) {
      if (!d.backend) continue;
      const Verdict v = judge(*d.backend, recipe.name);
      out["recipes"][recipe.name][d.name] = {
          {"execution", word_of(v.execution)}, {"how", v.how}, {"selftest", proven_text(*d.proofs, recipe.name)}};
    }
    out["recipes"][recipe.name]["native_on"] = native_on(recipe.config);
  }
  return out;
}

// -- text --------------------------------------------------------------------------------------------------------------------------------

void print_build() {
  TextTable table("lll");
  for (const BuildPart& p : build_parts()) table.add({p.name, p.is_built_in ? "yes" : "no", p.said});
  std::cout << "\nThis build\n" << table.str();
}

void print_machine(const Report& r) {
  TextTable table("ll");
  table.add({"glibc", gnu_get_libc_version()});
  if (r.memory) table.add({"memory", fmt::format("{} available of {}", human_bytes(r.memory->available), human_bytes(r.memory->total))});
  table.add({"NVIDIA driver", driver_text(r.gpus)});
  for (size_t i = 0; i < r.gpus.devices.size(); ++i) {
    const GpuDevice& g = r.gpus.devices[i];
    const std::string memory = human_bytes(static_cast<int64_t>(g.total_bytes));
    table.add({fmt::format("GPU {}", i), fmt::format("{}, compute capability {}.{}, {}", g.name, g.major, g.minor, memory)});
  }
  table.add({"CUDA runtime", runtime_text()});
  for (const MachineLibrary& l : r.libraries)
    table.add({l.what, l.problem.empty() ? fmt::format("{} ({})", l.version.empty() ? "version unknown" : l.version, l.file) : l.problem});
  std::cout << "\nThis machine\n" << table.str();
}

void print_devices(const Report& r) {
  for (const Device& d : r.devices) {
    std::cout << "\n" << (d.name == "cuda" ? "GPU (cuda)" : "CPU (cpu)") << "\n";
    if (!d.backend) {
      std::cout << "  not usable: " << d.problem << "\n";
      continue;
    }
    TextTable facts("ll");
    for (const auto& [what, value] : d.backend->facts()) facts.add({what, value});
    std::cout << facts.str();
  }
}

void print_recipes(const Report& r) {
  std::cout << "\nRecipes\n";
  for (const Device& d : r.devices) {
    if (!d.backend) continue;
    TextTable table("llll");
    table.add({"recipe", "on " + d.name, "selftest", "how its products run"});
    for (const Recipe& recipe : r.recipes.all()) {
      const Verdict v = judge(*d.backend, recipe.name);
      table.add({recipe.name, word_of(v.execution), proven_text(*d.proofs, recipe.name), v.how});
    }
    std::cout << table.str();
    std::cout << (d.name == "cpu" ? "  Emulated recipes run without any flag.\n\n"
                                  : "  Emulated recipes run only with --emulate-precision.\n\n");
  }
  TextTable native("ll");
  native.add({"recipe", "native on these NVIDIA GPUs"});
  for (const Recipe& recipe : r.recipes.all()) native.add({recipe.name, native_on(recipe.config)});
  std::cout << native.str();
}

}  // namespace

int cmd_doctor(const std::vector<std::string>& args) {
  VerbOptions options("Show what this machine and this build offer: devices, libraries, and how each recipe would run", "mbtrain doctor");
  bool as_json = false;
  options.add_flag("--json", as_json, "Print one JSON object");
  options.parse(args);
  Report report{
      .devices = {}, .gpus = probe_gpus(), .libraries = machine_libraries(), .memory = host_memory(), .recipes = RecipeLibrary::load()};
  for (const char* name : {"cpu", "cuda"}) report.devices.push_back(open_device(name));
  if (as_json) {
    std::cout << json_text(to_json(report), {.indent = 2}) << "\n";
    return 0;
  }
  std::cout << program_text() << "\n";
  print_build();
  print_machine(report);
  print_devices(report);
  print_recipes(report);
  return 0;
}

}  // namespace mbt
