// The training loop, as a library.
#include "core/train/trainer.h"

#include <cmath>

#include "core/io/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::trainer_test {

namespace fs = std::filesystem;

namespace {

/// Rewrites one value of a checkpoint's weights.
void poison(const fs::path& checkpoint, const std::string& tensor, float value) {
  const std::string path = (checkpoint / "weights_00000_of_00001.safetensors").string();
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors;
  {
    const SafetensorsFile file = SafetensorsFile::open(path);
    values.reserve(file.entries().size());
    for (const SafetensorsEntry& e : file.entries()) {
      values.push_back(file.read_f32(e));
      if (e.name == tensor) values.back()[3] = value;
      tensors.push_back({e.name, SafetensorsType::F32, e.shape, values.back().data()});
    }
  }
  write_safetensors(path, tensors);
  reseal(checkpoint);
}

}  // namespace

TEST_CASE("the same run twice gives the same losses, and another seed others") {
  const RunConfig c = tiny("bf16_with_nvfp4_mixed");
  RunConfig other = c;
  other.rng.seed += 1;
  const std::vector<double> first = losses(train(c));
  CHECK(first.size() == 6);
  CHECK(losses(train(c)) == first);
  CHECK(losses(train(other)) != first);
}

TEST_CASE("a run that is saved and continued ends where one without a break does, bit for bit, in every recipe") {
  for (const std::string& recipe : all_recipes()) {
    for (const bool codes_only : {false, true}) {
      INFO(recipe << (codes_only ? " with parameters as codes" : ""));
      RunConfig c = tiny(recipe, {"--train-iters", "13"});  // fp16: a dozen steps until the loss scale has found its level
      if (codes_only) {
        if (!c.model.fp8 && !c.model.fp4) continue;
        (c.model.fp8 ? c.model.fp8_param : c.model.fp4_param) = true;
      }
      const TemporaryFolder folder;
      c.checkpoint.save = folder.path("whole");
      const Run whole = train(c);
      for (const int64_t at : {2, 9}) {
        RunConfig first = c, second = c;
        first.train.exit_interval = at;
        first.checkpoint.save = second.checkpoint.load = second.checkpoint.save = folder.path("broken" + std::to_string(at));
        Run head = train(first);
        CHECK(head.reason == ExitReason::interval);
        const Run tail = train(second);
        head.steps.insert(head.steps.end(), tail.steps.begin(), tail.steps.end());
        CHECK(losses(head) == losses(whole));
        CHECK((state_of(tail.checkpoints.back()) == state_of(whole.checkpoints.back())));
      }
    }
  }
}

TEST_CASE("evaluation does not change training") {
  for (const char* recipe : {"fp32", "bf16_with_fp8_delayed_scaling_mixed", "bf16_with_nvfp4_mixed"}) {
    INFO(recipe);
    RunConfig c = tiny(recipe);
    const Run plain = train(c);
    c.validation.eval_iters = 2;
    c.validation.eval_interval = 1;
    const Run evaluated = train(c);
    CHECK(losses(evaluated) == losses(plain));
    CHECK(plain.evaluations.empty());
    REQUIRE(evaluated.evaluations.size() == 6);
    CHECK(evaluated.evaluations.back().is_final);
    CHECK(evaluated.evaluations.back().loss < evaluated.evaluations.front().loss);
  }
}

TEST_CASE("evaluation alone: of a saved model, and of the whole split") {
  const TemporaryFolder folder;
  RunConfig c = saved(folder);
  c.validation.skip_train = true;
  c.validation.eval_iters = 3;
  const Run some = train(c);
  CHECK(some.steps.empty());
  REQUIRE(some.evaluations.size() == 1);
  CHECK(some.evaluations[0].tokens == 3 * 4 * 32);
  c.validation.eval_iters = 0;
  c.validation.full_validation = true;
  c.dataset.synthetic_tokens = 20000;
  const Run whole = train(c);
  REQUIRE(whole.evaluations.size() == 1);
  CHECK(whole.evaluations[0].tokens > 1500);
}

TEST_CASE("schedules and length count samples") {
  RunConfig c = tiny("fp32", {"--train-samples", "22", "--scheduler.lr_decay_style", "linear", "--scheduler.lr_warmup_samples", "6"});
  const Run run = train(c);
  REQUIRE(run.steps.size() == 5);
  const LrSchedule schedule(c.optimizer, c.scheduler, c.train);
  for (size_t i = 0; i < 5; ++i) {
    CHECK(run.steps[i].learning_rate == schedule.lr(4 * static_cast<int64_t>(i)));
    CHECK(run.steps[i].consumed_samples == 4 * static_cast<int64_t>(i + 1));
  }
}

