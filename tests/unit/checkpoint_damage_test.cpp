// Damage: whatever byte of a checkpoint is wrong, whichever file is missing, it is refused by name and the checkpoint before still loads.
// And what kill -9 leaves behind at each point of a save.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::checkpoint_damage_test {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTracker = "latest_checkpointed_iteration.txt";

/// A run with checkpoints of iterations 2 and 4, by a recipe that has every kind of file; returns a config that loads it.
RunConfig saved_twice(const TemporaryFolder& folder) {
  RunConfig c = tiny("bf16_with_fp8_delayed_scaling_mixed");
  c.checkpoint.save = folder.path("run");
  c.checkpoint.save_interval = 2;
  c.train.exit_interval = 4;
  train(c);
  c.train.exit_interval.reset();
  c.checkpoint.load = c.checkpoint.save;
  c.checkpoint.save.clear();
  c.checkpoint.save_interval.reset();
  return c;
}

void copy_over(const fs::path& from, const fs::path& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

/// Publishes a checkpoint in a process that the kernel kills at its first write to a file. To give a folder its name is no such write, to
/// write the tracker is.
void publish_until_tracker(const std::string& temporary, int64_t iteration) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_DFL);
    const rlimit nothing{0, 0};
    if (setrlimit(RLIMIT_CORE, &nothing) == 0 && setrlimit(RLIMIT_FSIZE, &nothing) == 0) publish_checkpoint(temporary, iteration, true);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ));
}

std::string all_of(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& t : texts) all += t + "\n";
  return all;
}

}  // namespace

TEST_CASE("a flipped bit, a missing end, a missing file: each is refused by name, and the checkpoint before loads") {
  const TemporaryFolder folder;
  const RunConfig c = saved_twice(folder);
  const fs::path checkpoint = folder.path("run/iter_0000004"), kept = folder.path("kept");
  fs::copy(checkpoint, kept);
  const std::set<std::string> names = names_in(checkpoint);
  CHECK(names == std::set<std::string>{"metadata.json", "optimizer_00000_of_00001.safetensors", "precision.safetensors", "run_config.json",
                                       "train_state.json", "weights_00000_of_00001.safetensors"});
  for (const std::string& name : names) {
    INFO(name);
    const auto refused = [&](const RunConfig& config, const std::string& why) {
      CHECK_THROWS_AS(train(config), InputError);
      CHECK_THROWS_WITH(train(config), ContainsSubstring(name) && ContainsSubstring(why) && ContainsSubstring("--ckpt-step 2"));
      copy_over(kept, checkpoint);
    };
    const auto bytes = static_cast<int64_t>(fs::file_size(checkpoint / name));
    for (const int64_t at : {int64_t{0}, bytes / 3, bytes / 2, bytes - 3}) {
      flip_bit(checkpoint / name, at);
      refused(c, "");
    }
    fs::resize_file(checkpoint / name, static_cast<uintmax_t>(bytes - 2));
    RunConfig by_size = c;
    by_size.checkpoint.verify_integrity = false;
    refused(by_size, "");
    fs::resize_file(checkpoint / name, 0);
    refused(c, "");
    if (name == kIndexFile) continue;
    fs::remove(checkpoint / name);
    refused(c, "there is no such file");
  }
  flip_bit(checkpoint / "weights_00000_of_00001.safetensors", -1);
  RunConfig before = c;
  before.checkpoint.ckpt_step = 2;
  CHECK(train(before).steps.size() == 4);
  RunConfig trusting = c;  // the last bit of a weight is its affair then
  trusting.checkpoint.verify_integrity = false;
  CHECK(train(trusting).steps.size() == 2);
}

TEST_CASE("metadata that contradicts itself or the files is refused") {
  const TemporaryFolder folder;
  const RunConfig c = saved_twice(folder);
  const fs::path path = folder.path("run/iter_0000004/metadata.json");
  const CheckpointIndex good = read_index(path.parent_path().string(), true);
  const auto refused = [&](const std::function<void(CheckpointIndex&)>& change, const std::string& why) {
    CheckpointIndex index = good;
    change(index);
    write_file_atomically(path.string(), index_text(index));
    CHECK_THROWS_WITH(train(c), ContainsSubstring(why));
  };
  refused([](CheckpointIndex& i) { i.iteration = 5; }, "'iteration' is 5 in the checkpoint of iteration 4");
  refused([](CheckpointIndex& i) { i.files[0].name = "../weights"; }, "expected the name of a file in the same folder");
  refused([](CheckpointIndex& i) { i.files.erase(i.files.begin()); }, "which 'files' does not list");
  refused([](CheckpointIndex& i) { i.tensors[0].pieces[0].count -= 1; }, "its pieces hold");
  refused([](CheckpointIndex& i) { i.tensors[0].pieces[0].first = 1; }, "expected from 0 on");
  refused([](CheckpointIndex& i) { i.tensors[0].shape[0] *= 2; }, "its pieces hold");
  refused([](CheckpointIndex& i) { i.tensors[0].type = SafetensorsType::BF16; }, "expected BF16");
  refused([](CheckpointIndex& i) { i.tensors.pop_back(); }, "has no tensor '" + good.tensors.back().name);
  refused([](CheckpointIndex& i) { i.ranks = 0; }, "'ranks' is 0");
  refused([](CheckpointIndex& i) { i.files[0].digest.bytes -= 1; }, "expected");
  const auto replaced = [&](const std::string& from, const std::string& to, const std::string& why) {
    std::string changed = index_text(good);
    changed.replace(changed.find(from), from.size(), to);
    write_file_atomically(path.string(), changed);
    CHECK_THROWS_WITH(train(c), ContainsSubstring(why));
  };
  replaced("\"format_version\": 1", "\"format_version\": 2", "this program reads version 1");
  replaced("mbtrain checkpoint", "another checkpoint", "is not the metadata of an mbtrain checkpoint");
  replaced("xxhash64_of_this_file", "xxhash64_of_that_file", "does not name its own hash");
}

