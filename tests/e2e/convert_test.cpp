// mbtrain convert: Hugging Face folders in and out.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/io/float_elements.h"
#include "tests/support/catch.h"
#include "tests/support/model_folder.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::convert_test {

namespace fs = std::filesystem;

namespace {

const fs::path kModels = fs::path(MBT_SOURCE_DIR) / "tests/golden/models";

std::string content_of(const fs::path& path) {
  std::ostringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  return all.str();
}

void succeed(const std::vector<std::string>& args, const TemporaryFolder& folder) {
  const RunResult result = run_binary(args, folder.path());
  INFO(result.out << result.err);
  REQUIRE(result.exit_code == 0);
}

std::vector<float> values_of(const ModelFolder::Tensor& t) {
  std::vector<float> values(t.bytes.size() / static_cast<size_t>(size_of(t.type)));
  decode_elements(t.type, t.bytes.data(), static_cast<int64_t>(values.size()), values.data());
  return values;
}

void convert_to(ModelFolder::Tensor& t, SafetensorsType type) {
  const std::vector<float> values = values_of(t);
  t.type = type;
  t.bytes.assign(values.size() * static_cast<size_t>(size_of(type)), '\0');
  REQUIRE(encode_elements(type, values.data(), static_cast<int64_t>(values.size()), t.bytes.data()) == -1);
}

std::string lower_triangle(int64_t positions) {
  std::string bytes(static_cast<size_t>(positions * positions), '\0');
  for (int64_t r = 0; r < positions; ++r)
    for (int64_t c = 0; c <= r; ++c) bytes[static_cast<size_t>(r * positions + c)] = 1;
  return bytes;
}

/// gpt2 as the wild has it: no prefix, a repeated head, masks, mixed types, a tokenizer, a vocabulary that is padded here.
ModelFolder odd_gpt2() {
  ModelFolder m = ModelFolder::golden("gpt2");
  const int64_t positions = m.config["n_positions"];
  m.config["vocab_size"] = 127;
  ModelFolder::Tensor& wte = m.at("transformer.wte.weight");
  wte.bytes.resize(wte.bytes.size() / 128 * 127);
  wte.shape[0] = 127;
  for (ModelFolder::Tensor& t : m.tensors) t.name = t.name.substr(std::strlen("transformer."));
  convert_to(m.at("h.0.mlp.c_fc.weight"), SafetensorsType::F16);
  convert_to(m.at("wpe.weight"), SafetensorsType::BF16);
  const ModelFolder::Tensor embedding = m.at("wte.weight");
  m.add("lm_head.weight", embedding.type, embedding.shape, embedding.bytes);
  for (const char* layer : {"h.0.", "h.1."}) {
    m.add(std::string(layer) + "attn.bias", SafetensorsType::U8, {1, 1, positions, positions}, lower_triangle(positions));
    m.add(std::string(layer) + "attn.masked_bias", SafetensorsType::F32, {}, std::string("\x00\x40\x1c\xc6", 4));
  }
  m.files = {{"tokenizer.json", "{\"made\": \"up\"}\n"}, {"merges.txt", "\xff not utf-8"}, {"generation_config.json", "{}"}};
  return m;
}

/// Of 256 tokens instead of 128.
void make_vocabulary_of_bytes(ModelFolder& m) {
  m.config["vocab_size"] = 256;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    ModelFolder::Tensor& t = m.at(name);
    t.shape[0] = 256;
    t.bytes += t.bytes;
  }
}

/// From `source` in the folder to `back` in the folder.
void round_trip(const TemporaryFolder& folder, const std::vector<std::string>& to_hf_options = {}) {
  succeed({"convert", "from-hf", "source", "run"}, folder);
  std::vector<std::string> args = {"convert", "to-hf", "run", "back"};
  args.insert(args.end(), to_hf_options.begin(), to_hf_options.end());
  succeed(args, folder);
}

