#include "core/train/checkpoint/checkpoint_saver.h"

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "core/base/json_text.h"
#include "core/comm/gather.h"
#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

/// The system's errors, as what they are to the user: a folder that cannot be used.
template <class Use>
void using_folder(const std::string& folder, Use use) {
  try {
    use();
  } catch (const fs::filesystem_error& e) {
    throw InputError(fmt::format("checkpoint.save: cannot write {}: {}", folder, e.code().message()));
  }
}

/// No other save, on any host, chooses the same.
std::string random_token() {
  std::random_device source;
  return hash_text((uint64_t{source()} << 32) ^ source());
}

}  // namespace

CheckpointSaver::CheckpointSaver(World& world, Backend& backend, Weights& weights, const RunConfig& config)
    : world_(world), backend_(backend), weights_(weights), config_(config) {
  if (!world.is_first() || config.checkpoint.save.empty() || !continues_in_save_folder(config.checkpoint)) return;
  const std::vector<int64_t> there = checkpoints_in(config.checkpoint.save);
  own_.insert(there.begin(), there.end());
}

std::string CheckpointSaver::path_of(int64_t iteration) const {
  return (fs::path(config_.checkpoint.save) / iteration_name(iteration)).string();
}

/// The temporary folder, which every rank sees: its name is new, so nothing else can be taken for it.
std::string CheckpointSaver::make_folder(int64_t iteration) {
  const std::string& base = config_.checkpoint.save;
  const std::string name = temporary_name(iteration, broadcast_text(world_, world_.is_first() ? random_token() : ""));
  const std::string folder = (fs::path(base) / name).string();
  agree(world_, [&] {
    if (world_.is_first()) using_folder(path_of(iteration), [&] { fs::create_directories(folder); });
  });
  agree(world_, [&] {
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
      throw InputError(
          fmt::format("checkpoint.save: rank 0 created the folder {}, but this rank cannot see it{}. {} must be on a file system that "
                      "all ranks share",
                      folder, error ? ": " + error.message() : "", base));
    }
  });
  return folder;
}

void CheckpointSaver::start(const TrainState& state, const LossScaler& scaler) {
  MBT_CHECK(!is_pending(), "a save is pending");
  const std::string folder = make_folder(state.iteration);
  try {
    agree(world_, [&] {
      const auto writer = std::make_shared<CheckpointWriter>(backend_, weights_, config_.checkpoint.save_optim);
      if (world_.is_first()) {
        writer->add_text(kStateFile, state_text(state, scaler));
        writer->add_text(kConfigFile, config_text(config_));
        for (const auto& [name, content] : carried_) writer->add_text(name, content);
      }
      const bool is_async = config_.checkpoint.async_save;
      if (is_async) writer->copy_to_host();
      pending_ =
          Pending{state.iteration, folder,
                  std::async(is_async ? std::launch::async : std::launch::deferred, [writer, folder] { return writer->write(folder); })};
    });
  } catch (...) {
    pending_.reset();
    remove_folder(folder);
    throw;
  }
}

bool CheckpointSaver::has_written() const {
  return pending_ && pending_->files.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

CheckpointSaver::Saved CheckpointSaver::finish() {
  MBT_CHECK(is_pending(), "no save is pending");
  Pending pending = std::move(*pending_);
  pending_.reset();
  Saved saved{path_of(pending.iteration), pending.iteration};
  try {
    std::vector<CheckpointFile> mine;
    agree(world_, [&] { using_folder(saved.path, [&] { mine = pending.files.get(); }); });
    const std::vector<std::string> all = gather_texts(world_, json_text(files_json(mine)));
    agree(world_, [&] {
      if (world_.is_first()) using_folder(saved.path, [&] { saved.path = complete(pending, all); });
    });
  } catch (...) {
    remove_folder(pending.folder);
    throw;
  }
  return saved;
}

/// On the first rank, after every rank's files are on the disk.
std::string CheckpointSaver::complete(const Pending& pending, const std::vector<std::string>& files_of_ranks) {
  const CheckpointConfig& c = config_.checkpoint;
  CheckpointIndex index{.program = checkpoint_program(),
                        .ranks = world_.ranks(),
                        .iteration = pending.iteration,
                        .save_number = next_save_number(c.save),
                        .files = {},
                        .tensors = list_checkpoint_tensors(weights_, c.save_optim)};
  for (const std::string& of_rank : files_of_ranks) {
    for (CheckpointFile& file : files_from(parse_json(of_rank))) {
      const fs::path path = fs::path(pending.folder) / file.name;
      const auto bytes = static_cast<int64_t>(fs::file_size(path));
      if (bytes != file.digest.bytes)
        throw InputError(
            fmt::format("{}: {} bytes here, {} were written: the file system loses data", path.string(), bytes, file.digest.bytes));
      index.files.push_back(std::move(file));
    }
  }
  write_file_atomically((fs::path(pending.folder) / kIndexFile).string(), index_text(index));
  std::string path = publish_checkpoint(pending.folder, pending.iteration, own_.count(pending.iteration) != 0);
  own_.insert(pending.iteration);
  remove_old_checkpoints(c.save, pending.iteration, c.most_recent_k, own_);
  return path;
}

void CheckpointSaver::remove_folder(const std::string& folder) const {
  std::error_code ignored;
  if (world_.is_first()) fs::remove_all(folder, ignored);
}

}  // namespace mbt