TEST_CASE("fp16: steps that overflow are skipped, consume data and do not advance the schedule") {
  RunConfig c = tiny("fp16_mixed", {"--train-iters", "30", "--scheduler.lr_decay_style", "linear"});
  const Run run = train(c);
  REQUIRE(run.steps.size() == 30);
  int64_t advanced = 0;
  const LrSchedule schedule(c.optimizer, c.scheduler, c.train);
  for (const IterationRecord& r : run.steps) {
    CHECK(r.learning_rate == schedule.lr(4 * advanced));
    CHECK(std::isfinite(r.loss));
    advanced += !r.was_skipped;
  }
  CHECK(run.steps.front().was_skipped);
  CHECK(advanced > 10);  // 2^32 halves until the gradients fit, then the run goes on
  CHECK(run.state.scheduler_samples == 4 * advanced);
  CHECK(run.state.optimizer_updates == advanced);
  CHECK(run.state.skipped_iterations == 30 - advanced);
  CHECK(run.state.consumed_samples == 120);
  CHECK(run.steps.back().loss < run.steps.front().loss);
}

TEST_CASE("iterations_to_skip consume their data without a step") {
  RunConfig c = tiny();
  const Run all = train(c);
  c.train.iterations_to_skip = {1};
  const Run skipped = train(c);
  CHECK(skipped.steps[0].was_skipped);
  CHECK(skipped.steps[0].consumed_samples == 4);
  CHECK(skipped.steps[1].learning_rate == all.steps[0].learning_rate);
  CHECK(skipped.state.optimizer_updates == 5);
  // The second batch on the initial weights: not the first batch's loss.
  CHECK(skipped.steps[1].loss != all.steps[0].loss);
  CHECK(std::fabs(skipped.steps[1].loss - all.steps[0].loss) < 0.5);
}

TEST_CASE("a loss that is not a number: abort names the tensor, skip goes on with the weights as they are") {
  const TemporaryFolder folder;
  RunConfig c = saved(folder);
  const fs::path checkpoint = folder.path("run/iter_0000002");
  poison(checkpoint, "layers.2.fc1.weight", NAN);
  CHECK_THROWS_WITH(train(c),
                    ContainsSubstring("layers.2.fc1.weight") && ContainsSubstring("iteration 3") && ContainsSubstring("nan_policy=skip"));
  c.train.nan_policy = NanPolicy::skip;
  c.checkpoint.save = folder.path("after");
  const Run run = train(c);
  REQUIRE(run.steps.size() == 4);
  for (const IterationRecord& r : run.steps) CHECK((r.is_nan && r.was_skipped));
  CHECK(run.state.skipped_iterations == 4);
  CHECK(run.state.optimizer_updates == 2);
  const auto weights = [](const fs::path& path) {
    const SafetensorsFile file = SafetensorsFile::open((path / "weights_00000_of_00001.safetensors").string());
    return file.read_f32(file.at("layers.1.fc2.weight"));
  };
  CHECK((weights(folder.path("after/iter_0000006")) == weights(checkpoint)));

  poison(checkpoint, "layers.2.fc1.weight", 3.4e38f);  // finite, but what follows is not
  c.train.nan_policy = NanPolicy::abort;
  c.checkpoint.save.clear();
  CHECK_THROWS_WITH(train(c), ContainsSubstring("layer 2") || ContainsSubstring("layers.2"));
}

TEST_CASE("ddp.check_for_nan_in_grad ends the run whatever nan_policy says") {
  const TemporaryFolder folder;
  RunConfig c = saved(folder);
  poison(fs::path(c.checkpoint.load) / "iter_0000002", "layers.0.fc1.weight", INFINITY);
  c.train.nan_policy = NanPolicy::skip;
  CHECK_NOTHROW(train(c));
  c.ddp.check_for_nan_in_grad = true;
  CHECK_THROWS_WITH(train(c), ContainsSubstring("layers.0.fc1.weight"));
}

