// Hugging Face folders that would train wrongly are refused by name, by every command that takes them.
#include <cstring>
#include <filesystem>
#include <functional>

#include "tests/support/catch.h"
#include "tests/support/model_folder.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::convert_refusals_test {

namespace fs = std::filesystem;

namespace {

const fs::path kModels = fs::path(MBT_SOURCE_DIR) / "tests/golden/models";

struct Refusal {
  const char* model;
  std::function<void(ModelFolder&)> change;
  std::vector<std::string> words;  ///< each of them must be in the message
};

std::function<void(ModelFolder&)> config(const char* patch) {
  return [patch](ModelFolder& m) { m.config.merge_patch(nlohmann::ordered_json::parse(patch)); };
}

std::vector<Refusal> refused_configs() {
  return {
      {"llama2", config(R"({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})"), {"rope_scaling/rope_type", "yarn"}},
      {"llama2", config(R"({"rope_scaling": {"type": "dynamic", "factor": 2.0}})"), {"rope_scaling/type", "dynamic"}},
      {"llama2", config(R"({"rope_scaling": {"type": "linear", "factor": 2.0}})"), {"rope_scaling/type", "linear"}},
      {"qwen3", config(R"({"rope_parameters": {"rope_type": "longrope"}})"), {"rope_parameters/rope_type", "longrope"}},
      {"qwen3", config(R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})"), {"rope_parameters/full_attention"}},
      {"qwen3", config(R"({"rope_theta": 5.0})"), {"rope_theta", "contradicts rope_parameters"}},
      {"llama3-rope-scaling", config(R"({"rope_scaling": {"factor": null}})"), {"rope_scaling/factor is missing"}},
      {"llama3-rope-scaling",
       [](ModelFolder& m) {
         m.config["rope_theta"] = 500000.0;
         m.config["rope_scaling"]["rope_theta"] = 10000.0;
       },
       {"rope_theta", "contradicts rope_scaling"}},
      {"llama2", config(R"({"is_causal": false})"), {"is_causal"}},
      {"llama2", config(R"({"final_logit_softcapping": 30.0})"), {"final_logit_softcapping"}},
      {"llama2", config(R"({"attn_logit_softcapping": 50.0})"), {"attn_logit_softcapping"}},
      {"llama2", config(R"({"num_local_experts": 8})"), {"num_local_experts"}},
      {"qwen3", config(R"({"num_experts": 4})"), {"num_experts"}},
      {"llama2", config(R"({"model_type": "mixtral"})"), {"mixtral"}},
      {"llama2", config(R"({"hidden_act": "relu"})"), {"hidden_act", "relu"}},
      {"gpt2", config(R"({"activation_function": "quick_gelu"})"), {"activation_function", "quick_gelu"}},
      {"gpt2", config(R"({"n_head": 5})"), {"n_embd", "n_head"}},
      {"gpt2", config(R"({"hidden_size": 64})"), {"hidden_size", "contradicts n_embd"}},
      {"gpt2", config(R"({"scale_attn_by_inverse_layer_idx": true})"), {"scale_attn_by_inverse_layer_idx"}},
      {"llama2", config(R"({"num_attention_heads": 5, "head_dim": null})"), {"num_attention_heads"}},
      {"llama2", config(R"({"num_key_value_heads": 3})"), {"num_key_value_heads", "num_attention_heads"}},
      {"llama2", config(R"({"head_dim": 7})"), {"channels of a head"}},
      {"llama2", config(R"({"partial_rotary_factor": 0.5})"), {"partial_rotary_factor"}},
      {"llama2", config(R"({"compression_config": {"format": "pack-quantized"}})"), {"compression_config"}},
      {"llama3-rope-scaling", config(R"({"rope_scaling": {"low_freq_factor": 0.0}})"), {"rope_scaling/low_freq_factor"}},
      {"llama3-rope-scaling", config(R"({"rope_scaling": {"factor": -1}})"), {"rope_scaling/factor"}},
      {"llama2", config(R"({"quantization_config": {"quant_method": "gptq"}})"), {"quantization_config"}},
      {"qwen2", config(R"({"layer_types": ["full_attention", "linear_attention"]})"), {"layer_types"}},
      {"qwen2", config(R"({"layer_types": ["full_attention"]})"), {"layer_types", "one entry a layer"}},
      {"qwen2", config(R"({"layer_types": ["full_attention", "sliding_attention"]})"), {"layer_types", "use_sliding_window"}},
      {"llama2", config(R"({"attention_bias": true})"), {"has no tensor", "q_proj.bias"}},
      {"llama-attention-bias", config(R"({"attention_bias": false})"), {"k_proj.bias", "not part of the model"}},
      {"llama2", config(R"({"tie_word_embeddings": true})"), {"tie_word_embeddings", "lm_head.weight", "differs"}},
      {"qwen2", config(R"({"tie_word_embeddings": false})"), {"tie_word_embeddings is false", "lm_head.weight"}},
      {"llama2", config(R"({"num_hidden_layers": 3})"), {"has no tensor", "layers.2"}},
      {"llama2", config(R"({"num_hidden_layers": 1})"), {"layers.1", "not part of the model"}},
      {"llama2", config(R"({"intermediate_size": 80})"), {"gate_proj.weight", "[80,32]"}},
      {"llama2", config(R"({"hidden_size": "wide"})"), {"hidden_size", "wide"}},
      {"mistral-sharded-bf16", config(R"({"sliding_window": 16})"), {"sliding window", "16", "sliding_window"}},
      {"qwen2",
       config(R"({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 1, "layer_types": null})"),
       {"sliding window"}},
  };
}

std::vector<Refusal> refused_tensors() {
  const auto retype = [](SafetensorsType type, int64_t width) {
    return [type, width](ModelFolder& m) {
      ModelFolder::Tensor& t = m.at("model.norm.weight");
      t.type = type;
      t.bytes.assign(static_cast<size_t>(t.shape[0] * width), '\0');
    };
  };
  return {
      {"llama2", [](ModelFolder& m) { m.tensors.erase(m.tensors.begin() + 3); }, {"has no tensor"}},
      {"llama2",
       [](ModelFolder& m) {
         m.at("lm_head.weight").shape = {64, 64};
       },
       {"lm_head.weight", "[64,64]", "[128,32]"}},
      {"llama2",
       [](ModelFolder& m) { m.add("score.weight", SafetensorsType::F32, {1}, "1234"); },
       {"score.weight", "not part of the model"}},
      {"llama2", retype(SafetensorsType::F8_E4M3, 1), {"model.norm.weight", "F8_E4M3"}},
      {"llama2", retype(SafetensorsType::I8, 1), {"model.norm.weight", "I8"}},
      {"llama2", retype(SafetensorsType::F64, 8), {"model.norm.weight", "F64"}},
      {"mistral-sharded-bf16",
       [](ModelFolder& m) {
         const uint16_t nan = 0x7FC0;
         std::memcpy(m.at("model.layers.1.mlp.up_proj.weight").bytes.data() + 2 * 33, &nan, 2);
       },
       {"model.layers.1.mlp.up_proj.weight", "nan", "[1,1]"}},
  };
}

void check_refused(const TemporaryFolder& folder, const Refusal& refusal) {
  std::vector<std::vector<std::string>> commands = {
      {"probe", "--model.hf_path", "source", "--batch", (kModels / refusal.model / "batch.safetensors").string(), "--out", "out",
       "--mixed-precision", "fp32"},
      {"train", "--model.hf_path", "source", "--train-iters", "1", "--checkpoint.save", "out", "--dataset.path", "text.txt",
       "--tokenizer-type", "bytes"}};
  commands.push_back({"convert", "from-hf", "source", "out"});
  for (const std::vector<std::string>& command : commands) {
    const RunResult result = run_binary(command, folder.path());
    INFO(refusal.model << ", " << refusal.words.front() << ": " << command[0] << "\n" << result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.find("wrote") == std::string::npos);
    CHECK_FALSE(fs::exists(folder.path("out")));
    // Text is bytes: of a vocabulary of 128 tokens training is refused before the weights are looked at.
    if (command[0] == "train" && result.err.find("tokens of the data") != std::string::npos) continue;
    for (const std::string& word : refusal.words) CHECK_THAT(result.err, ContainsSubstring(word));
  }
}

}  // namespace

