// What a checkpoint brings along, what is refused beside it, saved configs run again, and plans that refuse what runs refuse.
#include <filesystem>

#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::load_test {

namespace {

namespace fs = std::filesystem;
using Args = std::vector<std::string>;

const fs::path kTokenizers = fs::path(MBT_SOURCE_DIR) / "tests/golden/tokenizers";

Args joined(Args a, const Args& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// All that a run needs beside its model.
const Args kRun = {"--micro-batch-size", "2", "--global-batch-size", "4", "--eval-iters", "0", "--log-interval", "1"};
const Args kModel = {"--num-layers", "1",  "--hidden-size",   "32",       "--num-attention-heads", "2",
                     "--seq-length", "16", "--normalization", "LayerNorm"};

RunResult run(const TemporaryFolder& folder, const Args& args, const char* verb = "train") {
  return run_binary(joined({verb}, args), folder.path());
}

RunResult succeed(const TemporaryFolder& folder, const Args& args, const char* verb = "train") {
  RunResult r = run(folder, args, verb);
  INFO(r.out << r.err);
  REQUIRE(r.exit_code == 0);
  return r;
}

/// By the run and by its plan, with the same words.
void refuse(const TemporaryFolder& folder, const Args& args, const Args& words) {
  for (const char* verb : {"plan", "train"}) {
    const RunResult r = run(folder, args, verb);
    CAPTURE(verb, args, r.out, r.err);
    CHECK(r.exit_code == 2);
    for (const std::string& word : words) CHECK_THAT(r.err, ContainsSubstring(word));
  }
}

/// The losses of the log, one a line.
std::string losses(const std::string& log) {
  std::string all;
  for (size_t at = log.find("lm loss: "); at != log.npos; at = log.find("lm loss: ", at + 1)) all += log.substr(at, 22) + "\n";
  return all;
}

int64_t warnings(const std::string& log) {
  int64_t count = 0;
  for (size_t at = log.find("warning: "); at != log.npos; at = log.find("warning: ", at + 1)) ++count;
  return count;
}

void write_text(const TemporaryFolder& folder) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "The quick brown fox jumps over the lazy dog " + std::to_string(i) + ".\n";
  folder.file("text.txt", text);
}

}  // namespace

TEST_CASE("--load continues without the architecture and the tokenizer being said again") {
  const TemporaryFolder folder;
  write_text(folder);
  fs::copy(kTokenizers / "llama3", folder.path("tokenizer"), fs::copy_options::recursive);
  const Args data = {"--data-path", "text.txt"};
  const Args first = joined(joined(joined(kRun, kModel), data), {"--tokenizer-model", "tokenizer", "--train-iters", "4", "--save", "a"});
  succeed(folder, joined(first, {"--exit-interval", "2"}));
  const Args go_on = joined(joined(kRun, data), {"--train-iters", "4", "--load", "a"});
  const std::string said = losses(succeed(folder, joined(go_on, joined(kModel, {"--tokenizer-model", "tokenizer"}))).out);
  REQUIRE(!said.empty());
  const RunResult quiet = succeed(folder, go_on);
  CHECK(losses(quiet.out) == said);
  CHECK(warnings(quiet.err) == 0);
  CHECK_THAT(quiet.err, !ContainsSubstring("other settings"));

  fs::rename(folder.path("tokenizer"), folder.path("elsewhere"));  // the checkpoint carries it
  CHECK(losses(succeed(folder, go_on).out) == said);
  CHECK(losses(succeed(folder, joined(go_on, {"--tokenizer-model", "elsewhere"})).out) == said);
  CHECK(losses(succeed(folder, {"--config", "a/iter_0000002/run_config.json", "--load", "a", "--save", "b", "--exit-interval", "9"}).out) ==
        said);
  CHECK_THAT(succeed(folder, go_on, "plan").out, ContainsSubstring("checkpoint a/iter_0000002/run_config.json"));
  succeed(folder, joined(go_on, {"--finetune", "--save", "tuned"}));
  CHECK(fs::exists(folder.path("tuned/iter_0000004/tokenizer-tokenizer.json")));

  const std::string other = (kTokenizers / "o200k").string();
  for (const Args& more : std::vector<Args>{{}, {"--finetune"}}) {
    refuse(folder, joined(joined(go_on, more), {"--tokenizer-model", other}), {"--tokenizer-model", "a/iter_0000002", "there, "});
    refuse(folder, joined(joined(go_on, more), {"--tokenizer-type", "bytes"}), {"--tokenizer-type", "256 here"});
  }
  refuse(folder, joined(joined(kRun, data), {"checkpoint.pretrained_checkpoint=a", "--tokenizer-model", other}), {"tokenizer_model"});
}

