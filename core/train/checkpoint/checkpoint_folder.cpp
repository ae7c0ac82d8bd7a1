#include "core/train/checkpoint/checkpoint_folder.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "core/base/strings.h"
#include "core/io/files.h"
#include "core/train/checkpoint/checkpoint_reader.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTracker = "latest_checkpointed_iteration.txt";
constexpr const char* kTemporary = ".tmp-iter_";
constexpr const char* kWriteTest = ".mbtrain-write-test";
constexpr const char* kReplaced = ".replaced-";  // before the name of a checkpoint whose successor of the same name is on its way

bool begins_with(const fs::path& path, const char* what) { return path.filename().string().rfind(what, 0) == 0; }

bool is_complete(const fs::path& checkpoint) { return fs::exists(checkpoint / kIndexFile); }

/// Complete or not: a folder with the files of one checkpoint, whatever its name.
bool is_checkpoint(const fs::path& folder) {
  std::error_code none;
  return fs::exists(folder / kIndexFile, none) || fs::exists(folder / "train_state.json", none);
}

/// Where a checkpoint of this name lies: a run killed while it replaced one may have left the older of the two alone.
fs::path path_of(const fs::path& base, int64_t iteration) {
  const fs::path path = base / iteration_name(iteration), replaced = base / (kReplaced + iteration_name(iteration));
  return !fs::exists(path) && fs::is_directory(replaced) ? replaced : path;
}

/// The iteration of a folder of that name; -1: it is no checkpoint's.
int64_t number_in(std::string name) {
  if (name.rfind(kReplaced, 0) == 0) name = name.substr(std::strlen(kReplaced));
  long long iteration = -1;
  return std::sscanf(name.c_str(), "iter_%lld", &iteration) == 1 && name == iteration_name(iteration) ? iteration : -1;
}

/// Iterations of all checkpoint folders, ascending. Another run may be at work in there: entries may go while they are looked at.
std::vector<int64_t> iterations_in(const fs::path& base) {
  std::vector<int64_t> found;
  std::error_code unknown;
  for (const fs::directory_entry& e : fs::directory_iterator(base))
    if (const int64_t i = number_in(e.path().filename().string()); i >= 0 && fs::is_directory(e.path(), unknown)) found.push_back(i);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

/// The complete checkpoint that was saved last, among those for which `counts`; -1: none.
template <class Predicate>
int64_t newest_complete(const fs::path& base, Predicate counts) {
  std::pair<int64_t, int64_t> newest{-1, -1};  // save number, iteration
  for (const int64_t i : iterations_in(base)) {
    const fs::path path = path_of(base, i);
    if (counts(i) && is_complete(path)) newest = std::max(newest, {save_number_of(path.string()).value_or(0), i});
  }
  return newest.second;
}

/// What the tracker says; nullopt: there is none.
std::optional<int64_t> tracked_iteration(const fs::path& base) {
  if (!fs::exists(base / kTracker)) return std::nullopt;
  const std::string content = read_text_file((base / kTracker).string(), 64);
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(content.c_str(), &end, 10);
  if (end == content.c_str() || errno != 0 || value < 0 || std::strspn(end, " \n\r\t") != std::strlen(end)) {
    const int64_t newest = newest_complete(base, [](int64_t) { return true; });
    throw InputError(
        fmt::format("{}: expected the number of an iteration, found {}{}", (base / kTracker).string(), shown(content),
                    newest < 0 ? "" : fmt::format("; the newest complete checkpoint can be loaded with --ckpt-step {}", newest)));
  }
  return value;
}

std::string why_not_tracked(const fs::path& base, std::optional<int64_t> tracked) {
  if (!tracked) return fmt::format("has no {}", kTracker);
  if (is_complete(path_of(base, *tracked)))
    return fmt::format("holds a checkpoint that was completed after the one that {} names, {} (--ckpt-step {} loads that)", kTracker,
                       *tracked, *tracked);
  return fmt::format("has no complete checkpoint of iteration {}, which {} names", *tracked, kTracker);
}

/// A folder disappears in one step, so that no half of it can be taken for a checkpoint.
void remove_checkpoint(const fs::path& path) {
  fs::path doomed = path.parent_path() / (kTemporary + std::string("removed.") + path.filename().string());
  fs::remove_all(doomed);
  fs::rename(path, doomed);
  fs::remove_all(doomed);
}

/// The two folders change names in one step; false: this file system cannot do that.
bool exchange(const fs::path& a, const fs::path& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) return false;
  throw fs::filesystem_error("exchange", a, b, std::error_code(errno, std::system_category()));
}

/// The system refuses to rename a folder to the name of one that holds files, also of one that came this moment.
void take_name(const fs::path& temporary, const fs::path& target) {
  std::error_code error;
  fs::rename(temporary, target, error);
  if (!error) return;
  if (fs::exists(target))
    throw InputError(
        fmt::format("checkpoint.save: another run has written {} since this one began, and it is not replaced. Two runs must "
                    "not save into one folder",
                    target.string()));
  throw fs::filesystem_error("rename", temporary, target, error);
}

