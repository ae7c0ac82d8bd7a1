// Checkpoints: which are kept, what is loaded, what is refused, and a full disk.
#include "core/train/checkpoint/checkpoint.h"

#include <sys/mount.h>

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::checkpoint_test {

namespace fs = std::filesystem;

TEST_CASE("most_recent_k keeps the newest; what a wound-back run left ahead goes first") {
  const TemporaryFolder folder;
  RunConfig c = tiny();
  c.checkpoint.save = folder.path();
  c.checkpoint.save_interval = 1;
  c.checkpoint.most_recent_k = 2;
  train(c);
  CHECK(names_in(folder.path()) == std::set<std::string>{"iter_0000005", "iter_0000006", "latest_checkpointed_iteration.txt"});
}

TEST_CASE("most_recent_k of a run that was wound back takes first what lies ahead of it") {
  const TemporaryFolder folder;
  RunConfig c = tiny();
  c.checkpoint.save = folder.path();
  c.checkpoint.save_interval = 1;
  train(c);
  c.checkpoint.load = c.checkpoint.save;
  c.checkpoint.ckpt_step = 1;
  c.checkpoint.most_recent_k = 2;
  c.train.train_iters = 2;
  train(c);
  CHECK(names_in(folder.path()) == std::set<std::string>{"iter_0000001", "iter_0000002", "latest_checkpointed_iteration.txt"});
}

TEST_CASE("a run replaces and removes no checkpoint that another has written, also one that came while it ran") {
  for (const bool async : {false, true}) {
    const TemporaryFolder folder;
    RunConfig c = tiny();
    c.checkpoint.save = folder.path("run");
    c.checkpoint.save_interval = 2;
    c.checkpoint.most_recent_k = 1;
    c.checkpoint.async_save = async;
    const fs::path other = folder.path("run/iter_0000001"), same = folder.path("run/iter_0000006");
    Run run;
    run.after_step = [&](const IterationRecord& r) {
      if (r.iteration != 1) return;
      for (const fs::path& path : {other, same}) {
        fs::create_directories(path);
        std::ofstream(path / "weights") << "another's";
      }
    };
    CHECK_THROWS_WITH(train(c, run), ContainsSubstring("another run has written " + same.string()));
    for (const fs::path& path : {other, same}) CHECK(content(path / "weights") == "another's");
    CHECK(names_in(c.checkpoint.save) ==
          std::set<std::string>{"iter_0000001", "iter_0000004", "iter_0000006", "latest_checkpointed_iteration.txt"});
  }
}

TEST_CASE("finetuning from a folder without checkpoints is refused, also where it would save there") {
  const TemporaryFolder folder;
  RunConfig c = tiny();
  c.checkpoint.finetune = true;
  c.checkpoint.load = c.checkpoint.save = folder.path("none");
  CHECK_THROWS_WITH(train(c), ContainsSubstring("there is no folder"));
  c.checkpoint.load = c.checkpoint.save = folder.path();
  CHECK_THROWS_WITH(train(c), ContainsSubstring("holds no checkpoint"));
}

TEST_CASE("what to load: a step, weights alone, weights without moments") {
  const TemporaryFolder folder;
  RunConfig c = tiny();
  c.checkpoint.save = folder.path("run");
  c.checkpoint.save_interval = 2;
  const Run first = train(c);
  c.checkpoint.load = c.checkpoint.save;
  c.checkpoint.save.clear();
  c.checkpoint.ckpt_step = 4;
  const Run again = train(c);
  REQUIRE(again.steps.size() == 2);
  CHECK(again.steps[1].loss == first.steps[5].loss);
  c.checkpoint.load_optim = false;
  const Run without_moments = train(c);
  CHECK(without_moments.steps[0].loss == first.steps[4].loss);
  CHECK(without_moments.steps[1].loss != first.steps[5].loss);
  CHECK(without_moments.state.optimizer_updates == 2);
  c.checkpoint.finetune = true;
  const Run tuned = train(c);
  CHECK(tuned.steps.size() == 6);
  CHECK(tuned.steps[0].iteration == 1);
  CHECK(tuned.steps[0].loss < first.steps[0].loss);
}

TEST_CASE("checkpoints that cannot be loaded are refused with the reason") {
  const TemporaryFolder folder;
  const RunConfig good = saved(folder);
  const fs::path checkpoint = folder.path("run/iter_0000002");
  const auto refused = [](const RunConfig& c, const std::string& why) {
    CHECK_THROWS_AS(train(c), InputError);
    CHECK_THROWS_WITH(train(c), ContainsSubstring(why));
  };
  RunConfig c = good;
  c.checkpoint.load = folder.path("none");
  refused(c, "there is no folder");
  c.checkpoint.load = folder.path();
  refused(c, "holds no checkpoint");
  c = good, c.checkpoint.ckpt_step = 9;
  refused(c, "iter_0000009");
  c = good, c.model.ffn_hidden_size = 48;
  refused(c, "'layers.0.fc1.weight' has shape [128,32], this model's is [96,32]");
  c = good, c.model.num_layers = 5;
  refused(c, "layers.4.");
  c = good, c.model.num_layers = 3;
  refused(c, "is none of this model's parameters");
  c = tiny("bf16_with_fp8_delayed_scaling_mixed"), c.checkpoint.load = good.checkpoint.load;
  refused(c, "without delayed scaling");

  const auto broken = [&](const std::string& name, const std::string& bytes, const std::string& why) {
    const std::string kept = content(checkpoint / name);
    write_file_atomically((checkpoint / name).string(), bytes);
    reseal(checkpoint);
    refused(good, why);
    write_file_atomically((checkpoint / name).string(), kept);
    reseal(checkpoint);
  };
  for (const char* name : {"weights_00000_of_00001.safetensors", "optimizer_00000_of_00001.safetensors"}) {
    const std::string whole = content(checkpoint / name);
    broken(name, whole.substr(0, whole.size() - 100), name);
    broken(name, whole.substr(0, 5), name);
    broken(name, "", name);
    broken(name, std::string(8, '\xff') + whole.substr(8), name);
  }
  const std::string state = content(checkpoint / "train_state.json");
  const auto with = [&](const std::string& key, const std::string& value) {
    const size_t at = state.find(key) + key.size() + 3;
    return state.substr(0, at) + value + state.substr(state.find_first_of(",\n", at));
  };
  broken("train_state.json", "{", "train_state.json");
  broken("train_state.json", "[1]", "train_state.json");
  broken("train_state.json", "{}", "train_state.json");
  broken("train_state.json", with("iteration", "-1"), "'iteration' is -1");
  broken("train_state.json", with("consumed_samples", "1e300"), "'consumed_samples' is 1e+300");
  broken("train_state.json", with("iteration", "\"2\""), "'iteration'");
  write_file_atomically(folder.path("run/latest_checkpointed_iteration.txt"), "release\n");
  refused(good, "expected the number of an iteration");
}

TEST_CASE("a checkpoint without moments is refused unless load_optim=false") {
  const TemporaryFolder folder;
  RunConfig c = tiny();
  c.checkpoint.save = folder.path("run");
  c.checkpoint.save_optim = false;
  c.train.exit_interval = 2;
  train(c);
  c.train.exit_interval.reset();
  c.checkpoint.load = c.checkpoint.save;
  CHECK_THROWS_WITH(train(c), ContainsSubstring("checkpoint.load_optim=false"));
  c.checkpoint.load_optim = false;
  CHECK(train(c).steps.size() == 4);
}

TEST_CASE("the config of a checkpoint is checked like any other") {
  const TemporaryFolder folder;
  const RunConfig c = saved(folder);
  const fs::path checkpoint = folder.path("run/iter_0000002"), file = checkpoint / "run_config.json";
  CHECK(load_run_config(CheckpointReader(checkpoint.string())).model.hidden_size == 32);
  const std::string text = content(file);
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    write_file_atomically(file.string(), changed);
    reseal(checkpoint);
    CHECK_THROWS_AS(load_run_config(CheckpointReader(checkpoint.string())), InputError);
  };
  refused("\"hidden_size\": 32", "\"hidden_size\": 33");
  refused("\"hidden_size\": 32", "\"hidden_sise\": 32");
  refused("\"hidden_size\": 32", "\"hidden_size\": \"32\"");
  refused("{", "");
}

