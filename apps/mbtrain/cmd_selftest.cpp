// mbtrain selftest: each path of this device against a plain reference, a line a check.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/proof.h"
#include "apps/mbtrain/ranks.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/comm/gather.h"
#include "core/recipe/library.h"
#include "core/selftest/checks.h"
#include "core/selftest/exchanges.h"

namespace mbt {
namespace {

using selftest::Check;
using selftest::CheckResult;
using selftest::Checks;

struct SelftestOptions {
  std::string device = "auto", recipe;
  bool as_json = false, lists = false;
};

SelftestOptions parse_selftest(const std::vector<std::string>& args) {
  SelftestOptions o;
  VerbOptions options("Prove on this machine that each path computes what it must, against plain references", "mbtrain selftest");
  options.add_option("--device", o.device, "auto, cpu or cuda").one_of({"auto", "cpu", "cuda"}).with_default_shown();
  options.add_option("--recipe", o.recipe, "Only what a run with this recipe needs");
  options.add_flag("--json", o.as_json, "Print one JSON object");
  options.add_flag("--list", o.lists, "Name the checks without running them");
  options.parse(args);
  if (!o.recipe.empty()) RecipeLibrary::load().get_or_read(o.recipe);  // an unknown one is an error before anything runs
  return o;
}

Checks wanted_checks(const SelftestOptions& o) { return o.recipe.empty() ? selftest::all_checks() : selftest::checks_for_recipe(o.recipe); }

/// Of all ranks the result that is furthest off, with the rank's number.
CheckResult worst_of_ranks(World& world, CheckResult mine) {
  struct Numbers {
    double difference, allowed, ratio, seconds;
    bool has_passed;
  };
  if (world.ranks() == 1) return mine;
  const selftest::Outcome& o = mine.outcome;
  const std::vector<Numbers> all = gather_values(world, Numbers{o.difference, o.allowed, o.ratio(), mine.seconds, mine.has_passed()});
  const auto worse = [](const Numbers& a, const Numbers& b) {
    return std::pair(!a.has_passed, a.ratio) < std::pair(!b.has_passed, b.ratio);
  };
  const auto at = static_cast<int>(std::max_element(all.begin(), all.end(), worse) - all.begin());
  const Numbers& worst = all[static_cast<size_t>(at)];
  mine.error = broadcast_text(world, mine.error, at);
  mine.outcome = {worst.difference, worst.allowed, broadcast_text(world, o.unit, at), broadcast_text(world, o.note, at)};
  if (!worst.has_passed) (mine.error.empty() ? mine.outcome.note : mine.error) += fmt::format(" (rank {})", at);
  return mine;
}

std::string result_line(const CheckResult& r) {
  const std::string verdict = r.has_passed() ? "ok" : "FAILED";
  if (!r.error.empty()) return fmt::format("{:6} {}: {}: {}", verdict, r.name, r.compared, r.error);
  const selftest::Outcome& o = r.outcome;
  std::string line = fmt::format("{:6} {}: {}: {:.3g}, allowed {:.3g} ({})", verdict, r.name, r.compared, o.difference, o.allowed, o.unit);
  const bool is_refused = o.note.rfind("this device takes no", 0) == 0;
  if (!o.note.empty() && (!r.has_passed() || is_refused)) line += "; " + o.note;
  return line;
}

nlohmann::ordered_json check_to_json(const CheckResult& r) {
  nlohmann::ordered_json j = {
      {"name", r.name},         {"passed", r.has_passed()}, {"difference", r.outcome.difference}, {"allowed", r.outcome.allowed},
      {"unit", r.outcome.unit}, {"compared", r.compared},   {"allowance", r.allowance},           {"way_around", r.way_around},
      {"seconds", r.seconds}};
  if (!r.outcome.note.empty()) j["note"] = r.outcome.note;
  if (!r.error.empty()) j["error"] = r.error;
  return j;
}

int list_checks(const World& world, const SelftestOptions& o) {
  if (!world.is_first()) return 0;
  nlohmann::ordered_json j = {{"checks", nlohmann::ordered_json::array()}};
  for (const Check& c : wanted_checks(o)) {
    if (o.as_json) j["checks"].push_back({{"name", c.name}, {"compared", c.compared}, {"allowance", c.allowance}});
    else std::printf("%s: %s; allowed: %s\n", c.name.c_str(), c.compared.c_str(), c.allowance.c_str());
  }
  if (o.as_json) std::printf("%s\n", json_text(j, {.indent = 2}).c_str());
  return 0;
}

void print_selftest_summary(const World& world, const Backend& backend, const std::vector<CheckResult>& results, double seconds) {
  const auto failed = std::count_if(results.begin(), results.end(), [](const CheckResult& r) { return !r.has_passed(); });
  const std::string where = fmt::format("{}{}", backend.identity(), world.ranks() > 1 ? fmt::format(", {} ranks", world.ranks()) : "");
  if (failed == 0) return static_cast<void>(std::printf("%zu checks passed on %s, %.1f s\n", results.size(), where.c_str(), seconds));
  std::printf("%td of %zu checks FAILED on %s, %.1f s\n", failed, results.size(), where.c_str(), seconds);
  for (const CheckResult& r : results)
    if (!r.has_passed()) std::printf("  %s; a way around: %s\n", r.name.c_str(), r.way_around.c_str());
}

void print_selftest_json(const World& world, const Backend& backend, const std::vector<CheckResult>& results, double seconds) {
  nlohmann::ordered_json j = {{"device", backend.name()}, {"identity", backend.identity()},
                              {"ranks", world.ranks()},   {"passed", selftest::all_passed(results)},
                              {"seconds", seconds},       {"checks", nlohmann::ordered_json::array()}};
  for (const CheckResult& r : results) j["checks"].push_back(check_to_json(r));
  std::printf("%s\n", json_text(j, {.indent = 2, .replaces_invalid = true}).c_str());
}

int run_selftest(World& world, const std::vector<std::string>& args) {
  SelftestOptions o;
  agree(world, [&] { o = parse_selftest(args); });
  if (o.lists) return list_checks(world, o);
  const std::unique_ptr<Backend> backend = make_backend_of_rank(world, o.device, 0);
  const auto start = std::chrono::steady_clock::now();
  const bool prints_lines = world.is_first() && !o.as_json;
  std::vector<CheckResult> results;
  const auto run_all = [&](const Checks& checks) {
    for (const Check& c : checks) {
      results.push_back(worst_of_ranks(world, selftest::run_check(c, *backend)));
      if (prints_lines) std::printf("%s\n", result_line(results.back()).c_str());
    }
  };
  run_all(wanted_checks(o));
  if (world.is_first()) open_proofs(*backend).remember(results);  // not collectives, which depend on who else runs
  if (world.ranks() > 1) {
    const std::unique_ptr<Collectives> collectives = backend->connect(world);
    run_all(selftest::exchange_checks(*collectives));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (world.is_first())
    o.as_json ? print_selftest_json(world, *backend, results, seconds) : print_selftest_summary(world, *backend, results, seconds);
  return selftest::all_passed(results) ? 0 : 1;
}

}  // namespace

int cmd_selftest(const std::vector<std::string>& args) {
  return run_on_ranks("selftest", [&](World& world) { return run_selftest(world, args); });
}

}  // namespace mbt
