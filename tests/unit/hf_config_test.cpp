// Hugging Face folders: config.json to our fields, tensor names to our parameters, and everything we must refuse.
#include "core/hf/hf_config.h"

#include <cstring>
#include <filesystem>
#include <numeric>

#include "core/base/error.h"
#include "core/config/config_input.h"
#include "core/hf/hf_weights.h"
#include "core/io/safetensors_folder.h"
#include "tests/support/catch.h"
#include "tests/support/model_folder.h"
#include "tests/support/resolved.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::hf_config_test {

using mbt::test::ModelFolder;
using nlohmann::json;

namespace {

const char* const kGpt2 =
    R"({"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "n_inner": null, "n_positions": 32, "vocab_size": 250,
  "activation_function": "gelu_new", "layer_norm_epsilon": 1e-6, "attn_pdrop": 0.1, "scale_attn_by_inverse_layer_idx": false})";
const char* const kLlama =
    R"({"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2,
  "intermediate_size": 12, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": null,
  "hidden_act": "silu", "tie_word_embeddings": false, "vocab_size": 10, "attention_bias": false, "mlp_bias": false, "pretraining_tp": 1})";

json with(const char* base, const json& changes) {
  json j = json::parse(base);
  j.merge_patch(changes);
  return j;
}

ModelConfig model_of(const json& config) {
  const TemporaryFolder folder;
  folder.file("config.json", config.dump(1));
  RunConfig run;
  Origins origins;
  apply_hf_config(folder.path(), run, origins);
  CHECK(origins.at("model.hidden_size").kind == Origin::Kind::hf_config);
  return run.model;
}

void refuse(const json& config, const std::string& message) {
  const TemporaryFolder folder;
  folder.file("config.json", config.dump(1));
  RunConfig run;
  Origins origins;
  REQUIRE_THROWS_WITH(apply_hf_config(folder.path(), run, origins), ContainsSubstring(message));
  REQUIRE_THROWS_AS(apply_hf_config(folder.path(), run, origins), InputError);
}

/// A folder with every tensor of the model, element i of tensor n being 1000 n + i.
void write_model(const TemporaryFolder& folder, const std::vector<HfSlice>& slices, const std::string& file = "model.safetensors") {
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors;
  for (size_t n = 0; n < slices.size(); ++n) {
    values.emplace_back(static_cast<size_t>(slices[n].rows * slices[n].cols));
    std::iota(values.back().begin(), values.back().end(), 1000.0F * static_cast<float>(n));
  }
  for (size_t n = 0; n < slices.size(); ++n) {
    tensors.push_back({slices[n].hf_name, SafetensorsType::F32, slices[n].hf_shape, values[n].data()});
  }
  write_safetensors(folder.path(file), tensors);
}

std::string shard_index(const json& weight_map) { return json{{"metadata", json::object()}, {"weight_map", weight_map}}.dump(); }

}  // namespace

TEST_CASE("what is in keys of a config.json that nobody reads stops nothing; what is read is checked", "[hf_config]") {
  const auto read = [](const std::string& more) {
    const TemporaryFolder folder;
    std::string text = kLlama;
    text.insert(text.rfind('}'), more);
    folder.file("config.json", text);
    RunConfig run;
    Origins origins;
    apply_hf_config(folder.path(), run, origins);
    return run.model;
  };
  const ModelConfig model = read(
      ", \"model_max_length\": 1000000000000000019884624838656, \"h\": 18446744073709551615, \"a\": NaN, \"b\": -Infinity, "
      "\"c\": 1e999, \"a\": 1, \"d\": " +
      std::string(500, '[') + std::string(500, ']'));
  CHECK(model.hidden_size == 8);
  CHECK_THROWS_WITH(read(", \"vocab_size\": 11"), ContainsSubstring("key \"vocab_size\" appears twice"));
  CHECK_THROWS_WITH(read(", \"head_dim\": NaN"), ContainsSubstring("config.json:3: NaN is no number"));
  CHECK_THROWS_WITH(read(", \"head_dim\": 18446744073709551615"), ContainsSubstring("integer 18446744073709551615 is out of range"));
}

