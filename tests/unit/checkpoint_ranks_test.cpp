// Checkpoints of many ranks: written by some, read by others, the same bits; saving beside training; what fails on one rank.
#include <chrono>
#include <thread>

#include "core/backend/timing_backend.h"
#include "core/train/checkpoint/checkpoint_saver.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/thread_world.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::checkpoint_ranks_test {

namespace fs = std::filesystem;

namespace {

/// Sharded in several buckets, or not.
RunConfig config_of(bool sharded, const std::string& recipe = "bf16_with_fp8_delayed_scaling_mixed") {
  RunConfig c = tiny(recipe, {"--train.global_batch_size", "12", "--train.micro_batch_size", "1"});  // of 1, 2, 3 and 4 ranks
  c.ddp.use_distributed_optimizer = sharded;
  c.ddp.overlap_grad_reduce = true;
  c.ddp.bucket_size = 5000;
  return c;
}

/// The weights of one rank, another value in every element.
struct RankWeights {
  RankWeights(World& world, const RunConfig& c)
      : backend(make_backend("cpu", 1)),
        weights(*backend, c.model, make_policy(c.model, c.ddp), true, moment_types(c.optimizer),
                sharding_of(c.ddp, world.rank(), world.ranks())) {}

  void fill() {
    fill(weights.master(), 1.0f);
    fill(weights.exp_avg(), 2.0f);
    fill(weights.exp_avg_sq(), 3.0f);
    if (weights.delayed().empty()) return;
    const std::vector<float> history(static_cast<size_t>(weights.delayed().history().size()), 0.25f),
        scale(static_cast<size_t>(weights.delayed().scale().size()), 8.0f);
    backend->upload(history.data(), weights.delayed().history());
    backend->upload(scale.data(), weights.delayed().scale());
  }
  static float value(int64_t param, int64_t element, float what) {
    return what * 1e-3f + static_cast<float>(param) * 7.0f + static_cast<float>(element) * 1e-4f;
  }
  void fill(const TensorView& buffer, float what) {
    for (int64_t i = 0; i < weights.num_params(); ++i) {
      const ElementRange held = weights.held(i);
      std::vector<float> values;
      for (int64_t k = held.first; k < held.end(); ++k) values.push_back(value(i, k, what));
      if (held.count > 0) backend->upload(values.data(), weights.held_part(buffer, i));
    }
  }
  /// What differs; empty: nothing.
  std::string difference(const TensorView& buffer, float what) {
    for (int64_t i = 0; i < weights.num_params(); ++i) {
      const std::vector<float> values = weights.get(buffer, i);
      for (size_t k = 0; k < values.size(); ++k) {
        if (values[k] != value(i, weights.held(i).first + static_cast<int64_t>(k), what))
          return fmt::format("{} element {} + {}", weights.spec(i).name, weights.held(i).first, k);
      }
    }
    return "";
  }

  std::unique_ptr<Backend> backend;
  Weights weights;
};

/// Nothing can be read from its device any more.
class BrokenBackend final : public TimingBackend {
 public:
  using TimingBackend::TimingBackend;
  void download(ConstTensorView, void*) override { throw Error("the device is gone"); }
};

constexpr int64_t kIteration = 7;

TrainState some_state() {
  return {.iteration = kIteration,
          .consumed_samples = 84,
          .scheduler_samples = 72,
          .optimizer_updates = 6,
          .skipped_iterations = 1,
          .flops = 1e9};
}

void save_as(World& world, const RunConfig& c) {
  RankWeights own(world, c);
  own.fill();
  LossScaler scaler = make_loss_scaler(c.optimizer);
  CheckpointSaver saver(world, *own.backend, own.weights, c);
  saver.start(some_state(), scaler);
  if (c.checkpoint.async_save) own.fill(own.weights.master(), 99.0f);  // training goes on
  saver.finish();
}

void load_as(World& world, const RunConfig& c, const std::string& path) {
  RankWeights own(world, c);
  const CheckpointReader checkpoint(path);
  LossScaler scaler = make_loss_scaler(c.optimizer);
  load_weights(checkpoint, own.weights);
  const TrainState state = load_training_state(checkpoint, *own.backend, own.weights, scaler, true);
  if (state.consumed_samples != 84 || state.flops != 1e9) throw Error("another state");
  for (const auto& [buffer, what] :
       {std::pair(own.weights.master(), 1.0f), {own.weights.exp_avg(), 2.0f}, {own.weights.exp_avg_sq(), 3.0f}})
    if (const std::string d = own.difference(buffer, what); !d.empty()) throw Error(fmt::format("kind {}: {}", what, d));
  std::vector<float> scale(static_cast<size_t>(own.weights.delayed().scale().size()));
  own.backend->download(own.weights.delayed().scale(), scale.data());
  for (const float s : scale)
    if (s != 8.0f) throw Error("another scale");
}

std::vector<std::string> nothing(int ranks) { return std::vector<std::string>(static_cast<size_t>(ranks)); }

}  // namespace