void replace(const fs::path& temporary, const fs::path& target) {
  if (!fs::exists(target)) return fs::rename(temporary, target);
  if (exchange(temporary, target)) {
    fs::remove_all(temporary);  // now the older one
    return;
  }
  const fs::path replaced = target.parent_path() / (kReplaced + target.filename().string());
  fs::remove_all(replaced);
  fs::rename(target, replaced);
  fs::rename(temporary, target);
  remove_checkpoint(replaced);
}

/// What a killed run left: folders and files half written or half removed, a checkpoint whose successor may not have arrived.
void clear_leftovers(const fs::path& base) {
  std::vector<fs::path> entries;
  for (const fs::directory_entry& e : fs::directory_iterator(base)) entries.push_back(e.path());
  std::error_code ignored;
  for (const fs::path& path : entries) {
    const bool is_half_file =
        begins_with(path, (std::string(kTracker) + ".tmp.").c_str()) || begins_with(path, kWriteTest);  // AtomicFile's
    if (begins_with(path, kTemporary) || is_half_file) fs::remove_all(path, ignored);
    if (!begins_with(path, kReplaced)) continue;
    const fs::path name = base / path.filename().string().substr(std::strlen(kReplaced));
    if (fs::exists(name)) fs::remove_all(path, ignored);
    else fs::rename(path, name, ignored);
  }
}

}  // namespace

std::string iteration_name(int64_t iteration) {
  char name[32];
  std::snprintf(name, sizeof name, "iter_%07lld", static_cast<long long>(iteration));
  return name;
}

int64_t iteration_of(const std::string& checkpoint) {
  std::error_code unknown;
  const fs::path path = fs::weakly_canonical(checkpoint, unknown);
  return number_in((unknown ? fs::path(checkpoint) : path).filename().string());
}

std::string temporary_name(int64_t iteration, const std::string& token) { return fmt::format("{}{}.{}", kTemporary, iteration, token); }

void check_save_folder(const std::string& folder) {
  std::error_code error;
  const bool is_taken = fs::exists(folder, error) && !fs::is_directory(folder, error);
  if (!is_taken) fs::create_directories(folder, error);
  if (is_taken || error) {
    throw InputError(fmt::format("checkpoint.save: cannot create the folder {}: {}", folder,
                                 is_taken ? "something else has that name" : error.message()));
  }
  clear_leftovers(folder);
  write_file_atomically((fs::path(folder) / kWriteTest).string(), "");
  fs::remove(fs::path(folder) / kWriteTest, error);
}

std::vector<int64_t> checkpoints_in(const std::string& folder) {
  std::error_code none;
  return fs::is_directory(folder, none) ? iterations_in(folder) : std::vector<int64_t>();
}

bool holds_checkpoints(const std::string& folder) {
  std::error_code none;
  return !checkpoints_in(folder).empty() || fs::exists(fs::path(folder) / kTracker, none);
}

bool continues_in_save_folder(const CheckpointConfig& config) {
  const bool is_one_of_them = iteration_of(config.load) >= 0 && is_same_folder((fs::path(config.load) / "..").string(), config.save);
  return (is_same_folder(config.load, config.save) || is_one_of_them) && !config.finetune;
}

void refuse_filled_folder(const CheckpointConfig& config) {
  if (config.save.empty()) return;
  if (is_checkpoint(config.save))
    throw InputError(
        fmt::format("checkpoint.save: {} is one checkpoint, expected the folder of a run. To continue from it: --load {} "
                    "--save {}. To begin anew: choose another folder",
                    config.save, config.save, (fs::path(config.save) / "..").lexically_normal().string()));
  if (!holds_checkpoints(config.save) || continues_in_save_folder(config)) return;
  const std::vector<int64_t> all = iterations_in(config.save);
  const int64_t complete = newest_complete(config.save, [](int64_t) { return true; });
  const std::string newest = all.empty() ? kTracker : iteration_name(complete >= 0 ? complete : all.back());
  const std::string to_continue = config.finetune
                                      ? "Fine-tuning begins a new run"
                                      : fmt::format("To continue that run: --load {0} --save {0} (or --resume {0})", config.save);
  throw InputError(
      fmt::format("checkpoint.save: {} holds the checkpoints of another run, the newest of them {}; this run would replace them. {}. To "
                  "begin anew: choose "
                  "another folder, or remove the checkpoints yourself",
                  config.save, newest, to_continue));
}

bool is_same_folder(const std::string& a, const std::string& b) {
  const auto plain = [](const std::string& path) {  // without the slash at the end, which is part of a path
    fs::path p = fs::weakly_canonical(fs::absolute(path));
    return p.has_filename() ? p : p.parent_path();
  };
  return !a.empty() && !b.empty() && plain(a) == plain(b);
}