TEST_CASE("gpt2 config", "[hf_config]") {
  const ModelConfig m = model_of(json::parse(kGpt2));
  CHECK(m.num_layers == 2);
  CHECK(m.hidden_size == 64);
  CHECK(m.kv_heads() == 4);
  CHECK(m.head_dim() == 16);
  CHECK(m.ffn() == 256);
  CHECK(m.vocab_size == 250);
  CHECK(m.padded_vocab_size() == 256);
  CHECK(m.max_positions() == 32);
  CHECK(m.normalization == Normalization::layer_norm);
  CHECK(m.layernorm_epsilon == 1e-6);
  CHECK(m.activation_func == ActivationFunc::gelu);
  CHECK(m.position_embedding_type == PositionEmbedding::learned_absolute);
  CHECK(m.add_bias_linear);
  CHECK(m.share_embeddings_and_output_weights);
  CHECK_FALSE(m.softmax_scale);
  CHECK(model_of(with(kGpt2, {{"activation_function", "gelu"}})).activation_func == ActivationFunc::gelu_erf);
  CHECK(model_of(with(kGpt2, {{"n_inner", 100}})).ffn() == 100);
  CHECK(model_of(with(kGpt2, {{"scale_attn_weights", false}})).softmax_scale == 1.0);
}

TEST_CASE("llama config", "[hf_config]") {
  const ModelConfig m = model_of(json::parse(kLlama));
  CHECK(m.kv_heads() == 2);
  CHECK(m.head_dim() == 2);
  CHECK(m.ffn() == 12);
  CHECK(m.normalization == Normalization::rms_norm);
  CHECK(m.activation_func == ActivationFunc::swiglu);
  CHECK(m.position_embedding_type == PositionEmbedding::rope);
  CHECK(m.rotary_base == 10000);
  CHECK_FALSE((m.rope_scaling || m.add_bias_linear || m.add_qkv_bias || m.qk_layernorm || m.share_embeddings_and_output_weights));
  CHECK(model_of(with(kLlama, {{"num_key_value_heads", nullptr}})).kv_heads() == 4);
  CHECK(model_of(with(kLlama, {{"head_dim", 16}})).head_dim() == 16);
  for (const bool attention : {false, true}) {
    for (const bool mlp : {false, true}) {
      const ModelConfig biased = model_of(with(kLlama, {{"attention_bias", attention}, {"mlp_bias", mlp}}));
      CHECK((biased.has_qkv_bias() == attention && biased.has_proj_bias() == attention && biased.has_mlp_bias() == mlp));
    }
  }
  CHECK(model_of(with(kLlama, {{"hidden_act", "gelu_pytorch_tanh"}})).activation_func == ActivationFunc::geglu);
}

TEST_CASE("qwen and mistral configs", "[hf_config]") {
  const ModelConfig qwen2 = model_of(with(kLlama, {{"model_type", "qwen2"}, {"sliding_window", 8}, {"use_sliding_window", false}}));
  CHECK((qwen2.add_qkv_bias && !qwen2.add_bias_linear && !qwen2.qk_layernorm));
  CHECK(qwen2.max_positions() == 64);
  const ModelConfig qwen3 = model_of(with(kLlama, {{"model_type", "qwen3"}, {"mlp_bias", nullptr}}));
  CHECK((qwen3.qk_layernorm && !qwen3.add_qkv_bias));
  CHECK(qwen3.head_dim() == 128);
  CHECK(model_of(with(kLlama, {{"model_type", "mistral"}})).max_positions() == 64);
  const ModelConfig windowed = model_of(with(kLlama, {{"model_type", "mistral"}, {"sliding_window", 16}}));
  CHECK((windowed.max_positions() == 64 && windowed.sliding_window == 16 && windowed.longest_sequence() == 16));
}