TEST_CASE("what any number of ranks wrote, sharded or not, any other number reads, bit for bit") {
  for (const int writers : {1, 2, 3}) {
    for (const bool writers_shard : {true, false}) {
      const TemporaryFolder folder;
      RunConfig c = config_of(writers_shard);
      c.checkpoint.save = folder.path("run");
      REQUIRE(run_threads(writers, [&](World& w) { save_as(w, c); }) == nothing(writers));
      const std::string path = folder.path("run/iter_0000007");
      CHECK(read_index(path, true).ranks == writers);
      CHECK(names_in(path).size() == static_cast<size_t>(2 * writers + 4));
      for (const int readers : {1, 2, 3, 4}) {
        for (const bool readers_shard : {true, false}) {
          INFO(writers << " writers, sharded " << writers_shard << ", " << readers << " readers, sharded " << readers_shard);
          CHECK(run_threads(readers, [&](World& w) { load_as(w, config_of(readers_shard), path); }) == nothing(readers));
        }
      }
    }
  }
}

TEST_CASE("a sharded optimizer's checkpoint is that of one which is not, file for file") {
  const TemporaryFolder folder;
  for (const bool sharded : {true, false}) {
    RunConfig c = config_of(sharded);
    c.checkpoint.save = folder.path(sharded ? "sharded" : "plain");
    REQUIRE(run_threads(3, [&](World& w) { save_as(w, c); }) == nothing(3));
  }
  CHECK((state_of(folder.path("sharded/iter_0000007")) == state_of(folder.path("plain/iter_0000007"))));
}

TEST_CASE("a rank reads no file that holds nothing for it") {
  const TemporaryFolder folder;
  RunConfig c = config_of(true);
  c.checkpoint.save = folder.path("run");
  REQUIRE(run_threads(2, [&](World& w) { save_as(w, c); }) == nothing(2));
  fs::remove(folder.path("run/iter_0000007/optimizer_00001_of_00002.safetensors"));
  const std::vector<std::string> thrown = run_threads(2, [&](World& w) { load_as(w, c, folder.path("run/iter_0000007")); });
  CHECK(thrown[0].empty());
  CHECK_THAT(thrown[1], ContainsSubstring("optimizer_00001_of_00002.safetensors: there is no such file"));
}

TEST_CASE("saving beside training writes the same files as saving at once") {
  const TemporaryFolder folder;
  for (const int ranks : {1, 3}) {
    for (const bool async : {false, true}) {
      RunConfig c = config_of(true);
      c.checkpoint.async_save = async;
      c.checkpoint.save = folder.path(fmt::format("{}{}", async ? "async" : "sync", ranks));
      REQUIRE(run_threads(ranks, [&](World& w) { save_as(w, c); }) == nothing(ranks));
    }
    CHECK((state_of(folder.path(fmt::format("async{}/iter_0000007", ranks))) ==
           state_of(folder.path(fmt::format("sync{}/iter_0000007", ranks)))));
  }
}

TEST_CASE("what fails on one rank is told by all; nothing half written stays, and the checkpoint before does") {
  const TemporaryFolder folder;
  RunConfig c = config_of(true);
  c.checkpoint.save = folder.path("run");
  REQUIRE(run_threads(2, [&](World& w) { save_as(w, c); }) == nothing(2));
  const std::set<std::string> names = names_in(folder.path("run"));
  for (const bool async : {false, true}) {
    c.checkpoint.async_save = async;
    const std::vector<std::string> unreadable = run_threads(2, [&](World& w) {
      RankWeights own(w, c);
      BrokenBackend broken(*own.backend);
      LossScaler scaler = make_loss_scaler(c.optimizer);
      CheckpointSaver saver(w, w.rank() == 1 ? broken : *own.backend, own.weights, c);
      saver.start(some_state(), scaler);
      saver.finish();
    });
    CHECK(unreadable[0] == "rank 1 of 2 on board: the device is gone");
    CHECK(unreadable[1] == unreadable[0]);
    CHECK(names_in(folder.path("run")) == names);
  }
  const std::vector<std::string> lost = run_threads(2, [&](World& w) {  // async
    RankWeights own(w, c);
    LossScaler scaler = make_loss_scaler(c.optimizer);
    CheckpointSaver saver(w, *own.backend, own.weights, c);
    saver.start(some_state(), scaler);
    while (!saver.has_written()) std::this_thread::yield();
    w.barrier();
    if (w.rank() == 1) {
      for (const std::string& name : names_in(folder.path("run")))
        if (name.rfind(".tmp-iter_", 0) == 0) fs::remove(fs::path(folder.path("run")) / name / "weights_00001_of_00002.safetensors");
    }
    saver.finish();
  });
  CHECK_THAT(lost[1],
             ContainsSubstring("checkpoint.save: cannot write " + folder.path("run/iter_0000007")) && ContainsSubstring("No such file"));
  CHECK(lost[0] == lost[1]);
  CHECK(names_in(folder.path("run")) == names);
}