TEST_CASE("what is said against the architecture of the checkpoint is refused, or named where the weights fit") {
  const TemporaryFolder folder;
  succeed(folder, joined(joined(kRun, kModel), {"--train-iters", "2", "--save", "a"}));
  const Args load = joined(kRun, {"--train-iters", "3", "--load", "a"});
  const std::vector<Args> of_shapes = {{"--hidden-size", "64"},
                                       {"--num-layers", "2"},
                                       {"--normalization", "RMSNorm"},
                                       {"--ffn-hidden-size", "64"},
                                       {"--num-query-groups", "1"},
                                       {"model.activation_func=gelu"},
                                       {"model.add_bias_linear=true"},
                                       {"--vocab-size", "1000"},
                                       {"--make-vocab-size-divisible-by", "512"},
                                       {"model.share_embeddings_and_output_weights=false"}};
  for (const Args& more : of_shapes) {
    const std::string flag = more[0].substr(0, more[0].find('='));
    refuse(folder, joined(load, more), {"command line " + flag, "got ", "expected ", "checkpoint a/iter_0000002/run_config.json:"});
  }
  folder.file("said.json", "{\"model\": {\n\"hidden_size\": 64}}");
  refuse(folder, joined(load, {"--config", "said.json"}), {"said.json:2", "run_config.json:"});
  for (const Args& more : std::vector<Args>{{"--rotary-base", "5e5"}, {"model.softmax_scale=0.5"}, {"model.layernorm_epsilon=1e-3"}}) {
    const std::string flag = more[0].substr(0, more[0].find('='));
    for (const Args& way : std::vector<Args>{{}, {"--finetune"}}) {
      const RunResult r = succeed(folder, joined(joined(load, more), way));
      CHECK_THAT(r.err, ContainsSubstring("computes something else") && ContainsSubstring("(command line " + flag + ")") &&
                            ContainsSubstring("(checkpoint a/iter_0000002/run_config.json:"));
    }
  }
  CHECK_THAT(succeed(folder, joined(load, {"--num-query-groups", "2"})).err, !ContainsSubstring("something else"));  // the same model
  CHECK_THAT(succeed(folder, {"show", "--load", "a"}, "config").out, ContainsSubstring("\"hidden_size\": 32"));
}

TEST_CASE("a run from its saved config is the same run, and says no more") {
  const TemporaryFolder folder;
  write_text(folder);
  const std::vector<Args> runs = {
      {},
      {"--fp16"},
      {"--mixed-precision", "bf16_with_fp8_delayed_scaling_mixed", "mixed_precision.fp8_margin=1"},
      {"--data-path", "text.txt"},
      {"--data-path", "text.txt", "--tokenizer-model", (kTokenizers / "llama3").string(), "--ddp.bucket_size", "1000"},
      {"model.bf16=false"}};
  for (const Args& more : runs) {
    const Args first = joined(joined(kRun, kModel), joined(more, {"--train-iters", "3", "--logger.save_config_filepath", "saved.json"}));
    const RunResult one = succeed(folder, first);
    const std::string saved = read_text_file(folder.path("saved.json"));
    CHECK_THAT(saved, ContainsSubstring("$resolved"));
    const RunResult two = succeed(folder, {"--config", "saved.json"});
    CAPTURE(more, one.err, two.err);
    CHECK(losses(one.out) == losses(two.out));
    CHECK(read_text_file(folder.path("saved.json")) == saved);
    CHECK(warnings(two.err) <= warnings(one.err));
    // one of an older version, which had no mark and a key of JSON Lines in every run
    std::string old = saved;
    old.erase(old.find("  \"$resolved\": true,\n"), 20);
    const std::string key = "\"json_key\": null";
    old.replace(old.find(key), key.size(), "\"json_key\": \"text\"");
    folder.file("old.json", old);
    const RunResult three = succeed(folder, {"--config", "old.json", "--logger.save_config_filepath", "again.json"});
    CAPTURE(three.err);
    CHECK(losses(one.out) == losses(three.out));
    CHECK(warnings(three.err) <= warnings(one.err));
  }
}

TEST_CASE("a saved config that was edited says so where the recipe decides otherwise") {
  const TemporaryFolder folder;
  succeed(folder, joined(joined(kRun, kModel), {"--train-iters", "1", "--logger.save_config_filepath", "saved.json"}));
  std::string text = read_text_file(folder.path("saved.json"));
  const std::string loss_scale = "\"hysteresis\": 2";
  text.replace(text.find(loss_scale), loss_scale.size(), "\"hysteresis\": 5");
  folder.file("saved.json", text);
  CHECK_THAT(succeed(folder, {"--config", "saved.json"}).err,
             ContainsSubstring("optimizer.hysteresis is 2, not the 5 of the config file saved.json"));
}