void check_same(const fs::path& a, const fs::path& b) {
  CHECK(ModelFolder::read(a).by_name() == ModelFolder::read(b).by_name());
  CHECK(content_of(a / "config.json") == content_of(b / "config.json"));
}

}  // namespace

TEST_CASE("A model comes back with every tensor equal, its names, its types and its config.json", "[convert]") {
  for (const fs::directory_entry& e : fs::directory_iterator(kModels)) {
    INFO(e.path());
    const TemporaryFolder folder;
    fs::create_directory_symlink(e.path(), folder.path("source"));
    round_trip(folder);
    check_same(folder.path("source"), folder.path("back"));
    CHECK(fs::exists(folder.path("back/model.safetensors")));
  }
}

TEST_CASE("What files in the wild hold beside the weights comes back too, also in shards", "[convert]") {
  for (const bool in_shards : {false, true}) {
    const TemporaryFolder folder;
    fs::create_directory(folder.path("source"));
    const ModelFolder source = odd_gpt2();
    source.write(folder.path("source"));
    if (in_shards) {
      round_trip(folder, {"--max-shard-size", "20KB"});
      CHECK(fs::exists(folder.path("back/model.safetensors.index.json")));
      for (const fs::directory_entry& e : fs::directory_iterator(folder.path("back"))) {
        if (e.path().extension() == ".safetensors") CHECK(e.file_size() < 30000);
      }
    } else {
      round_trip(folder);
    }
    check_same(folder.path("source"), folder.path("back"));
    for (const auto& [name, content] : source.files) CHECK(content_of(folder.path("back/" + name)) == content);
  }
}

TEST_CASE("Every finite 16-bit pattern comes back", "[convert]") {
  for (const SafetensorsType type : {SafetensorsType::F16, SafetensorsType::BF16}) {
    const TemporaryFolder folder;
    fs::create_directory(folder.path("source"));
    ModelFolder m = ModelFolder::golden("llama2");
    const uint16_t exponent = type == SafetensorsType::F16 ? 0x7C00 : 0x7F80;
    uint16_t pattern = 0;
    for (ModelFolder::Tensor& t : m.tensors) {
      t.bytes.assign(t.bytes.size() / 2, '\0');
      t.type = type;
      for (size_t i = 0; i < t.bytes.size(); i += 2) {
        std::memcpy(t.bytes.data() + i, &pattern, 2);
        do pattern = static_cast<uint16_t>(pattern + 3);
        while ((pattern & exponent) == exponent);
      }
    }
    m.write(folder.path("source"));
    round_trip(folder);
    check_same(folder.path("source"), folder.path("back"));
  }
}

