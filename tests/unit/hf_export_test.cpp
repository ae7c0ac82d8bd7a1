// Pieces of import and export: config.json as text, the source that checkpoints carry, 16-bit elements, folders that appear at once.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <random>
#include <set>

#include "core/hf/convert/hf_export.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_config_writer.h"
#include "core/hf/hf_source.h"
#include "core/io/atomic_folder.h"
#include "core/io/files.h"
#include "core/io/float_elements.h"
#include "tests/support/catch.h"
#include "tests/support/model_folder.h"
#include "tests/support/resolved.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::hf_export_test {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kGpt2{"model.normalization=LayerNorm", "model.activation_func=gelu_erf",
                                     "model.position_embedding_type=learned_absolute", "model.add_bias_linear=true"};

ModelConfig model_of(const std::vector<std::string>& args) { return resolved(args).model; }

json fresh(const ModelConfig& m) { return json::parse(new_hf_config_text(m, "bfloat16", {})); }

const std::string kSource =
    R"({"model_type":"llama", "_name_or_path": "x",   "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 4,
 "num_key_value_heads": 2, "intermediate_size": 12, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "vocab_size": 10,
 "bos_token_id": 3, "torch_dtype": "float32",
 "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}})";

std::string exported(const ModelConfig& m, const std::string& source, const std::string& dtype) {
  const JsonDocument document = parse_json(source, "config.json");
  return hf_config_text(m, document, source, dtype);
}

}  // namespace

TEST_CASE("The family that describes a model", "[hf_export]") {
  CHECK(fresh(model_of(kGpt2))["activation_function"] == "gelu");
  const json llama = fresh(model_of({"model.rope_scaling=true", "model.rope_scaling_factor=32", "model.add_mlp_bias=true"}));
  CHECK(llama["model_type"] == "llama");
  CHECK(llama["architectures"] == json{"LlamaForCausalLM"});
  CHECK(llama["rope_scaling"]["rope_type"] == "llama3");
  CHECK(llama["rope_scaling"]["factor"] == 32);
  CHECK(llama["mlp_bias"] == true);
  CHECK(llama["attention_bias"] == false);
  CHECK(llama["vocab_size"] == 256);
  CHECK(llama["torch_dtype"] == "bfloat16");
  const json biased = fresh(model_of({"model.add_bias_linear=true"}));  // on every linear layer, in Megatron's words
  CHECK((biased["model_type"] == "llama" && biased["attention_bias"] == true && biased["mlp_bias"] == true));
  CHECK(fresh(model_of({"model.add_qkv_bias=true", "model.activation_func=geglu"}))["hidden_act"] == "gelu_pytorch_tanh");
  CHECK(fresh(model_of({"model.add_qkv_bias=true"}))["model_type"] == "qwen2");
  CHECK(fresh(model_of({"model.qk_layernorm=true", "model.add_attention_bias=true"}))["model_type"] == "qwen3");
}

TEST_CASE("What no family describes is refused by name", "[hf_export]") {
  const auto refuse = [](const std::vector<std::string>& args, const std::string& what) {
    CHECK_THROWS_AS(hf_family_of(model_of(args)), InputError);
    CHECK_THROWS_WITH(hf_family_of(model_of(args)), ContainsSubstring(what));
  };
  refuse({"model.activation_func=squared_relu"}, "activation_func squared_relu");
  refuse({"model.rotary_percent=0.5"}, "rotary_percent 0.5");
  refuse({"model.softmax_scale=0.3"}, "softmax_scale 0.3");
  refuse({"model.normalization=LayerNorm"}, "normalization LayerNorm");
  refuse({"model.position_embedding_type=none"}, "position_embedding_type none");
  refuse({"model.qk_layernorm=true", "model.add_qkv_bias=true"}, "The nearest is qwen2, but the model has qk_layernorm, which");
  refuse({"model.qk_layernorm=true", "model.add_mlp_bias=true"}, "The nearest is llama, but the model has qk_layernorm, which");
  refuse({"model.hidden_size=100", "model.num_attention_heads=3", "model.kv_channels=32"}, "multiple of num_attention_heads 3");
  refuse({"model.qk_layernorm=true", "model.softmax_scale=0.3"}, "The nearest is qwen3, but the model has softmax_scale 0.3");
  std::vector<std::string> grouped = kGpt2;
  grouped.push_back("model.num_query_groups=2");
  refuse(grouped, "num_query_groups 2");
}

TEST_CASE("A source's config.json stays as it is where the model is still what it says", "[hf_export]") {
  const ModelConfig m = hf_model(parse_json(kSource, "config.json"));
  CHECK(exported(m, kSource, "") == kSource);
  CHECK(exported(m, kSource, "float32") == kSource);
  const json other_type = json::parse(exported(m, kSource, "bfloat16"));
  CHECK(other_type["torch_dtype"] == "bfloat16");
  CHECK(other_type["_name_or_path"] == "x");
}

