// mbtrain verify-resume: N + M steps in one go, against N steps, save, load, M steps; then against runs that are killed.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/ranks.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/comm/gather.h"
#include "core/config/config_json.h"
#include "core/data/make_dataset.h"
#include "core/io/files.h"
#include "core/train/checkpoint/checkpoint_folder.h"
#include "core/train/plan/plan_memory.h"
#include "core/train/resolve_loading.h"
#include "core/train/verify_resume.h"
#include "kernels/kernels.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct VerifyResumeOptions {
  VerbOptions options{
      "Check that a saved and resumed run is bit-identical to an uninterrupted one: losses, and a hash of all state (weights, masters, "
      "moments, amax histories, scales, loss scaler, schedules, counters). Exit code 0: equal, 1: different",
      "mbtrain verify-resume"};
  int64_t before = 16, after = 16, kills = 2;
  std::string folder;
  std::optional<VerbOption> kills_option;

  VerifyResumeOptions() {
    options.add_option("--before", before, "Steps before the break").range(1, 1000000);
    options.add_option("--after", after, "Steps after it").range(1, 1000000);
    kills_option =
        options
            .add_option("--kills", kills,
                        "With one rank: also test a run that is killed (-9) this many times at random, saving every step; 0: skip")
            .range(0, 10000);
    options
        .add_option("--folder", folder,
                    "New folder to keep the checkpoints in; default: a temporary one in the current folder, removed at the end")
        .called("FOLDER");
  }
};

/// A folder of its own that goes when it is no longer needed, unless it was asked for by name. The same on every rank.
class WorkFolder {
 public:
  WorkFolder(World& world, const std::string& wanted) : world_(world), is_temporary_(wanted.empty()) {
    std::string path = wanted;
    agree(world, [&] {
      if (!world.is_first()) return;
      std::error_code error;
      if (is_temporary_) {
        path = (fs::current_path() / ".mbtrain-verify-resume-XXXXXX").string();  // the current folder: one that all hosts see, if any is
        if (mkdtemp(path.data()) == nullptr)
          throw InputError(fmt::format("verify-resume: cannot make a folder in {}", fs::current_path().string()));
      } else if (fs::create_directories(path, error); error) {
        throw InputError(fmt::format("--folder: cannot make {}: {}", path, error.message()));
      } else if (!fs::is_empty(path, error)) {
        throw InputError(fmt::format("--folder: {} is not empty; name a new one", path));
      }
    });
    path_ = broadcast_text(world, path);
  }
  ~WorkFolder() {
    std::error_code ignored;
    if (is_temporary_ && world_.is_first()) fs::remove_all(path_, ignored);
  }
  std::string at(const char* name) const { return (fs::path(path_) / name).string(); }

 private:
  World& world_;
  bool is_temporary_;
  std::string path_;
};

/// This program with `args`, its output thrown away.
pid_t start(const std::vector<std::string>& args) {
  std::vector<std::string> words = {"mbtrain"};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child < 0) throw Error("verify-resume: cannot start a process");
  if (child > 0) return child;
  const int nothing = open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) dup2(nothing, fd);
  execv("/proc/self/exe", argv.data());
  _exit(127);
}