TEST_CASE("a sliding window as transformers understands it", "[hf_config]") {
  const auto window = [](const char* type, const json& changes) {
    json config = with(kLlama, changes);
    config["model_type"] = type;
    config["max_position_embeddings"] = 8192;
    for (const auto& [key, value] : changes.items())
      if (value.is_null()) config[key] = nullptr;  // a merge patch would remove the key
    return hf_model(parse_json(config.dump(), "config.json")).sliding_window;
  };
  using Window = std::optional<int64_t>;
  CHECK(window("mistral", json::object()) == Window(4096));  // absent is the class's default, not none
  CHECK(window("mistral", {{"sliding_window", nullptr}}) == Window());
  CHECK(window("mistral", {{"sliding_window", 8192}}) == Window(8192));  // counts when more positions are asked for
  CHECK(window("mistral", {{"sliding_window", 5}}) == Window(5));
  CHECK(window("llama", {{"sliding_window", 5}}) == Window());
  CHECK(window("qwen2", {{"sliding_window", 5}}) == Window());
  CHECK(window("qwen2", {{"sliding_window", 5}, {"use_sliding_window", true}}) == Window());  // max_window_layers is 28: none slides
  CHECK(window("qwen3", {{"sliding_window", 5}, {"use_sliding_window", true}, {"max_window_layers", 0}}) == Window(5));
  CHECK(window("qwen3", {{"use_sliding_window", true}, {"max_window_layers", 0}}) == Window(4096));
  CHECK(window("qwen2", {{"sliding_window", 5}, {"use_sliding_window", true}, {"layer_types", {"sliding_attention"}}}) == Window(5));
  CHECK(window("qwen2",
               {{"sliding_window", 5}, {"use_sliding_window", true}, {"max_window_layers", 0}, {"layer_types", {"full_attention"}}}) ==
        Window());
  CHECK_THROWS_AS(window("mistral", {{"sliding_window", 0}}), InputError);
}

TEST_CASE("sequences longer than the sliding window are refused by name", "[hf_config]") {
  const TemporaryFolder folder;
  json config = with(kLlama, {{"model_type", "mistral"}, {"sliding_window", 16}});
  folder.file("config.json", config.dump(1));
  const auto seq_length = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {"--model.hf_path", folder.path()});
    return test::resolved(args).model.seq_length;
  };
  CHECK(seq_length({"--seq-length", "16"}) == 16);
  CHECK_THROWS_WITH(seq_length({"--seq-length", "17"}),
                    ContainsSubstring("longer than the sliding window") && ContainsSubstring("sliding_window"));
  CHECK_THROWS_WITH(seq_length({"--seq-length", "17", "--max-position-embeddings", "64"}),
                    ContainsSubstring("longer than the sliding window"));
  CHECK_THROWS_WITH(seq_length({}), ContainsSubstring("longer than the sliding window"));  // the default's 128 shortened to 64 positions
  config["sliding_window"] = 64;
  folder.file("config.json", config.dump(1));
  CHECK(seq_length({}) == 64);
  CHECK_THROWS_WITH(seq_length({"--seq-length", "65", "--max-position-embeddings", "128"}),
                    ContainsSubstring("longer than the sliding window") && ContainsSubstring("sliding_window 64"));
}

TEST_CASE("keys in two places must agree", "[hf_config]") {
  refuse(with(kGpt2, {{"hidden_size", 32}}), "hidden_size is 32: contradicts n_embd");
  refuse(with(kGpt2, {{"max_position_embeddings", 64}}), "contradicts n_positions");
  CHECK(model_of(with(kGpt2, {{"num_hidden_layers", 5}, {"n_layer", nullptr}})).num_layers == 5);
  refuse(with(kLlama, {{"rope_parameters", {{"rope_theta", 7e4}, {"rope_type", "default"}}}}),
         "rope_theta is 10000.0: contradicts rope_parameters");
  refuse(with(kLlama, {{"num_key_value_heads", 3}}), "num_key_value_heads is 3: expected a divisor of num_attention_heads, which is 4");
  refuse(with(kLlama, {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}}), "RoPE that differs between layers");
}

