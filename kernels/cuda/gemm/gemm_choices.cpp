#include "kernels/cuda/gemm/gemm_choices.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/error.h"
#include "core/io/files.h"
#include "core/io/remembered.h"

namespace mbt::cuda {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kFormat = "mbtrain gemm algorithms 1";
constexpr int64_t kMaxBytes = 16 << 20;
constexpr int kTries = 500;  // of 10 ms, to lock the file

/// Held while a file is read, merged and replaced. Without it (a file system that has no locks, or a process that was stopped while it held
/// this one) the file is still never half written; two processes at the same moment may then lose a choice, which the next run makes again.
class FileLock {
 public:
  explicit FileLock(const std::string& path) : fd_(open((path + ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644)) {
    for (int i = 0; fd_ >= 0 && i < kTries && flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  int fd_;
};

bool is_hexadecimal(const std::string& s) { return !s.empty() && s.find_first_not_of("0123456789abcdef") == std::string::npos; }

AlgorithmChoice choice_of(const Json& json) {
  AlgorithmChoice c{json.at("algorithm").get<std::string>(), json.at("microseconds").get<double>()};
  if (!is_hexadecimal(c.algorithm)) throw Error("an algorithm is not hexadecimal");
  return c;
}

}  // namespace

std::string gemm_choices_path() { return gemm_algorithms_path(); }

AlgorithmChoices::AlgorithmChoices(std::string path, std::string device, Warn warn)
    : path_(std::move(path)), device_(std::move(device)), warn_(std::move(warn)) {
  if (path_.empty()) return;
  try {
    mine_ = read()[device_];
  } catch (const std::exception& e) {
    stop_using_file(e.what());
  }
}

std::optional<AlgorithmChoice> AlgorithmChoices::find(const std::string& product) const {
  const auto found = mine_.find(product);
  return found == mine_.end() ? std::nullopt : std::optional(found->second);
}

AlgorithmChoice AlgorithmChoices::remember(const std::string& product, const AlgorithmChoice& choice) {
  mine_[product] = choice;
  if (path_.empty()) return choice;
  try {
    write(product);
  } catch (const std::exception& e) {
    stop_using_file(e.what());
  }
  return mine_[product];
}

void AlgorithmChoices::reject(const std::string& product) {
  const auto found = mine_.find(product);
  if (found == mine_.end()) return;
  rejected_[product] = found->second;
  mine_.erase(found);
}

std::string AlgorithmChoices::description() const {
  return path_.empty() ? "chosen anew in each run" : fmt::format("{} remembered in {}", mine_.size(), path_);
}

AlgorithmChoices::Devices AlgorithmChoices::read() const {
  Devices devices;
  std::error_code error;
  if (!fs::exists(path_, error) && !error) return devices;
  try {
    const Json json = Json::parse(read_text_file(path_, kMaxBytes));
    if (json.at("format") != kFormat) throw Error(fmt::format("its format is {}, expected \"{}\"", json.at("format").dump(), kFormat));
    for (const auto& [device, products] : json.at("devices").items())
      for (const auto& [product, choice] : products.items()) devices[device][product] = choice_of(choice);
  } catch (const InputError&) {
    throw;  // it cannot be read, and says so
  } catch (const std::exception& e) {
    throw Error(fmt::format("{}: not a file of GEMM algorithms: {}", path_, e.what()));
  }
  return devices;
}

/// The file's choices stay, for this device they count here too; ours are added.
void AlgorithmChoices::write(const std::string& product) {
  if (const fs::path folder = fs::path(path_).parent_path(); !folder.empty()) fs::create_directories(folder);
  const FileLock lock(path_);
  Devices devices = read();
  Products& known = devices[device_];
  const auto bad = rejected_.find(product);
  if (bad != rejected_.end() && known.contains(product) && known[product] == bad->second) known.erase(product);
  known.merge(Products(mine_));
  mine_ = known;
  Json json = {{"format", kFormat}, {"devices", Json::object()}};
  for (const auto& [device, products] : devices)
    for (const auto& [name, c] : products) json["devices"][device][name] = {{"algorithm", c.algorithm}, {"microseconds", c.microseconds}};
  write_file_atomically(path_, json.dump(1) + "\n");
}

void AlgorithmChoices::stop_using_file(const std::string& reason) {
  warn_(
      fmt::format("GEMM algorithms are not remembered in this run: {}; delete the file, or name another with the environment variable "
                  "MBTRAIN_GEMM_ALGORITHMS (off: none)",
                  reason));
  path_.clear();
}

}  // namespace mbt::cuda
