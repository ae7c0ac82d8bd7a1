// configs/: the models of known sizes have the sizes that their makers have published.
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "core/config/architecture.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_config_writer.h"
#include "core/model/params.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"

namespace mbt::test::model_configs_test {

namespace fs = std::filesystem;

namespace {

struct Published {
  int64_t params;
  const char* family;
};

/// Parameters as published, a tied head counted once.
const std::map<std::string, Published>& published() {
  static const std::map<std::string, Published> all{
      {"gpt2_124m", {124'439'808, "gpt2"}},       {"gpt2_355m", {354'823'168, "gpt2"}},        {"gpt2_774m", {774'030'080, "gpt2"}},
      {"gpt2_1.5b", {1'557'611'200, "gpt2"}},     {"llama2_7b", {6'738'415'616, "llama"}},     {"llama2_13b", {13'015'864'320, "llama"}},
      {"llama2_70b", {68'976'648'192, "llama"}},  {"llama3_8b", {8'030'261'248, "llama"}},     {"llama3_70b", {70'553'706'496, "llama"}},
      {"llama3.1_8b", {8'030'261'248, "llama"}},  {"llama3.1_70b", {70'553'706'496, "llama"}}, {"llama3.2_1b", {1'235'814'400, "llama"}},
      {"llama3.2_3b", {3'212'749'824, "llama"}},  {"mistral_7b", {7'248'023'552, "llama"}},    {"qwen2.5_0.5b", {494'032'768, "qwen2"}},
      {"qwen2.5_1.5b", {1'543'714'304, "qwen2"}}, {"qwen2.5_3b", {3'085'938'688, "qwen2"}},    {"qwen2.5_7b", {7'615'616'512, "qwen2"}},
      {"qwen2.5_14b", {14'770'033'664, "qwen2"}}, {"qwen2.5_32b", {32'763'876'352, "qwen2"}},  {"qwen2.5_72b", {72'706'203'648, "qwen2"}},
      {"qwen3_0.6b", {596'049'920, "qwen3"}},     {"qwen3_1.7b", {1'720'574'976, "qwen3"}},    {"qwen3_4b", {4'022'468'096, "qwen3"}},
      {"qwen3_8b", {8'190'735'360, "qwen3"}},     {"qwen3_14b", {14'768'307'200, "qwen3"}},    {"qwen3_32b", {32'762'123'264, "qwen3"}},
  };
  return all;
}

ModelConfig model_of(const std::string& name, const std::vector<std::string>& more = {}) {
  std::vector<std::string> args{"--config", (fs::path(MBT_SOURCE_DIR) / "configs" / (name + ".json")).string()};
  args.insert(args.end(), more.begin(), more.end());
  return resolved(args).model;
}

}  // namespace

TEST_CASE("Every model of configs/ has its published number of parameters", "[configs]") {
  for (const auto& [name, expected] : published()) {
    INFO(name);
    CHECK(list_params(model_of(name, {"model.make_vocab_size_divisible_by=1"})).num_params == expected.params);
    CHECK(hf_family_of(model_of(name)) == expected.family);
    CHECK(model_of(name).padded_vocab_size() % 128 == 0);
  }
}

TEST_CASE("Every model of configs/ survives config.json", "[configs]") {
  for (const auto& [name, expected] : published()) {
    INFO(name);
    const ModelConfig m = model_of(name);
    const std::string text = new_hf_config_text(m, "bfloat16", {});
    CHECK(architecture_differences(m, hf_model(parse_json(text, name))).empty());
  }
}

TEST_CASE("configs/ holds no other models than those, and configs/README.md names them all", "[configs]") {
  const fs::path folder = fs::path(MBT_SOURCE_DIR) / "configs";
  std::ifstream file(folder / "README.md");
  const std::string readme(std::istreambuf_iterator<char>(file), {});
  const std::set<std::string> others{"schema", "llama_10m", "llama_demo_cpp"};
  for (const fs::directory_entry& e : fs::directory_iterator(folder)) {
    const std::string name = e.path().stem();
    if (e.path().extension() != ".json" || others.contains(name)) continue;
    INFO(name);
    CHECK(published().contains(name));
    CHECK(readme.find("`" + name + "`") != std::string::npos);
  }
}

}  // namespace mbt::test::model_configs_test