TEST_CASE("Models that would train wrongly are refused by name, before anything is written", "[convert]") {
  std::vector<Refusal> all = refused_configs();
  for (Refusal& r : refused_tensors()) all.push_back(std::move(r));
  for (const Refusal& r : all) {
    const TemporaryFolder folder;
    folder.file("text.txt", std::string(20000, 'x'));
    fs::create_directory(folder.path("source"));
    ModelFolder m = ModelFolder::golden(r.model);
    r.change(m);
    m.write(folder.path("source"));
    check_refused(folder, r);
  }
}

TEST_CASE("Folders with missing or other files are refused by name", "[convert]") {
  const TemporaryFolder folder;
  folder.file("text.txt", std::string(20000, 'x'));
  fs::create_directory(folder.path("source"));
  const ModelFolder m = ModelFolder::golden("llama2");
  m.write(folder.path("source"));
  const auto refuse = [&](const std::vector<std::string>& words) { check_refused(folder, {"llama2", {}, words}); };
  folder.file("source/model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4976698672\n");
  refuse({"model.safetensors", "is a pointer of Git LFS", "git lfs pull"});
  fs::rename(folder.path("source/model.safetensors"), folder.path("source/pytorch_model.bin"));
  refuse({"model.safetensors", "pytorch_model.bin", "convert them to safetensors"});
  const auto half = static_cast<std::ptrdiff_t>(m.tensors.size() / 2);
  m.write_weights(folder.path("source/a.safetensors"), {m.tensors.begin(), m.tensors.begin() + half});
  m.write_weights(folder.path("source/b.safetensors"), {m.tensors.begin() + half - 1, m.tensors.end()});
  nlohmann::json map;
  for (size_t i = 0; i < m.tensors.size(); ++i)
    map[m.tensors[i].name] = static_cast<std::ptrdiff_t>(i) < half ? "a.safetensors" : "b.safetensors";
  const auto write_index = [&] {
    folder.file("source/model.safetensors.index.json", nlohmann::json{{"metadata", nlohmann::json::object()}, {"weight_map", map}}.dump());
  };
  write_index();
  refuse({"b.safetensors", m.tensors[static_cast<size_t>(half - 1)].name, "is also in"});
  m.write_weights(folder.path("source/b.safetensors"), {m.tensors.begin() + half, m.tensors.end()});
  map[m.tensors.back().name] = "c.safetensors";
  write_index();
  refuse({"c.safetensors", "No such file"});
  fs::remove(folder.path("source/config.json"));
  refuse({"config.json"});
}

}  // namespace mbt::test::convert_refusals_test