/// nullopt: it was still running after `limit`, and has been killed.
std::optional<int> wait_or_kill(pid_t child, std::chrono::duration<double> limit) {
  const auto deadline = Clock::now() + limit;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return std::nullopt;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// `config`, which loads and saves in one folder after every step, in processes of its own that are killed at random moments and started
/// again until one ends by itself. Returns how often that was.
int64_t run_with_kills(const RunConfig& config, int64_t most, double seconds_of_run) {
  const std::string& folder = config.checkpoint.save;
  fs::create_directories(folder);
  const std::string file = folder + ".json";
  write_file_atomically(file, json_text(config));
  const std::vector<std::string> args = {"train", "--config", file};
  const auto cannot_go_on = [&](int64_t kills, int code) {
    return Error(
        fmt::format("a run that was killed {} times did not resume: exit code {}; its command: mbtrain {}", kills, code, join(args, " ")));
  };
  std::mt19937 random(std::random_device{}());
  for (int64_t kills = 0;; ++kills) {
    const std::chrono::duration<double> some(std::uniform_real_distribution<double>(0.05, 1.0)(random) * (seconds_of_run + 0.3));
    const std::optional<int> code = wait_or_kill(start(args), kills < most ? some : std::chrono::hours(24));
    if (!code) continue;
    if (*code != 0) throw cannot_go_on(kills, *code);
    return kills;
  }
}

/// Says it; returns whether they are equal.
bool report(const char* what, const RunTrace& whole, const RunTrace& other, bool compares_losses) {
  const std::vector<std::string> files = differing_files(whole.checkpoint, other.checkpoint);
  const std::string losses = compares_losses ? loss_difference(whole, other) : "";
  const bool is_equal = files.empty() && losses.empty();
  std::printf("  %-34s %s  %s\n", what, state_hash(other.checkpoint).c_str(), is_equal ? "equal" : "DIFFERENT");
  if (!losses.empty()) std::printf("    first difference at %s\n", losses.c_str());
  if (!files.empty()) std::printf("    files that differ: %s\n", join(files, ", ").c_str());
  return is_equal;
}

int verify(World& world, VerifyResumeOptions& o, const std::vector<std::string>& args) {
  ResolvedRun run;
  std::unique_ptr<Dataset> dataset;
  agree(world, [&] {
    run = resolve_loading(o.options.parse_with_config(args), world.ranks());
    if (o.kills_option->is_given() && o.kills > 0 && world.ranks() > 1)
      throw InputError("--kills starts processes of its own, one rank each; under a launcher take --kills 0, and kill ranks from outside");
    const CheckpointConfig& c = run.config.checkpoint;
    if (!c.save.empty() || !c.load.empty())
      throw InputError(
          "verify-resume saves and loads in folders of its own (--folder keeps them); leave checkpoint.save and checkpoint.load out");
    dataset = make_dataset(traced_config(run.config, o.before + o.after, ""));  // Megatron's order depends on the length of the run
  });
  require_same_run(world, run.config, *dataset);
  const std::unique_ptr<Backend> backend = make_backend_of_rank(world, name_of(run.config.train.device), run.config.train.num_threads);
  PrecisionPolicy policy;
  agree(world, [&] { policy = training_policy(run.config, *backend); });

  const WorkFolder folder(world, o.folder);
  const int64_t steps = o.before + o.after;
  const auto begin = Clock::now();
  const RunTrace whole = trace_run(*backend, world, traced_config(run.config, steps, folder.at("whole")), policy, *dataset);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const RunTrace broken =
      trace_interrupted_run(*backend, world, traced_config(run.config, steps, folder.at("interrupted")), policy, *dataset, o.before);
  bool is_equal = true;
  agree(world, [&] {
    if (!world.is_first()) return;
    std::printf("%s, %d rank%s, %lld + %lld steps\n", run.config.mixed_precision.name.c_str(), world.ranks(), world.ranks() == 1 ? "" : "s",
                static_cast<long long>(o.before), static_cast<long long>(o.after));
    std::printf("  %-34s %s\n", "without a break", state_hash(whole.checkpoint).c_str());
    is_equal = report("saved, loaded, continued", whole, broken, true);
    if (world.ranks() > 1) std::printf("  (killed runs are tested only with one rank)\n");
    if (o.kills == 0 || world.ranks() > 1) return;
    RunConfig config = traced_config(run.config, steps, folder.at("killed"));
    config.checkpoint.load = config.checkpoint.save;
    config.checkpoint.save_interval = 1;
    config.checkpoint.most_recent_k = 2;
    const int64_t kills = run_with_kills(config, o.kills, seconds);
    const RunTrace killed{{}, find_checkpoint(folder.at("killed"), steps)->path};
    is_equal &= report(fmt::format("killed {}{}, continued", kills, kills == 1 ? " time" : " times").c_str(), whole, killed, false);
  });
  const std::vector<char> all = gather_values(world, static_cast<char>(is_equal));
  return all[0] ? 0 : 1;
}

}  // namespace

int cmd_verify_resume(const std::vector<std::string>& args) {
  VerifyResumeOptions o;
  o.options.answer_help(args);
  return run_on_ranks("verify-resume", [&](World& world) { return verify(world, o, args); });
}

}  // namespace mbt