TEST_CASE("a run continued under other settings says which; the schedule is the one asked for") {
  const TemporaryFolder folder;
  const RunConfig same = saved(folder);
  const auto says = [](const Run& run, const std::string& part) {
    return std::any_of(run.messages.begin(), run.messages.end(), [&](const std::string& m) { return m.find(part) != std::string::npos; });
  };
  const Run plain = train(same);
  CHECK_FALSE(says(plain, "other settings"));

  RunConfig other = same;
  other.optimizer.lr *= 0.5;
  const Run changed = train(other);
  CHECK(says(changed, "continues with other settings than the checkpoint's: optimizer.lr"));
  CHECK(changed.steps[0].learning_rate == Approx(0.5 * plain.steps[0].learning_rate).epsilon(0.2));  // min_lr stays
  other.scheduler.override_opt_param_scheduler = true;
  CHECK_FALSE(says(train(other), "other settings"));
  other.scheduler.override_opt_param_scheduler = false;
  other.scheduler.use_checkpoint_opt_param_scheduler = true;
  const Run kept = train(other);
  CHECK(kept.steps[0].learning_rate == plain.steps[0].learning_rate);
  CHECK(says(kept, "checkpoint's schedule"));
}

TEST_CASE("every difference from the checkpoint that changes training is named, and nothing else is") {
  const TemporaryFolder folder;
  const RunConfig same = saved(folder);
  const auto named = [](const RunConfig& c) {
    std::string all;
    for (const std::string& m : train(c).messages)
      if (m.find("other settings than the checkpoint's") != m.npos) all += m;
    return all;
  };
  RunConfig other = same;
  other.dataset.split = "8,2,0", other.dataset.random_seed = 7, other.dataset.synthetic_tokens /= 2, other.rng.seed += 1;
  other.model.seq_length /= 2, other.model.calculate_per_token_loss = !other.model.calculate_per_token_loss;
  other.optimizer.adam_beta2 = 0.98, other.optimizer.clip_grad = 0.5, other.scheduler.lr_warmup_iters = 1;
  const std::string list = named(other);
  for (const char* path : {"dataset.split", "dataset.random_seed", "dataset.synthetic_tokens", "rng.seed", "model.seq_length",
                           "model.calculate_per_token_loss", "optimizer.adam_beta2", "optimizer.clip_grad", "scheduler.lr_warmup_iters"})
    CHECK_THAT(list, ContainsSubstring(path));

  const TemporaryFolder another;  // `other` may have saved
  RunConfig idle = saved(another);
  idle.model.recompute_granularity = RecomputeGranularity::full, idle.model.init_method_std = 0.5;
  idle.optimizer.log_num_zeros_in_grad = true, idle.dataset.path_to_cache = folder.path("cache");
  idle.logger.log_interval += 1, idle.checkpoint.async_save = true, idle.validation.eval_iters += 1;
  CHECK(named(idle) == "");
}

TEST_CASE("a run continued with another length says so, and what that does to the learning rate and weight decay") {
  const TemporaryFolder folder;
  RunConfig first = tiny("fp32", {"--lr", "0.002", "--min-lr", "0.0002", "--lr-decay-style", "linear", "--train-iters", "8"});
  first.train.exit_interval = 6;
  first.checkpoint.save = folder.path("run");
  const Run before = train(first);
  RunConfig next = first;
  next.checkpoint.load = first.checkpoint.save, next.checkpoint.save.clear();
  next.train.exit_interval = 7;
  const auto contains = [](const std::vector<std::string>& texts, const std::string& part) {
    return std::any_of(texts.begin(), texts.end(), [&](const std::string& t) { return t.find(part) != std::string::npos; });
  };
  const Run same = train(next);
  CHECK_FALSE(contains(same.messages, "other settings"));
  CHECK(same.warnings.empty());

  next.train.train_iters = 20;
  const Run longer = train(next);
  CHECK(contains(longer.messages, "continues with other settings than the checkpoint's: train.train_iters 8 -> 20"));
  CHECK(longer.steps[0].learning_rate == Approx(0.002 - 0.0018 * 24 / 80));
  CHECK(contains(longer.warnings,
                 "the learning rate of iteration 7 is 1.460000E-03, where the checkpoint's schedule has 6.500000E-04; the last step before "
                 "it had 8.750000E-04"));
  RunConfig kept = next;
  kept.scheduler.use_checkpoint_opt_param_scheduler = true;
  const Run with_old_schedule = train(kept);
  CHECK(with_old_schedule.warnings.empty());
  CHECK(contains(with_old_schedule.messages, "train.train_iters 8 -> 20"));
  RunConfig replaced = next;
  replaced.scheduler.override_opt_param_scheduler = true, replaced.optimizer.lr = 0.004, replaced.optimizer.adam_beta2 = 0.99;
  const Run asked_for = train(replaced);
  CHECK(asked_for.warnings.empty());
  CHECK(contains(asked_for.messages, "replaces the checkpoint's (scheduler.override_opt_param_scheduler): optimizer.lr 0.002 -> 0.004"));
  CHECK(contains(asked_for.messages, "optimizer.adam_beta2 "));
  CHECK(contains(asked_for.messages, "the learning rate of iteration 7 is"));

  RunConfig in_samples = next;
  in_samples.train.train_iters.reset(), in_samples.train.train_samples = 80;
  CHECK(contains(train(in_samples).messages, "train.train_samples null -> 80"));
  in_samples.train.train_samples = 32;  // the same length in other words
  CHECK_FALSE(contains(train(in_samples).messages, "other settings"));

  RunConfig others = first;
  others.checkpoint = next.checkpoint;
  others.train.exit_interval = 7;
  others.train.micro_batch_size = 1, others.train.nan_policy = NanPolicy::skip, others.ddp.average_in_collective = true;
  const Run changed = train(others);
  for (const char* field : {"train.micro_batch_size 2 -> 1", "train.nan_policy", "ddp.average_in_collective"}) {
    INFO(field);
    CHECK(contains(changed.messages, field));
  }
}

