// Agreement with PyTorch and Hugging Face transformers on whole models: forward, backward and AdamW steps of seven variants.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/io/safetensors.h"
#include "core/recipe/policy.h"
#include "core/train/probe.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::golden_test {

namespace fs = std::filesystem;

namespace {

struct Golden {
  explicit Golden(const fs::path& path)
      : folder(path.string()),
        name(path.filename().string()),
        numbers(nlohmann::json::parse(std::ifstream(path / "expected.json"))),
        tensors(SafetensorsFile::open((path / "expected.safetensors").string())) {}

  std::string folder, name;
  nlohmann::json numbers;   ///< loss, losses, grad_norms, hyper
  SafetensorsFile tensors;  ///< logits, grad.*, after.*
};

std::vector<Golden> goldens() {
  std::vector<Golden> all;
  for (const fs::directory_entry& e : fs::directory_iterator(fs::path(MBT_SOURCE_DIR) / "tests/golden/models")) all.emplace_back(e.path());
  return all;
}

/// What `mbtrain probe` writes for the golden's batches under `recipe`.
SafetensorsFile probe(const Golden& g, const std::string& recipe, const TemporaryFolder& folder, const std::string& batch_file = "") {
  const nlohmann::json& h = g.numbers["hyper"];
  const RunConfig config = resolved({"--mixed-precision", recipe, "--model.hf_path", g.folder, "--lr", h["lr"].dump(),
                                     "--optimizer.adam_beta1", h["beta1"].dump(), "--optimizer.adam_beta2", h["beta2"].dump(),
                                     "--optimizer.adam_eps", h["eps"].dump(), "--optimizer.weight_decay", h["weight_decay"].dump(),
                                     "--optimizer.clip_grad", h["clip_grad"].dump(), "--scheduler.lr_decay_style", "constant"});
  const std::unique_ptr<Backend> backend = make_backend("cpu");
  const std::string out = folder.path(g.name + ".safetensors");
  run_probe(*backend, config, make_policy(config.model, config.ddp), batch_file.empty() ? g.folder + "/batch.safetensors" : batch_file, out,
            static_cast<int64_t>(g.numbers["losses"].size()));
  return SafetensorsFile::open(out);
}

/// ||got - want|| / ||want||, and infinite when one of them is not finite.
double relative_l2(const std::vector<float>& got, const std::vector<float>& want) {
  if (got.size() != want.size()) return INFINITY;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got[i]) - want[i];
    difference += d * d;
    norm += static_cast<double>(want[i]) * want[i];
  }
  const double relative = std::sqrt(difference / (norm + 1e-60));
  return std::isfinite(relative) ? relative : INFINITY;
}

std::vector<float> read(const SafetensorsFile& file, const std::string& name) { return file.read_f32(file.at(name)); }
std::vector<float> numbers(const nlohmann::json& list) { return list.get<std::vector<float>>(); }

struct Errors {
  double logits, losses, grad_norms, gradients = 0, weights = 0;  ///< of gradients and weights: the worst tensor's
};

Errors errors_of(const Golden& g, const SafetensorsFile& got) {
  Errors e{.logits = relative_l2(read(got, "logits"), read(g.tensors, "logits")),
           .losses = relative_l2(read(got, "losses"), numbers(g.numbers["losses"])),
           .grad_norms = relative_l2(read(got, "grad_norms"), numbers(g.numbers["grad_norms"]))};
  for (const SafetensorsEntry& entry : g.tensors.entries()) {
    if (entry.name == "logits") continue;
    const double error = relative_l2(read(got, entry.name), g.tensors.read_f32(entry));
    double& worst = entry.name.rfind("grad.", 0) == 0 ? e.gradients : e.weights;
    if (error > worst) UNSCOPED_INFO(entry.name << ": " << error);
    worst = std::max(worst, error);
  }
  return e;
}

}  // namespace

TEST_CASE("fp32 matches PyTorch in float64: logits, losses, every gradient, every weight after AdamW steps") {
  const TemporaryFolder folder;
  int models = 0;
  for (const Golden& g : goldens()) {
    const Errors e = errors_of(g, probe(g, "fp32", folder));
    INFO(g.name);
    CHECK(e.logits < 1e-5);
    CHECK(e.losses < 1e-5);
    CHECK(e.grad_norms < 1e-4);
    CHECK(e.gradients < 1e-4);
    CHECK(e.weights < 1e-3);
    ++models;
  }
  CHECK(models == 7);
}

/// Rounding activations and weights to 8 (bf16) or 4 (E4M3) significant bits moves the losses of two layers by a fraction of that spacing;
/// a wrong formula or a misplaced scale moves them by more than a tenth.
TEST_CASE("lower precisions stay close to the golden losses and gradients") {
  struct Expected {
    const char* recipe;
    double losses, gradients;
  };
  const TemporaryFolder folder;
  for (const Expected& expected : {Expected{"bf16_mixed", 5e-3, 0.05}, Expected{"bf16_with_fp8_current_scaling_mixed", 2e-2, 0.35}}) {
    for (const Golden& g : goldens()) {
      const Errors e = errors_of(g, probe(g, expected.recipe, folder));
      INFO(expected.recipe << " " << g.name);
      CHECK(e.losses < expected.losses);
      CHECK(e.gradients < expected.gradients);
    }
  }
}

TEST_CASE("a label of -100 is one without a loss, as in PyTorch") {
  const std::vector<Golden> all_goldens = goldens();
  const Golden& g = all_goldens.front();
  const TemporaryFolder folder;
  const SafetensorsFile batch = SafetensorsFile::open(g.folder + "/batch.safetensors");
  const std::vector<int64_t>& shape = batch.at("labels").shape;
  const std::vector<int32_t> tokens = batch.read_i32(batch.at("input_ids"));
  std::vector<int32_t> labels = batch.read_i32(batch.at("labels"));
  std::vector<float> mask = read(batch, "loss_mask");
  const auto write = [&](const std::string& name) {
    write_safetensors(folder.path(name), {{"input_ids", SafetensorsType::I32, shape, tokens.data()},
                                          {"labels", SafetensorsType::I32, shape, labels.data()},
                                          {"loss_mask", SafetensorsType::F32, shape, mask.data()}});
    return folder.path(name);
  };
  const std::vector<float> all = mask;
  for (size_t i = 0; i < mask.size(); i += 3) mask[i] = 0;
  const SafetensorsFile by_mask = probe(g, "fp32", folder, write("by_mask"));
  const std::vector<float> losses = read(by_mask, "losses");
  for (size_t i = 0; i < mask.size(); i += 3) labels[i] = -100;
  mask = all;
  CHECK(read(probe(g, "fp32", folder, write("by_label")), "losses") == losses);
}

}  // namespace mbt::test::golden_test