TEST_CASE("what we do not implement is refused by name", "[hf_config]") {
  refuse(with(kLlama, {{"model_type", "mixtral"}}), "model_type is \"mixtral\": known are gpt2, llama");
  refuse(with(kLlama, {{"model_type", nullptr}}), "model_type is missing");
  for (const char* type : {"yarn", "dynamic", "linear", "longrope"}) {
    refuse(with(kLlama, {{"rope_scaling", {{"rope_type", type}, {"factor", 2.0}}}}), "this kind of RoPE is not implemented");
    refuse(with(kLlama, {{"rope_scaling", {{"type", type}, {"factor", 2.0}}}}), "rope_scaling/type is");
    refuse(with(kLlama, {{"rope_parameters", {{"rope_type", type}}}}), "rope_parameters/rope_type is");
  }
  refuse(with(kLlama, {{"rope_scaling", {{"factor", 2.0}}}}), "has no rope_type");
  refuse(with(kLlama, {{"rope_scaling", {{"rope_type", "llama3"}}}}), "rope_scaling/factor is missing");
  refuse(with(kLlama, {{"rope_scaling", "linear"}}), "rope_scaling is \"linear\": expected an object");
  refuse(with(kLlama, {{"quantization_config", {{"bits", 4}}}}), "quantization_config");
  refuse(with(kLlama, {{"compression_config", {{"format", "int-quantized"}}}}), "compression_config");
  refuse(with(kLlama, {{"final_logit_softcapping", 30.0}}), "final_logit_softcapping is 30.0: not implemented");
  refuse(with(kLlama, {{"num_local_experts", 8}}), "num_local_experts is 8");
  refuse(with(kLlama, {{"attention_multiplier", 0.5}}), "attention_multiplier");
  refuse(with(kLlama, {{"partial_rotary_factor", 0.5}}), "partial_rotary_factor");
  refuse(with(kLlama, {{"hidden_act", "gelu"}}), "hidden_act is \"gelu\": this activation is not implemented for llama");
  json without_activation = json::parse(kLlama);
  without_activation["hidden_act"] = nullptr;  // a merge patch would remove the key
  refuse(without_activation, "hidden_act is null");
  refuse(with(kLlama, {{"layer_types", {"linear_attention"}}}), "layer_types");
  refuse(with(kGpt2, {{"scale_attn_by_inverse_layer_idx", true}}), "scale_attn_by_inverse_layer_idx is true");
  refuse(with(kGpt2, {{"add_cross_attention", true}}), "add_cross_attention");
}

TEST_CASE("broken values are refused with key and line", "[hf_config]") {
  refuse(with(kLlama, {{"hidden_size", "big"}}), "hidden_size is \"big\": expected an integer");
  refuse(with(kLlama, {{"hidden_size", 8.0}}), "expected an integer");
  refuse(with(kLlama, {{"hidden_size", nullptr}}), "hidden_size is missing");
  refuse(with(kLlama, {{"hidden_size", 9}}), "expected a multiple of num_attention_heads");
  refuse(with(kLlama, {{"num_attention_heads", 0}}), "num_attention_heads is 0");
  refuse(with(kLlama, {{"num_hidden_layers", -1}}), "num_layers");
  refuse(with(kLlama, {{"tie_word_embeddings", 1}}), "tie_word_embeddings is 1: expected true or false");
  refuse(with(kGpt2, {{"n_embd", 9223372036854775804}}), "n_embd");
  refuse(json::array(), "expected an object");
  const TemporaryFolder folder;
  CHECK_THROWS_AS(hf_assignments(folder.path()), InputError);
  folder.file("config.json", "{\n \"model_type\": \"llama\",\n \"hidden_size\": []}");
  CHECK_THROWS_WITH(hf_assignments(folder.path()), ContainsSubstring("config.json"));
}

TEST_CASE("llama weights fill our parameters", "[hf_config]") {
  const TemporaryFolder folder;
  folder.file("config.json", kLlama);
  const ModelConfig m = model_of(json::parse(kLlama));
  write_model(folder, hf_slices("llama", m));
  const HfWeights weights(folder.path(), m);
  std::vector<float> qkv(16 * 8, -1.0F), fc1(24 * 8, -1.0F), head(128 * 8, -1.0F);
  weights.read("layers.0.qkv.weight", qkv);
  CHECK((qkv[0] == 2000 && qkv[63] == 2063));   // q_proj is the third tensor: 8 rows of 8
  CHECK((qkv[64] == 3000 && qkv[96] == 4000));  // k_proj and v_proj: 4 rows each
  weights.read("layers.0.fc1.weight", fc1);
  CHECK((fc1[0] == 7000 && fc1[95] == 7095 && fc1[96] == 8000));
  weights.read("head.weight", head);
  CHECK((head[79] == 11079 && head[80] == -1));  // vocabulary 10: the padding rows are not touched
  for (const HfSlice& s : weights.slices()) {
    if (s.parameter == "layers.0.qkv.weight") CHECK(gather_hf(s, qkv)[5] == qkv[static_cast<size_t>(s.row_begin * 8 + 5)]);
  }
}