TEST_CASE("What training has changed is changed in config.json, in its own form", "[hf_export]") {
  ModelConfig m = hf_model(parse_json(kSource, "config.json"));
  m.rotary_base = 7e4;
  m.max_position_embeddings = 4096;
  m.rope_scaling = true;
  m.vocab_size = 12;
  const json changed = json::parse(exported(m, kSource, ""));
  CHECK(changed["rope_parameters"]["rope_theta"] == 7e4);
  CHECK(changed["rope_parameters"]["rope_type"] == "llama3");
  CHECK_FALSE(changed.contains("rope_theta"));
  CHECK_FALSE(changed.contains("rope_scaling"));
  CHECK(changed["max_position_embeddings"] == 4096);
  CHECK(changed["vocab_size"] == 12);
  CHECK(changed["bos_token_id"] == 3);
  m.qk_layernorm = true;
  CHECK_THROWS_WITH(exported(m, kSource, ""), ContainsSubstring("qk_layernorm (true, false)"));
  m.activation_func = ActivationFunc::relu;
  CHECK_THROWS_WITH(exported(m, kSource, ""), ContainsSubstring("activation_func relu"));
}

TEST_CASE("A window comes back, whatever else training changes and whether it knew of it", "[hf_export]") {
  json source = json::parse(kSource);
  source["model_type"] = "mistral";
  source["sliding_window"] = 16;
  ModelConfig m = hf_model(parse_json(source.dump(), "config.json"));
  REQUIRE((m.max_positions() == 64 && m.sliding_window == 16));
  CHECK(exported(m, source.dump(), "") == source.dump());
  m.sliding_window.reset();
  CHECK(exported(m, source.dump(), "") == source.dump());
  m.rotary_base = 9e3;
  m.max_position_embeddings = 128;
  CHECK(json::parse(exported(m, source.dump(), ""))["sliding_window"] == 16);
  CHECK(json::parse(exported(m, source.dump(), ""))["max_position_embeddings"] == 128);
  source.update({{"model_type", "qwen2"}, {"use_sliding_window", true}, {"max_window_layers", 0}, {"layer_types", {"sliding_attention"}}});
  m = hf_model(parse_json(source.dump(), "config.json"));
  m.max_position_embeddings = 128;
  const json qwen2 = json::parse(exported(m, source.dump(), ""));
  for (const char* key : {"sliding_window", "use_sliding_window", "max_window_layers", "layer_types"}) CHECK(qwen2[key] == source[key]);
}

TEST_CASE("A window of our own is written in the words of a family that has one", "[hf_export]") {
  for (const auto& [setting, family] :
       {std::pair{"model.add_qkv_bias=true", "qwen2"}, {"model.qk_layernorm=true", "qwen3"}, {"model.seq_length=100", "mistral"}}) {
    const ModelConfig m = model_of({setting, "model.sliding_window=200"});
    const json config = fresh(m);
    CHECK(config["model_type"] == family);
    CHECK(hf_model(parse_json(config.dump(), "config.json")).sliding_window == 200);
  }
  CHECK_THROWS_WITH(hf_family_of(model_of({"model.sliding_window=200", "model.add_mlp_bias=true"})),
                    ContainsSubstring("sliding_window, which llama does not have"));
  CHECK_THROWS_WITH(model_of({"model.sliding_window=100"}),
                    ContainsSubstring("sequences of 128 tokens are longer than the sliding window"));
}