TEST_CASE("Training carries the source on: started from the folder, from its import, and continued", "[convert]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.path("source"));
  ModelFolder m = ModelFolder::golden("llama2");
  m.files = {{"merges.txt", "{}"}};
  for (ModelFolder::Tensor& t : m.tensors) convert_to(t, SafetensorsType::BF16);
  folder.file("text.txt", std::string(20000, 'a') + std::string(20000, 'b'));
  make_vocabulary_of_bytes(m);
  m.write(folder.path("source"));
  const auto with = [](std::vector<std::string> args) {
    const char* const common[] = {"--tokenizer-type",   "bytes", "--dataset.path",      "text.txt", "--seq-length",      "16",
                                  "--micro-batch-size", "2",     "--global-batch-size", "2",        "--mixed-precision", "fp32",
                                  "--eval-iters",       "0"};
    args.insert(args.end(), std::begin(common), std::end(common));
    return args;
  };
  succeed(with({"--model.hf_path", "source", "--train-iters", "2", "--checkpoint.save", "a", "--checkpoint.load", "a"}), folder);
  succeed({"convert", "from-hf", "source", "run"}, folder);
  succeed(with({"--config", "run/run_config.json", "--checkpoint.load", "run", "--checkpoint.finetune", "true", "--train-iters", "2",
                "--checkpoint.save", "b"}),
          folder);
  succeed(with({"--config", "run/run_config.json", "--train-iters", "3", "--checkpoint.load", "b", "--checkpoint.save", "c"}), folder);
  for (const char* run : {"a", "b", "c"}) succeed({"convert", "to-hf", run, std::string(run) + "-hf"}, folder);
  check_same(folder.path("a-hf"), folder.path("b-hf"));  // the two ways to start are one
  CHECK(content_of(folder.path("c-hf/merges.txt")) == "{}");
  CHECK(content_of(folder.path("c-hf/config.json")) == content_of(folder.path("source/config.json")));
  const auto before = m.by_name(), after = ModelFolder::read(folder.path("c-hf")).by_name();
  REQUIRE(before.size() == after.size());
  for (const auto& [name, t] : before) {
    CHECK(after.at(name).type == SafetensorsType::BF16);
    CHECK(after.at(name).bytes != t.bytes);
  }

  // fp32 are the masters; bf16 are those, rounded to nearest even
  succeed({"convert", "to-hf", "c", "c32", "--dtype", "fp32"}, folder);
  ModelFolder masters = ModelFolder::read(folder.path("c32"));
  CHECK(masters.config["torch_dtype"] == "float32");
  for (ModelFolder::Tensor& t : masters.tensors) convert_to(t, SafetensorsType::BF16);
  CHECK(masters.by_name() == after);

  // and again
  succeed({"convert", "from-hf", "c32", "again"}, folder);
  succeed({"convert", "to-hf", "again", "again-hf"}, folder);
  check_same(folder.path("c32"), folder.path("again-hf"));
}

TEST_CASE("A model that has come from nowhere is exported as the family that describes it", "[convert]") {
  const TemporaryFolder folder;
  const std::vector<std::string> tiny = {"--num-layers",       "1",   "--hidden-size",       "16", "--num-attention-heads", "2",
                                         "--vocab-size",       "300", "--seq-length",        "32", "--train-iters",         "1",
                                         "--micro-batch-size", "1",   "--global-batch-size", "1",  "--eval-iters",          "0"};
  const auto train = [&](const std::string& save, std::vector<std::string> args) {
    args.insert(args.end(), tiny.begin(), tiny.end());
    args.insert(args.end(), {"--checkpoint.save", save});
    succeed(args, folder);
  };
  train("llama", {});
  succeed({"convert", "to-hf", "llama", "llama-hf"}, folder);
  ModelFolder exported = ModelFolder::read(folder.path("llama-hf"));
  CHECK(exported.config["model_type"] == "llama");
  CHECK(exported.config["torch_dtype"] == "bfloat16");  // the default recipe's weights
  CHECK(exported.at("model.embed_tokens.weight").shape == std::vector<int64_t>{300, 16});
  CHECK(exported.at("model.embed_tokens.weight").type == SafetensorsType::BF16);
  succeed({"convert", "from-hf", "llama-hf", "back"}, folder);
  succeed({"convert", "to-hf", "back", "back-hf"}, folder);
  check_same(folder.path("llama-hf"), folder.path("back-hf"));

  train("odd", {"model.activation_func=squared_relu"});
  const RunResult refused = run_binary({"convert", "to-hf", "odd", "odd-hf"}, folder.path());
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, ContainsSubstring("activation_func squared_relu"));
  CHECK_FALSE(fs::exists(folder.path("odd-hf")));
}