TEST_CASE("folders that cannot be saved to are refused before training") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(check_save_folder("/proc/none"), InputError);
  CHECK_THROWS_AS(check_save_folder(folder.file("file", "x")), InputError);
  CHECK_THROWS_AS(check_save_folder(folder.path("file/below")), InputError);
  fs::create_directories(folder.path("new/.tmp-iter_7"));  // of a killed run, as the next two
  folder.file("new/latest_checkpointed_iteration.txt.tmp.123.4", "");
  folder.file("new/.mbtrain-write-test.tmp.123.5", "");
  check_save_folder(folder.path("new"));
  CHECK(names_in(folder.path("new")).empty());
}

TEST_CASE("a full disk leaves the checkpoint before as it was, and nothing half written") {
  const TemporaryFolder folder;
  const std::string disk = folder.path("disk");
  fs::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=800k") != 0) {
    WARN("left out: mounting a small disk needs root");
    return;
  }
  RunConfig c = tiny();
  c.checkpoint.save = disk + "/run";
  c.checkpoint.save_interval = 2;
  Run run;
  CHECK_THROWS_AS(train(c, run), WriteError);
  CHECK(run.steps.size() == 4);
  CHECK(names_in(c.checkpoint.save) == std::set<std::string>{"iter_0000002", "latest_checkpointed_iteration.txt"});
  c.checkpoint.load = c.checkpoint.save;
  c.checkpoint.save.clear();
  CHECK(train(c).steps.size() == 4);
  umount(disk.c_str());
}

}  // namespace mbt::test::checkpoint_test