TEST_CASE("a schedule that differs only later, and a ramp of weight decay, are named too") {
  const TemporaryFolder folder;
  RunConfig c = tiny("fp32", {"--lr-decay-style", "linear", "--lr-warmup-iters", "6", "--train-iters", "8", "--weight-decay-incr-style",
                              "linear", "--start-weight-decay", "0", "--end-weight-decay", "0.1"});
  c.train.exit_interval = 2;
  c.checkpoint.save = folder.path("run");
  train(c);
  c.checkpoint.load = c.checkpoint.save, c.checkpoint.save.clear();
  c.train.exit_interval = 3, c.train.train_iters = 16;
  const std::vector<std::string> warnings = train(c).warnings;
  REQUIRE(warnings.size() == 2);
  CHECK_THAT(warnings[0], ContainsSubstring("the learning rate of iteration 8 is") && ContainsSubstring("that of iteration 3 is the same"));
  CHECK_THAT(warnings[1],
             ContainsSubstring("the weight decay of iteration 3 is 1.250000E-02, where the checkpoint's schedule has 2.500000E-02"));
}

TEST_CASE("a run ends early when told to, and saves") {
  const TemporaryFolder folder;
  RunConfig c = tiny();
  c.checkpoint.save = folder.path("signal");
  Run run;
  run.stop_at = 2;
  train(c, run);
  CHECK(run.reason == ExitReason::signal);
  CHECK(run.steps.size() == 2);
  CHECK(run.checkpoints == std::vector<std::string>{folder.path("signal/iter_0000002")});
  c.checkpoint.save = folder.path("duration");
  c.train.exit_duration_in_mins = 0.0;
  CHECK(train(c).reason == ExitReason::duration);
  CHECK(content(folder.path("duration/latest_checkpointed_iteration.txt")) == "1\n");
}

TEST_CASE("documents end at a token: refused when nobody names it, and another loss when somebody does") {
  const std::vector<std::string> resets = {"--train-iters", "2", "--reset-attention-mask", "--reset-position-ids"};
  CHECK_THROWS_WITH(train(tiny("fp32", resets)),
                    ContainsSubstring("dataset.reset_attention_mask needs to know the token that ends a document"));
  std::vector<std::string> with_token = resets;
  with_token.insert(with_token.end(), {"--dataset.eod_token_id", "32"});
  CHECK(losses(train(tiny("fp32", with_token))) != losses(train(tiny("fp32", {"--train-iters", "2"}))));
}

TEST_CASE("norms of weights and zeros of gradients are counted when asked for") {
  RunConfig c = tiny();
  CHECK_FALSE(train(c).steps[0].params_norm);
  c.logger.log_params_norm = true;
  c.optimizer.log_num_zeros_in_grad = true;
  c.model.share_embeddings_and_output_weights = false;  // a tied table gets gradients from the head in every row
  const IterationRecord r = train(c).steps[0];
  CHECK(*r.params_norm > 1.0);
  CHECK(*r.num_zeros > 32 * 100);  // the embedding's rows of bytes that no text has
}

}  // namespace mbt::test::trainer_test