std::optional<FoundCheckpoint> find_checkpoint(const std::string& folder, std::optional<int64_t> step) {
  const fs::path base(folder);
  if (!fs::exists(base)) throw InputError(fmt::format("checkpoint.load: there is no folder {}", folder));
  if (!fs::is_directory(base))
    throw InputError(fmt::format("checkpoint.load: {} is a file, expected the folder of a run or of one checkpoint", folder));
  if (is_checkpoint(base)) return FoundCheckpoint{folder, ""};
  if (step) {
    const fs::path path = path_of(base, *step);
    if (!fs::is_directory(path))
      throw InputError(fmt::format("checkpoint.load: there is no checkpoint {}{}", (base / iteration_name(*step)).string(),
                                   other_checkpoint_hint(path.string())));
    return FoundCheckpoint{path.string(), ""};
  }
  const std::optional<int64_t> tracked = tracked_iteration(base);
  const int64_t newest = newest_complete(base, [](int64_t) { return true; });
  const bool has_tracked = tracked && is_complete(path_of(base, *tracked));
  if (newest >= 0) {
    const auto number = [&](int64_t i) { return save_number_of(path_of(base, i).string()).value_or(0); };
    if (has_tracked && number(newest) <= number(*tracked)) return FoundCheckpoint{path_of(base, *tracked).string(), ""};
    if (has_tracked) static_cast<void>(CheckpointReader(path_of(base, *tracked).string()));  // a damaged number must not send the run back
    const std::string path = path_of(base, newest).string();
    return FoundCheckpoint{path,
                           fmt::format("{} {}: taking the newest complete checkpoint, {}", folder, why_not_tracked(base, tracked), path)};
  }
  const std::vector<int64_t> incomplete = iterations_in(base);
  if (!incomplete.empty()) return FoundCheckpoint{path_of(base, incomplete.back()).string(), ""};  // to be refused with what it lacks
  if (tracked)
    throw InputError(fmt::format("checkpoint.load: there is no checkpoint {}, which {} names, and no other",
                                 (base / iteration_name(*tracked)).string(), kTracker));
  return std::nullopt;
}

std::optional<FoundCheckpoint> find_start(const CheckpointConfig& config) {
  if (config.load.empty()) return std::nullopt;
  const bool may_start = is_same_folder(config.save, config.load) && !config.finetune;  // finetuning has nothing to begin with
  std::error_code none;
  if (may_start && !config.ckpt_step && !fs::exists(config.load, none)) return std::nullopt;
  std::optional<FoundCheckpoint> found = find_checkpoint(config.load, config.ckpt_step);
  if (found || may_start) return found;
  const bool is_hf = fs::exists(fs::path(config.load) / "config.json", none);
  throw InputError(
      fmt::format("checkpoint.load: {} holds no checkpoint (no iter_ folder in it){}", config.load,
                  is_hf ? fmt::format("; it is a Hugging Face folder: --model.hf_path {} begins with its weights", config.load) : ""));
}

std::string other_checkpoint_hint(const std::string& checkpoint) {
  const int64_t mine = iteration_of(checkpoint);
  const fs::path base = fs::absolute(checkpoint).parent_path();
  std::error_code error;
  if (mine < 0 || !fs::is_directory(base, error)) return "";
  const int64_t other = newest_complete(base, [&](int64_t i) { return i != mine; });
  return other < 0 ? "" : fmt::format("; the complete checkpoint of iteration {} can be loaded with --ckpt-step {}", other, other);
}

int64_t next_save_number(const std::string& folder) {
  int64_t highest = 0;
  for (const int64_t i : iterations_in(folder)) highest = std::max(highest, save_number_of(path_of(folder, i).string()).value_or(0));
  return highest + 1;
}

std::string publish_checkpoint(const std::string& temporary, int64_t iteration, bool may_replace) {
  const fs::path base = fs::path(temporary).parent_path(), target = base / iteration_name(iteration);
  sync_folder(temporary);
  if (may_replace) replace(temporary, target);
  else take_name(temporary, target);
  sync_folder(base.string());
  write_file_atomically((base / kTracker).string(), std::to_string(iteration) + "\n");
  return target.string();
}

void remove_old_checkpoints(const std::string& folder, int64_t current, int64_t keep, const std::set<int64_t>& own) {
  if (keep <= 0) return;
  std::vector<std::pair<bool, int64_t>> found;  // those beyond `current` sort first
  for (const int64_t i : iterations_in(folder))
    if (own.count(i) != 0) found.emplace_back(i <= current, i);
  std::sort(found.begin(), found.end());
  for (size_t i = 0; i + static_cast<size_t>(keep) < found.size(); ++i) remove_checkpoint(path_of(folder, found[i].second));
}

}  // namespace mbt
