#include "core/selftest/proofs.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/io/files.h"

namespace mbt::selftest {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "mbtrain selftest 1";
constexpr int64_t kMaxBytes = 16 << 20;
constexpr size_t kMaxDevices = 16;  // each build of the program is one: the oldest go

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{:04}-{:02}-{:02}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

/// The devices of the file; none where there is no file.
Json read_devices(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return Json::object();
  try {
    const Json json = parse_ordered_json(read_text_file(path, kMaxBytes));
    if (json.at("format") != kFormat) throw Error(fmt::format("its format is {}, expected \"{}\"", json_text(json.at("format")), kFormat));
    return json.at("devices");
  } catch (const InputError&) {
    throw;  // it cannot be read, and says so
  } catch (const std::exception& e) {
    throw Error(fmt::format("{}: not a file of self-test results: {}", path, e.what()));
  }
}

/// JSON has no infinity: what is none there was not finite.
double number_of(const Json& json) { return json.is_null() ? double{INFINITY} : json.get<double>(); }

std::string failure_text(const CheckResult& r) {
  const std::string what = !r.error.empty()
                               ? r.error
                               : fmt::format("difference {:.3g}, allowed {:.3g} ({}){}{}", r.outcome.difference, r.outcome.allowed,
                                             r.outcome.unit, r.outcome.note.empty() ? "" : "; ", r.outcome.note);
  return fmt::format("\n  {}: {}: {}\n    way around: {}", r.name, r.compared, what, r.way_around);
}

}  // namespace

Proofs::Proofs(std::string path, std::string device, Warn warn)
    : path_(std::move(path)), device_(std::move(device)), warn_(std::move(warn)) {
  if (path_.empty()) return;
  try {
    const Json devices = read_devices(path_);
    if (!devices.contains(device_)) return;
    for (const auto& [name, j] : devices.at(device_).items())
      mine_[name] = {j.at("passed").get<bool>(), j.at("date").get<std::string>(), number_of(j.at("difference")),
                     number_of(j.at("allowed"))};
  } catch (const std::exception& e) {
    mine_.clear();
    stop_using_file(e.what());
  }
}

std::optional<Proof> Proofs::find(const std::string& check) const {
  const auto found = mine_.find(check);
  return found == mine_.end() ? std::nullopt : std::optional(found->second);
}

void Proofs::remember(const std::vector<CheckResult>& results) {
  const std::string date = today();
  for (const CheckResult& r : results) mine_[r.name] = {r.has_passed(), date, r.outcome.difference, r.outcome.allowed};
  if (path_.empty()) return;
  try {
    write();
  } catch (const std::exception& e) {
    stop_using_file(e.what());
  }
}

void Proofs::write() const {
  if (const auto folder = std::filesystem::path(path_).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
  Json devices = read_devices(path_);
  Json known = devices.contains(device_) ? devices.at(device_) : Json::object();
  for (const auto& [name, p] : mine_)
    known[name] = {{"passed", p.has_passed}, {"date", p.date}, {"difference", p.difference}, {"allowed", p.allowed}};
  devices.erase(device_);
  devices[device_] = known;  // the newest is last
  while (devices.size() > kMaxDevices) devices.erase(devices.begin());
  write_file_atomically(path_, json_text(Json{{"format", kFormat}, {"devices", devices}}, {.indent = 1}) + "\n");
}

void Proofs::stop_using_file(const std::string& reason) {
  warn_(
      fmt::format("results of the self-test are not remembered: {}; delete the file, or name another folder with the environment variable "
                  "MBTRAIN_GEMM_ALGORITHMS (off: none)",
                  reason));
  path_.clear();
}

std::string ProofStatus::str() const {
  if (state == State::failed) return "failed: " + join(failed, ", ");
  return state == State::proven ? fmt::format("proven here ({})", date) : "not yet tried";
}

ProofStatus status_of(const Checks& checks, const Proofs& proofs) {
  ProofStatus status{.state = ProofStatus::State::proven, .date = {}, .failed = {}};
  for (const Check& c : checks) {
    const std::optional<Proof> proof = proofs.find(c.name);
    if (!proof) status.state = ProofStatus::State::untried;
    else if (!proof->has_passed) status.failed.push_back(c.name);
    else if (status.date.empty() || proof->date < status.date) status.date = proof->date;
  }
  if (checks.empty()) status.state = ProofStatus::State::untried;
  if (!status.failed.empty()) status.state = ProofStatus::State::failed;
  return status;
}

size_t require_proof(const Checks& checks, Backend& backend, Proofs& proofs) {
  std::vector<CheckResult> results;
  for (const Check& c : checks) {
    const std::optional<Proof> proof = proofs.find(c.name);
    if (!proof || !proof->has_passed) results.push_back(run_check(c, backend));
  }
  if (results.empty()) return 0;
  proofs.remember(results);
  if (all_passed(results)) return results.size();
  std::string failures;
  for (const CheckResult& r : results)
    if (!r.has_passed()) failures += failure_text(r);
  throw InputError(
      fmt::format("this run would compute wrongly on {}: its self-test failed:{}\n`mbtrain selftest` shows all checks of this device",
                  proofs.device(), failures));
}

}  // namespace mbt::selftest