TEST_CASE("gpt2 weights are stored transposed; names may lack the prefix", "[hf_config]") {
  const json config = with(kGpt2, {{"n_embd", 4}, {"n_head", 2}, {"n_layer", 1}});
  const TemporaryFolder folder;
  folder.file("config.json", config.dump());
  const ModelConfig m = model_of(config);
  std::vector<HfSlice> slices = hf_slices("gpt2", m);
  CHECK(slices.size() == 2 + 12 + 2);
  for (HfSlice& s : slices) s.hf_name = s.hf_name.substr(std::string("transformer.").size());
  const size_t c_attn = 4;
  REQUIRE(slices[c_attn].hf_name == "h.0.attn.c_attn.weight");
  CHECK(slices[c_attn].hf_shape == std::vector<int64_t>{4, 12});
  slices.push_back({"h.0.attn.bias", "", {1, 1, 2, 2}, 0, 2, 2, false});  // the causal mask in old files
  write_model(folder, slices);
  const HfWeights weights(folder.path(), m);
  CHECK(weights.slices()[c_attn].hf_name == "h.0.attn.c_attn.weight");
  std::vector<float> qkv(12 * 4);
  weights.read("layers.0.qkv.weight", qkv);
  CHECK((qkv[0] == 4000 && qkv[1] == 4012 && qkv[4] == 4001));  // [out, in] here, [in, out] in the file
  std::vector<float> back(48);
  std::iota(back.begin(), back.end(), 4000.0F);
  CHECK(gather_hf(weights.slices()[c_attn], qkv) == back);
}

TEST_CASE("folders that contradict config.json are refused by tensor", "[hf_config]") {
  const TemporaryFolder folder;
  folder.file("config.json", kLlama);
  const ModelConfig m = model_of(json::parse(kLlama));
  CHECK_THROWS_WITH(HfWeights(folder.path(), m), ContainsSubstring("holds neither model.safetensors nor"));
  const std::vector<HfSlice> all = hf_slices("llama", m);
  std::vector<HfSlice> some = all;
  some.erase(some.begin() + 3);
  write_model(folder, some);
  CHECK_THROWS_WITH(HfWeights(folder.path(), m), ContainsSubstring("has no tensor 'model.layers.0.self_attn.k_proj.weight'"));
  some = all;
  some[3].hf_shape = {2, 16};
  write_model(folder, some);
  CHECK_THROWS_WITH(HfWeights(folder.path(), m), ContainsSubstring("k_proj.weight' is F32[2,16], but config.json asks for [4,8]"));
  some = all;
  some.push_back({"model.layers.1.input_layernorm.weight", "", {8}, 0, 8, 1, false});
  write_model(folder, some);
  CHECK_THROWS_WITH(HfWeights(folder.path(), m), ContainsSubstring("'model.layers.1.input_layernorm.weight' is not part of the model"));
}

TEST_CASE("weights that are no numbers are refused by tensor and place", "[hf_config]") {
  ModelFolder m = ModelFolder::golden("llama2");
  const auto refuse_element = [&](SafetensorsType type, uint32_t code, const std::string& what) {
    const TemporaryFolder folder;
    ModelFolder bad = m;
    ModelFolder::Tensor& t = bad.at("model.layers.1.self_attn.k_proj.weight");
    const auto width = static_cast<size_t>(size_of(type));
    t.bytes.assign(t.bytes.size() / static_cast<size_t>(size_of(t.type)) * width, '\0');
    t.type = type;
    std::memcpy(t.bytes.data() + width * static_cast<size_t>(t.shape[1] * 3 + 2), &code, width);
    bad.write(folder.path());
    const ModelConfig model = hf_model(read_hf_config(folder.path()));
    const HfWeights weights(folder.path(), model);
    std::vector<float> values(static_cast<size_t>(model.qkv_width() * model.hidden_size));
    weights.read("layers.0.qkv.weight", values);
    CHECK_THROWS_AS(weights.read("layers.1.qkv.weight", values), InputError);
    CHECK_THROWS_WITH(weights.read("layers.1.qkv.weight", values),
                      ContainsSubstring("model.safetensors: tensor 'model.layers.1.self_attn.k_proj.weight' holds " + what + " at [3,2]"));
  };
  refuse_element(SafetensorsType::F32, 0x7F800000, "inf");
  refuse_element(SafetensorsType::F32, 0xFFC00001, "-nan");
  refuse_element(SafetensorsType::BF16, 0xFF80, "-inf");
  refuse_element(SafetensorsType::BF16, 0x7FC0, "nan");
  refuse_element(SafetensorsType::F16, 0x7C00, "inf");
  refuse_element(SafetensorsType::F16, 0x7C01, "nan");
}