TEST_CASE("a plan refuses what the run refuses") {
  const TemporaryFolder folder;
  write_text(folder);
  const Args base = joined(joined(kRun, kModel), {"--train-iters", "2"});
  succeed(folder, joined(base, {"--save", "a"}));
  refuse(folder, joined(base, {"--split", "1,x,0"}), {"split"});
  refuse(folder, joined(base, {"--data-path", "none.txt"}), {"none.txt"});
  refuse(folder, joined(base, {"--data-path", "1", "text.txt", "2", "none.txt"}), {"none.txt"});
  refuse(folder, joined(base, {"--data-path", "text.txt", "--dataset.kind", "megatron"}), {"text"});
  refuse(folder, joined(base, {"--data-path", "text.txt", "--tokenizer-model", "nowhere"}), {"nowhere"});
  refuse(folder, joined(base, {"--skip-train", "--eval-iters", "1", "--split", "1,0,0"}), {"nothing is left to do"});
  refuse(folder, joined(base, {"--split", "0,1,0"}), {"leaves no data for train"});
  refuse(folder, joined(base, {"--save", "a"}), {"another run"});
  refuse(folder, joined(base, {"--load", "nowhere"}), {"no folder"});
  refuse(folder, joined(base, {"--load", "a", "--ckpt-step", "7"}), {"iter_0000007"});
  refuse(folder, joined(base, {"--load", (fs::path(MBT_SOURCE_DIR) / "tests/golden/models/llama2").string()}), {"model.hf_path"});
  refuse(folder, joined(base, {"--load", "a", "--mixed-precision", "bf16_with_fp8_delayed_scaling_mixed"}), {"delayed scaling"});
  fs::copy(folder.path("a"), folder.path("cut"), fs::copy_options::recursive);
  fs::resize_file(folder.path("cut/iter_0000002/weights_00000_of_00001.safetensors"), 100);
  refuse(folder, joined(base, {"--load", "cut"}), {"weights_00000_of_00001.safetensors"});
  folder.file("cut/iter_0000002/metadata.json", "{");
  refuse(folder, joined(base, {"--load", "cut"}), {"metadata.json"});
  CHECK_THAT(run(folder, joined(base, {"--data-path", "none.txt"}), "plan").err,
             ContainsSubstring("dataset.blend=[] dataset.kind=synthetic"));
  succeed(folder, joined(base, {"--data-path", "none.txt", "dataset.blend=[]", "dataset.kind=synthetic"}), "plan");
}

TEST_CASE("a plan writes nothing, also where the run would make tokens first") {
  const TemporaryFolder folder;
  write_text(folder);
  succeed(folder,
          joined(joined(kRun, kModel), {"--data-path", "text.txt", "--tokenizer-model", (kTokenizers / "llama3").string(), "--save", "s"}),
          "plan");
  for (const char* name : {"s", "cache"}) CHECK_FALSE(fs::exists(folder.path(name)));
}

TEST_CASE("pretrain_gpt: Megatron's defaults are not said against a checkpoint; what is said counts") {
  const TemporaryFolder folder;
  const Args run_of_it = {"--micro-batch-size", "2",      "--lr",         "1e-3", "--attention-dropout", "0", "--hidden-dropout", "0",
                          "--mock-data",        "--bf16", "--eval-iters", "0",    "--log-interval",      "1"};
  const Args model = {
      "--num-layers", "1", "--hidden-size", "32", "--num-attention-heads", "2", "--seq-length", "16", "--max-position-embeddings", "16"};
  const Args swiglu = {"--swiglu", "--normalization", "RMSNorm", "--disable-bias-linear", "--position-embedding-type", "rope"};
  const Args first = joined(joined(run_of_it, model),
                            joined(swiglu, {"--vocab-size", "256", "--train-iters", "2", "--save", "a", "--save-interval", "2"}));
  succeed(folder, first, "pretrain_gpt");
  const Args load = joined(run_of_it, {"--train-iters", "3", "--load", "a"});
  const RunResult all = succeed(folder, joined(joined(load, model), {"--vocab-size", "256"}), "pretrain_gpt");
  CHECK_THAT(all.err, !ContainsSubstring("something else"));
  const RunResult bare = succeed(folder, joined(load, {"--use-checkpoint-args"}), "pretrain_gpt");
  CHECK(losses(bare.out) == losses(all.out));
  CHECK(run(folder, load, "pretrain_gpt").exit_code == 2);  // as upstream: needed without it
  for (const Args& plan : std::vector<Args>{{}, {"--plan"}}) {
    const RunResult r = run(folder, joined(joined(load, {"--use-checkpoint-args", "--num-layers", "3"}), plan), "pretrain_gpt");
    CHECK(r.exit_code == 2);
    CHECK_THAT(r.err, ContainsSubstring("model.num_layers") && ContainsSubstring("got 3, expected 1"));
  }
}

}  // namespace mbt::test::load_test