TEST_CASE("--max-shard-size", "[hf_export]") {
  CHECK(parse_shard_size("5GB") == 5'000'000'000);
  CHECK(parse_shard_size("16kb") == 16'000);
  CHECK(parse_shard_size("1GiB") == 1 << 30);
  CHECK(parse_shard_size("7") == 7);
  for (const char* wrong : {"", "GB", "0", "-1GB", "5 GB", "5TB", "1.5GB", "9999999999999999999GB", "99999999999GB"})
    CHECK_THROWS_AS(parse_shard_size(wrong), InputError);
}

TEST_CASE("The first element that is no number is found in each type, wherever it is", "[hf_export]") {
  std::mt19937 random(7);
  const auto check = [&](SafetensorsType type, auto exponent) {
    using Code = decltype(exponent);
    for (const int64_t count : {1, 4095, 4096, 4097, 20000}) {
      std::vector<Code> codes(static_cast<size_t>(count));
      for (Code& c : codes) do
          c = static_cast<Code>(random());
        while ((c & exponent) == exponent);
      const auto found = [&] { return first_not_finite(type, reinterpret_cast<const char*>(codes.data()), count); };
      CHECK(found() == -1);
      const int64_t second = static_cast<int64_t>(random()) % count, first = static_cast<int64_t>(random()) % (second + 1);
      codes[static_cast<size_t>(second)] = exponent;
      codes[static_cast<size_t>(first)] = static_cast<Code>(exponent | static_cast<Code>(random()));
      CHECK(found() == first);
    }
  };
  check(SafetensorsType::F32, uint32_t{0x7F800000});
  check(SafetensorsType::BF16, uint16_t{0x7F80});
  check(SafetensorsType::F16, uint16_t{0x7C00});
}

TEST_CASE("16-bit elements come back through fp32, all of them; fp32 is rounded to nearest even", "[hf_export]") {
  std::vector<uint16_t> codes(65536);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint16_t>(i);
  for (const SafetensorsType type : {SafetensorsType::F16, SafetensorsType::BF16}) {
    std::vector<float> values(codes.size());
    std::vector<uint16_t> back(codes.size());
    decode_elements(type, reinterpret_cast<const char*>(codes.data()), 65536, values.data());
    CHECK(encode_elements(type, values.data(), 65536, reinterpret_cast<char*>(back.data())) == -1);
    CHECK(back == codes);
  }
  const std::vector<float> values{1.0F + 0x1p-8F, 1.0F + 0x3p-8F, 1.0F + 0x1p-8F + 0x1p-20F, 70000.0F, -70000.0F, std::nanf("")};
  std::vector<uint16_t> out(values.size());
  CHECK(encode_elements(SafetensorsType::BF16, values.data(), 6, reinterpret_cast<char*>(out.data())) == -1);
  CHECK((out[0] == 0x3F80 && out[1] == 0x3F82 && out[2] == 0x3F81));
  CHECK(encode_elements(SafetensorsType::F16, values.data(), 6, reinterpret_cast<char*>(out.data())) == 3);
  const float signaling = std::bit_cast<float>(0x7F800001U);  // a NaN whose upper bits are an infinity's
  encode_elements(SafetensorsType::BF16, &signaling, 1, reinterpret_cast<char*>(out.data()));
  CHECK((out[0] & 0x7FFF) > 0x7F80);
}

TEST_CASE("A folder appears complete or not at all", "[hf_export]") {
  const TemporaryFolder base;
  {
    const AtomicFolder dropped(base.path("a"));
    write_file_atomically(dropped.file("x"), "1");
    CHECK_FALSE(fs::exists(base.path("a")));
  }
  CHECK(fs::is_empty(base.path()));
  AtomicFolder kept(base.path("deep/er/a/"));
  write_file_atomically(kept.file("x"), "1");
  kept.commit();
  CHECK(read_text_file(base.path("deep/er/a/x")) == "1");
  CHECK_THROWS_WITH(AtomicFolder(base.path("deep/er/a")), ContainsSubstring("exists already"));
  AtomicFolder late(base.path("b"));
  fs::create_directory(base.path("b"));  // another program was faster
  CHECK_THROWS_WITH(late.commit(), ContainsSubstring("exists already"));
  CHECK_THROWS_AS(AtomicFolder(base.path("deep/er/a/x/below")), InputError);
  CHECK_THROWS_AS(AtomicFolder(""), InputError);
}

TEST_CASE("What a killed program left of a folder goes; what another is writing stays", "[hf_export]") {
  const TemporaryFolder base;
  const auto names = [&] {
    std::set<std::string> found;
    for (const fs::directory_entry& e : fs::directory_iterator(base.path())) found.insert(e.path().filename().string());
    return found;
  };
  const pid_t child = ::fork();
  if (child == 0) {
    const AtomicFolder killed(base.path("a"));
    write_file_atomically(killed.file("x"), "1");
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(names().size() == 1);
  const std::string abandoned = *names().begin();
  CHECK(abandoned.starts_with("a.tmp."));
  { const AtomicFolder other(base.path("b")); }
  CHECK(names() == std::set{abandoned});  // another target's
  fs::create_directory(base.path("a.tmp.mine"));
  fs::create_directory(base.path("a.tmp.0123456789abcdef0"));
  base.file("a.tmp.old", "a file");
  const AtomicFolder first(base.path("a"));
  CHECK_FALSE(names().contains(abandoned));
  const std::set<std::string> before = names();
  CHECK(before.size() == 4);
  AtomicFolder second(base.path("a"));
  CHECK(names().size() == 5);
  CHECK(fs::exists(first.path()));
  second.commit();
  CHECK(fs::exists(base.path("a")));
  CHECK(fs::exists(first.path()));
}

TEST_CASE("Where generation ends, as transformers reads it", "[hf_export]") {
  const auto written = [](const HfTokenIds& tokens) { return json::parse(generation_config_text(tokens)); };
  CHECK(written({}) == json::object());
  CHECK(written({.bos = 1, .eos = 2, .eod = 2}) == json{{"bos_token_id", 1}, {"eos_token_id", 2}});
  CHECK(written({.bos = {}, .eos = 5, .eod = 3}) == json{{"eos_token_id", {5, 3}}});
  CHECK(written({.bos = {}, .eos = {}, .eod = 0}) == json{{"eos_token_id", 0}});
}

TEST_CASE("What ends a turn of the run is added to where generation ends", "[hf_export]") {
  const HfTokenIds tokens{.bos = {}, .eos = {}, .eod = 3, .end_of_turn = 9};
  CHECK(json::parse(generation_config_text({.bos = 1, .eos = 3, .eod = 3, .end_of_turn = 9})) ==
        json{{"bos_token_id", 1}, {"eos_token_id", {3, 9}}});
  const auto written = [&](const std::string& generation, const std::string& config) {
    return json::parse(generation_config_text(tokens, generation, config));
  };
  CHECK(written(R"({"eos_token_id": 3, "top_p": 0.9})", "{}") == json{{"eos_token_id", {3, 9}}, {"top_p", 0.9}});
  CHECK(written("", R"({"eos_token_id": [2]})") == json{{"eos_token_id", {2, 3, 9}}});
  const std::string complete = R"({ "eos_token_id":[9,3] })";
  CHECK(generation_config_text(tokens, complete, "{}") == complete);
  CHECK(generation_config_text({}, "not JSON", "{}") == "not JSON");  // which a run says nothing about
  CHECK(generation_config_text({}, "", "{}") == "");
  CHECK_THROWS_WITH(generation_config_text(tokens, "[", "{}"), ContainsSubstring("generation_config.json"));
}

TEST_CASE("The source survives the files of a checkpoint; damaged ones are refused", "[hf_export]") {
  ModelFolder m = ModelFolder::golden("gpt2");
  m.files = {{"tokenizer.json", "{}"}, {"merges.txt", "\xff"}};
  m.add("transformer.h.0.attn.masked_bias", SafetensorsType::F32, {}, "abcd");
  const TemporaryFolder folder;
  m.write(folder.path());
  const HfSource source = HfSource::read(folder.path(), hf_model(read_hf_config(folder.path())));
  std::map<std::string, std::string> files;
  for (const auto& [name, content] : hf_source_files(source)) files[name] = content;
  const auto load = [&] { return read_hf_source_files([&](const std::string& name) { return files.at(name); }); };
  CHECK(load() == source);
  CHECK(source.files.size() == 2);

  const std::string whole = files.at(kHfSourceFile);
  std::mt19937 random(7);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string& damaged = files.at(kHfSourceFile) = whole;
    for (unsigned n = random() % 3 + 1; n > 0; --n) {
      const size_t at = random() % damaged.size();
      if (random() % 2 == 0) damaged[at] = static_cast<char>(random());
      else if (random() % 2 == 0) damaged.erase(at, random() % 50);
      else damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 50));
    }
    try {
      static_cast<void>(load());
    } catch (const InputError&) {
      ++refused;
    } catch (const std::out_of_range&) {  // of this test's own map: another file's name
      ++refused;
    }
  }
  CHECK(refused > 1000);
}

