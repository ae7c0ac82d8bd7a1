#include "tests/support/tiny_run.h"

#include "core/data/make_dataset.h"
#include "kernels/kernels.h"

namespace mbt::test {

namespace fs = std::filesystem;

RunConfig tiny(const std::string& recipe, const std::vector<std::string>& more) {
  std::vector<std::string> args = {
      "--mixed-precision",        recipe, "--model.hidden_size",       "32", "--model.ffn_hidden_size", "64", "--seq-length", "32",
      "--train.micro_batch_size", "2",    "--train.global_batch_size", "4",  "--validation.eval_iters", "0"};
  args.insert(args.end(), more.begin(), more.end());
  RunConfig c = resolved(args);
  if (!c.train.train_samples) c.train.train_iters = c.train.train_iters.value_or(6);
  return c;
}

void train(const RunConfig& c, Run& run, Backend& backend) {
  SingleWorld world;
  train(c, run, backend, world);
}

void train(const RunConfig& c, Run& run, Backend& backend, World& world) {
  const std::unique_ptr<Dataset> data = make_dataset(c);
  Trainer trainer(backend, world, c, make_policy(c.model, c.ddp), *data, run);
  const auto outer = run.after_step;
  run.after_step = [&](const IterationRecord& r) {
    if (outer) outer(r);
    if (r.iteration == run.stop_at) trainer.request_stop();
  };
  run.reason = trainer.run();
  run.after_step = outer;
  run.state = trainer.state();
}

void train(const RunConfig& c, Run& run) {
  const std::unique_ptr<Backend> backend = make_backend("cpu");
  train(c, run, *backend);
}

Run train(const RunConfig& c) {
  Run run;
  train(c, run);
  return run;
}

std::vector<double> losses(const Run& run) {
  std::vector<double> all;
  for (const IterationRecord& r : run.steps) all.push_back(r.loss);
  return all;
}

std::string content(const fs::path& path) { return read_text_file(path.string()); }

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const fs::directory_entry& e : fs::directory_iterator(folder)) names.insert(e.path().filename().string());
  return names;
}

RunConfig saved(const TemporaryFolder& folder, int64_t iterations, const std::string& recipe) {
  RunConfig c = tiny(recipe);
  c.train.exit_interval = iterations;
  c.checkpoint.save = folder.path("run");
  train(c);
  c.train.exit_interval.reset();
  c.checkpoint.load = c.checkpoint.save;
  c.checkpoint.save.clear();
  return c;
}

}  // namespace mbt::test