TEST_CASE("runs of several ranks continue as other numbers of ranks, and end the same when the number is the same") {
  const TemporaryFolder folder;
  RunConfig c = config_of(true, "bf16_mixed");
  const auto run_as = [&](int ranks, const RunConfig& config) {
    std::vector<Run> runs(static_cast<size_t>(ranks));
    REQUIRE(run_threads(ranks, [&](World& w) {
              const std::unique_ptr<Backend> backend = make_backend("cpu", 1);
              train(config, runs[static_cast<size_t>(w.rank())], *backend, w);
            }) == nothing(ranks));
    return runs[0];
  };
  for (const bool async : {false, true}) {
    c.checkpoint.async_save = async;
    c.checkpoint.load.clear();
    c.checkpoint.save_interval = 2;
    c.checkpoint.save = folder.path(fmt::format("whole{}", async ? 1 : 0));
    const Run whole = run_as(2, c);
    CHECK(whole.checkpoints.size() == 3);
    CHECK(whole.checkpoints.back() == folder.path(fmt::format("whole{}/iter_0000006", async ? 1 : 0)));
    RunConfig rest = c;
    rest.checkpoint.load = c.checkpoint.save;
    rest.checkpoint.ckpt_step = 2;
    rest.checkpoint.save = folder.path(fmt::format("rest{}", async ? 1 : 0));
    run_as(2, rest);
    CHECK((state_of(folder.path(fmt::format("rest{}/iter_0000006", async ? 1 : 0))) ==
           state_of(folder.path(fmt::format("whole{}/iter_0000006", async ? 1 : 0)))));
    for (const int ranks : {1, 3}) {
      rest.checkpoint.save = folder.path(fmt::format("as{}{}", ranks, async ? 1 : 0));
      const Run other = run_as(ranks, rest);
      REQUIRE(other.steps.size() == 4);
      for (size_t i = 0; i < 4; ++i) CHECK(other.steps[i].loss == Approx(whole.steps[i + 2].loss).epsilon(1e-3));
    }
  }
  CHECK((tensors_of(folder.path("whole0/iter_0000006")) == tensors_of(folder.path("whole1/iter_0000006"))));
}

TEST_CASE("an error that ends the run does not lose the save that is under way; one that fails ends the run") {
  const TemporaryFolder folder;
  RunConfig c = tiny();
  c.checkpoint.async_save = true;
  c.checkpoint.save_interval = 2;
  c.checkpoint.save = folder.path("run");
  Run run;
  run.after_step = [](const IterationRecord& r) {
    if (r.iteration == 3) throw Error("iteration 3 went wrong");
  };
  CHECK_THROWS_WITH(train(c, run), "iteration 3 went wrong");
  CHECK(run.checkpoints == std::vector<std::string>{folder.path("run/iter_0000002")});
  CHECK(find_checkpoint(c.checkpoint.save, std::nullopt)->note.empty());

  Run lost;
  lost.after_step = [&](const IterationRecord& r) {
    if (r.iteration != 3) return;
    // The save of iteration 2 has ended: else it is that one which fails, with another error.
    const fs::path saved = fs::path(folder.path("other")) / "latest_checkpointed_iteration.txt";
    for (int waits = 0; waits < 10000 && !fs::exists(saved); ++waits) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    fs::remove_all(folder.path("other"));
    folder.file("other", "no folder any more");
  };
  c.checkpoint.save = folder.path("other");
  CHECK_THROWS_AS(train(c, lost), InputError);
  CHECK(lost.steps.size() >= 3);
}

}  // namespace mbt::test::checkpoint_ranks_test