TEST_CASE("config.json with random damage is read or refused, nothing else", "[hf_export]") {
  std::mt19937 random(11);
  int refused = 0;
  for (const char* name : {"gpt2", "llama3-rope-scaling", "mistral-sharded-bf16", "qwen2", "qwen3"}) {
    const json whole = json::parse(ModelFolder::golden(name).config.dump());
    const std::vector<json> values{nullptr,
                                   true,
                                   0,
                                   -1,
                                   3,
                                   1e300,
                                   9223372036854775807,
                                   "silu",
                                   "",
                                   json::array(),
                                   json::object(),
                                   json::array({1}),
                                   json{{"rope_type", "llama3"}}};
    for (int i = 0; i < 600; ++i) {
      json damaged = whole.flatten();
      for (unsigned n = random() % 3 + 1; n > 0; --n) {
        auto it = damaged.begin();
        std::advance(it, random() % damaged.size());
        *it = values[random() % values.size()];
      }
      const std::string text = [&] {
        json nested = whole;
        for (const auto& [pointer, value] : damaged.items()) nested[json::json_pointer(pointer)] = value;
        return nested.dump();
      }();
      try {
        const JsonDocument document = parse_json(text, "config.json");
        ModelConfig m = hf_model(document);
        m.layernorm_epsilon = 0.5;
        CHECK(json::parse(hf_config_text(m, document, text, "bfloat16"))["model_type"] == document.root["model_type"]);
      } catch (const InputError&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 500);
}

}  // namespace mbt::test::hf_export_test