TEST_CASE("What is there already is not touched; nothing half written stays", "[convert]") {
  const TemporaryFolder folder;
  fs::create_directory_symlink(kModels / "llama2", folder.path("source"));
  fs::create_directory(folder.path("taken"));
  fs::create_symlink("nowhere", folder.path("dangling"));
  round_trip(folder);
  for (const char* out : {"taken", "dangling", "taken/"}) {
    for (const auto& args :
         {std::vector<std::string>{"convert", "from-hf", "source", out}, std::vector<std::string>{"convert", "to-hf", "run", out}}) {
      const RunResult result = run_binary(args, folder.path());
      CHECK(result.exit_code == 2);
      CHECK_THAT(result.err, ContainsSubstring("exists already"));
    }
  }
  CHECK(fs::is_empty(folder.path("taken")));
  std::ofstream(folder.path("run/iter_0000000/weights_00000_of_00001.safetensors"), std::ios::app) << "x";
  const RunResult damaged = run_binary({"convert", "to-hf", "run", "new"}, folder.path());
  CHECK(damaged.exit_code == 2);
  CHECK_THAT(damaged.err, ContainsSubstring("weights_00000_of_00001.safetensors"));
  CHECK_FALSE(fs::exists(folder.path("new")));
  for (const fs::directory_entry& e : fs::directory_iterator(folder.path()))
    CHECK(e.path().filename().string().find(".tmp.") == std::string::npos);
}

TEST_CASE("A mask that is not causal, and a head that is not the embedding, are refused", "[convert]") {
  for (const bool is_mask : {true, false}) {
    const TemporaryFolder folder;
    folder.file("text.txt", std::string(20000, 'x'));
    fs::create_directory(folder.path("source"));
    ModelFolder m = odd_gpt2();
    ModelFolder::Tensor& t = m.at(is_mask ? "h.1.attn.bias" : "lm_head.weight");
    t.bytes[t.bytes.size() / 2] ^= 1;
    m.write(folder.path("source"));
    const RunResult result = run_binary({"convert", "from-hf", "source", "out"}, folder.path());
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, ContainsSubstring(is_mask ? "h.1.attn.bias" : "lm_head.weight"));
    CHECK_FALSE(fs::exists(folder.path("out")));
  }
}

TEST_CASE("A sliding window bounds the sequences of an import that asks for shorter ones", "[convert]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.path("source"));
  ModelFolder m = ModelFolder::golden("mistral-sharded-bf16");
  m.config["sliding_window"] = 16;
  make_vocabulary_of_bytes(m);
  m.write(folder.path("source"));
  CHECK_THAT(run_binary({"convert", "from-hf", "source", "run"}, folder.path()).err, ContainsSubstring("--seq-length 16 makes a run"));
  CHECK(run_binary({"convert", "from-hf", "source", "run", "--seq-length", "17"}, folder.path()).exit_code == 2);
  succeed({"convert", "from-hf", "source", "run", "--seq-length", "16"}, folder);
  succeed({"convert", "to-hf", "run", "back"}, folder);
  check_same(folder.path("source"), folder.path("back"));

  // Longer sequences, whether the run is told of the window or not: no training, since it would be another model's.
  folder.file("text.txt", std::string(20000, 'x'));
  const auto train = [&](std::vector<std::string> args) {
    for (const char* arg : {"--dataset.path", "text.txt", "--tokenizer-type", "bytes", "--checkpoint.load", "run", "--checkpoint.finetune",
                            "true", "--train-iters", "2", "--micro-batch-size", "1", "--global-batch-size", "1", "--eval-iters", "0"})
      args.emplace_back(arg);
    return run_binary(args, folder.path());
  };
  const std::vector<std::string> told = {"--config", "run/run_config.json"};
  std::vector<std::string> longer = told, untold = told;
  longer.insert(longer.end(), {"--seq-length", "32", "--max-position-embeddings", "128"});
  untold.insert(untold.end(), {"--seq-length", "32", "model.sliding_window=null"});
  for (const auto& args : {longer, untold}) {
    const RunResult refused = train(args);
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.err, ContainsSubstring("longer than the sliding window"));
  }
  std::vector<std::string> good = told;
  good.insert(good.end(), {"--checkpoint.save", "trained", "--max-position-embeddings", "128"});
  const RunResult trained = train(good);
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  succeed({"convert", "to-hf", "trained", "trained-hf"}, folder);
  CHECK(ModelFolder::read(folder.path("trained-hf")).config["sliding_window"] == 16);
  CHECK(ModelFolder::read(folder.path("trained-hf")).config["max_position_embeddings"] == 128);
}

}  // namespace mbt::test::convert_test