TEST_CASE("An index may list a head that is tied, or a buffer, that no shard holds", "[hf_config]") {
  const TemporaryFolder folder;
  for (const bool is_tied : {true, false}) {
    const std::string source = std::string(MBT_SOURCE_DIR) + "/tests/golden/models/" + (is_tied ? "llama3-rope-scaling" : "llama2");
    json map;
    const SafetensorsFolder golden = SafetensorsFolder::open(source);
    for (const std::string& name : golden.names()) map[name] = "1.safetensors";
    map["lm_head.weight"] = "1.safetensors";
    map["model.layers.0.self_attn.rotary_emb.inv_freq"] = "1.safetensors";
    std::filesystem::copy_file(source + "/config.json", folder.path("config.json"), std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy_file(source + "/model.safetensors", folder.path("1.safetensors"),
                               std::filesystem::copy_options::overwrite_existing);
    folder.file("model.safetensors.index.json", shard_index(map));
    const ModelConfig model = hf_model(read_hf_config(folder.path()));
    CHECK(model.share_embeddings_and_output_weights == is_tied);
    CHECK(HfWeights(folder.path(), model).find("model.norm.weight") != nullptr);
    map["model.layers.9.mlp.up_proj.weight"] = "1.safetensors";
    folder.file("model.safetensors.index.json", shard_index(map));
    CHECK_THROWS_WITH(HfWeights(folder.path(), model),
                      ContainsSubstring("model.layers.9.mlp.up_proj.weight") && ContainsSubstring("does not hold it"));
    map.erase("model.layers.9.mlp.up_proj.weight");
    folder.file("model.safetensors.index.json", shard_index(map));
    ModelConfig other = model;
    other.share_embeddings_and_output_weights = false;
    if (is_tied)
      CHECK_THROWS_WITH(HfWeights(folder.path(), other),
                        ContainsSubstring("'lm_head.weight' is said to be in 1.safetensors, which does not hold it"));
  }
}

TEST_CASE("sharded folders", "[hf_config]") {
  const TemporaryFolder folder;
  const auto vector = [](const std::string& name) { return HfSlice{name, "", {3}, 0, 3, 1, false}; };
  write_model(folder, {vector("a"), vector("b")}, "1.safetensors");
  write_model(folder, {vector("c")}, "2.safetensors");
  const auto index = [&](const json& map) { folder.file("model.safetensors.index.json", shard_index(map)); };
  const auto refuse_index = [&](const std::string& message) {
    CHECK_THROWS_WITH(SafetensorsFolder::open(folder.path()), ContainsSubstring(message));
    CHECK_THROWS_AS(SafetensorsFolder::open(folder.path()), InputError);
  };
  const json good = {{"a", "1.safetensors"}, {"b", "1.safetensors"}, {"c", "2.safetensors"}};
  index(good);
  const SafetensorsFolder open = SafetensorsFolder::open(folder.path());
  CHECK(open.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(open.read_f32("b", {3}) == std::vector<float>{1000, 1001, 1002});
  CHECK_THROWS_WITH(open.read_f32("b", {3, 1}), ContainsSubstring("1.safetensors: tensor 'b' is F32[3], expected the shape [3,1]"));
  CHECK_THROWS_WITH(open.at("d"), ContainsSubstring("has no tensor 'd'"));
  json bad = good;
  bad["c"] = "3.safetensors";
  index(bad);
  refuse_index("3.safetensors: cannot open it: No such file");
  bad["c"] = "1.safetensors";
  index(bad);
  refuse_index("tensor 'c' is said to be in 1.safetensors, which does not hold it");
  bad = good;
  bad["b"] = "2.safetensors";
  index(bad);
  refuse_index("tensor 'b' is said to be in 2.safetensors, but is in 1.safetensors");
  bad = good;
  bad.erase("b");
  index(bad);
  refuse_index("holds tensor 'b', which");
  for (const char* path : {"../1.safetensors", "/etc/passwd", "", "..", "sub/1.safetensors"}) {
    bad["b"] = path;
    index(bad);
    refuse_index("expected the name of a file in the same folder");
  }
  bad["b"] = 1;
  index(bad);
  refuse_index("'weight_map' of tensor 'b' is number");
  index(json::object());
  refuse_index("'weight_map' is no object");
  folder.file("model.safetensors.index.json", R"({"weight_map": {"a": "1.safetensors", "a": "1.safetensors"}})");
  refuse_index("model.safetensors.index.json");
  index(good);
  write_model(folder, {vector("c"), vector("a")}, "2.safetensors");
  refuse_index("2.safetensors: tensor 'a' is also in");
}

}  // namespace mbt::test::hf_config_test