TEST_CASE("a run killed while it saved continues from the newest complete checkpoint") {
  const TemporaryFolder folder;
  const RunConfig c = saved_twice(folder);
  const fs::path run = folder.path("run");
  const auto continues_at = [&](int64_t iteration) {
    const Run continued = train(c);
    REQUIRE(!continued.steps.empty());
    CHECK(continued.steps[0].iteration == iteration + 1);
    return all_of(continued.warnings);
  };
  CHECK(continues_at(4).empty());
  fs::create_directory(run / ".tmp-iter_6.0123456789abcdef");  // killed before the rename
  fs::copy(run / "iter_0000004", run / ".tmp-iter_6.0123456789abcdef", fs::copy_options::recursive);
  CHECK(continues_at(4).empty());
  write_file_atomically((run / kTracker).string(), "2\n");  // killed between the rename and the tracker
  CHECK_THAT(continues_at(4),
             ContainsSubstring("completed after") && ContainsSubstring("--ckpt-step 2") && ContainsSubstring("iter_0000004"));
  fs::remove(run / kTracker);
  CHECK_THAT(continues_at(4), ContainsSubstring("has no latest_checkpointed_iteration.txt"));
  write_file_atomically((run / kTracker).string(), "8\n");
  CHECK_THAT(continues_at(4), ContainsSubstring("no complete checkpoint of iteration 8"));
  write_file_atomically((run / kTracker).string(), "2\n");
  fs::remove(run / "iter_0000004/metadata.json");  // not complete: does not count
  CHECK(continues_at(2).empty());
  fs::rename(run / "iter_0000002", run / ".replaced-iter_0000002");  // killed while it replaced one of the same name
  fs::remove_all(run / "iter_0000004");
  CHECK(continues_at(2).empty());
  check_save_folder(run.string());
  CHECK(names_in(run) == std::set<std::string>{"iter_0000002", kTracker});
}

TEST_CASE("a run killed between a checkpoint's rename and its tracker has the checkpoint") {
  const TemporaryFolder folder;
  const RunConfig c = saved_twice(folder);
  const fs::path run = folder.path("run"), temporary = run / temporary_name(4, "0123456789abcdef");
  fs::rename(run / "iter_0000004", temporary);
  write_file_atomically((run / kTracker).string(), "2\n");
  publish_until_tracker(temporary.string(), 4);
  CHECK(content(run / kTracker) == "2\n");  // the tracker comes last: it never names what is not there
  CHECK(fs::exists(run / "iter_0000004"));
  CHECK_FALSE(fs::exists(temporary));
  const Run continued = train(c);
  REQUIRE(!continued.steps.empty());
  CHECK(continued.steps[0].iteration == 5);
  CHECK_THAT(all_of(continued.warnings), ContainsSubstring("completed after"));
  check_save_folder(run.string());
  CHECK(names_in(run) == std::set<std::string>{"iter_0000002", "iter_0000004", kTracker});
}

TEST_CASE("a run that was wound back continues from what it saved last, not from what lies ahead of it") {
  const TemporaryFolder folder;
  RunConfig c = saved_twice(folder);
  c.checkpoint.ckpt_step = 2;
  c.checkpoint.save = c.checkpoint.load;
  c.train.exit_interval = 3;
  CHECK(train(c).steps.size() == 1);
  c.checkpoint.ckpt_step.reset();
  c.train.exit_interval.reset();
  const Run tail = train(c);
  CHECK(tail.steps[0].iteration == 4);
  CHECK(tail.warnings.empty());
  fs::remove(folder.path("run/") + kTracker);
  CHECK(find_checkpoint(c.checkpoint.load, std::nullopt)->path == folder.path("run/iter_0000006"));
}

TEST_CASE("a checkpoint of the same iteration is replaced") {
  const TemporaryFolder folder;
  RunConfig c = saved_twice(folder);
  const std::string before = state_of(folder.path("run/iter_0000004"));
  c.checkpoint.ckpt_step = 2;
  c.checkpoint.save = c.checkpoint.load;
  c.train.exit_interval = 4;
  c.optimizer.lr *= 2;
  train(c);
  CHECK(state_of(folder.path("run/iter_0000004")) != before);
  CHECK(names_in(folder.path("run")) == std::set<std::string>{"iter_0000002", "iter_0000004", kTracker});
}

TEST_CASE("a folder of checkpoints without metadata is refused, not started afresh over") {
  const TemporaryFolder folder;
  RunConfig c = saved(folder);
  fs::remove(folder.path("run/iter_0000002/metadata.json"));
  for (const bool has_tracker : {true, false}) {
    if (!has_tracker) fs::remove(folder.path("run/") + kTracker);
    c.checkpoint.save = c.checkpoint.load;
    CHECK_THROWS_WITH(train(c), ContainsSubstring("metadata.json: there is no such file"));
  }
}

}  // namespace mbt::test::checkpoint_damage_test
