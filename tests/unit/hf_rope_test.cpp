// RoPE as config.json says it: two forms, both at once, and numbers that make no frequencies.
#include "core/base/error.h"
#include "core/hf/hf_config.h"
#include "tests/support/catch.h"

namespace mbt::test::hf_rope_test {

using nlohmann::json;

namespace {

const char* const kLlama =
    R"({"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 4, "intermediate_size": 12,
  "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": null, "vocab_size": 10})";

json with(const char* base, const json& changes) {
  json j = json::parse(base);
  j.merge_patch(changes);
  return j;
}

ModelConfig model_of(const json& config) { return hf_model(parse_json(config.dump(1), "config.json")); }

void refuse(const json& config, const std::string& message) {
  REQUIRE_THROWS_WITH(model_of(config), ContainsSubstring(message));
  REQUIRE_THROWS_AS(model_of(config), InputError);
}

}  // namespace

TEST_CASE("rope settings in both forms", "[hf_rope]") {
  json scaling = {{"rope_type", "llama3"},
                  {"factor", 4},
                  {"low_freq_factor", 2.0},
                  {"high_freq_factor", 3.0},
                  {"original_max_position_embeddings", 32}};
  const ModelConfig old = model_of(with(kLlama, {{"rope_scaling", scaling}, {"rope_theta", 5e5}}));
  CHECK(old.rope_scaling);
  CHECK(old.rope_scaling_factor == 4);
  CHECK(old.rope_low_freq_factor == 2);
  CHECK(old.rope_high_freq_factor == 3);
  CHECK(old.rope_original_max_position_embeddings == 32);
  CHECK(old.rotary_base == 5e5);
  scaling["rope_theta"] = 1e6;
  const ModelConfig renewed = model_of(with(kLlama, {{"rope_parameters", scaling}, {"rope_theta", nullptr}}));
  CHECK(renewed.rope_scaling);
  CHECK(renewed.rotary_base == 1e6);
  const ModelConfig plain =
      model_of(with(kLlama, {{"rope_parameters", {{"rope_theta", 7e4}, {"rope_type", "default"}}}, {"rope_theta", nullptr}}));
  CHECK_FALSE(plain.rope_scaling);
  CHECK(plain.rotary_base == 7e4);
}

TEST_CASE("RoPE settings in two forms at once, and a context that stands beside them", "[hf_rope]") {
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 4.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 32}};
  json with_theta = scaling, without_context = scaling;
  with_theta["rope_theta"] = 5e5;
  without_context.erase("original_max_position_embeddings");
  const auto base_of = [](const json& changes) {
    const ModelConfig m = model_of(with(kLlama, changes));
    CHECK((m.rope_scaling && m.rope_scaling_factor == 4 && m.rope_original_max_position_embeddings == 32));
    return m.rotary_base;
  };
  CHECK(base_of({{"rope_theta", 5e5}, {"rope_scaling", scaling}, {"rope_parameters", with_theta}}) == 5e5);
  CHECK(base_of({{"rope_theta", nullptr}, {"rope_scaling", with_theta}, {"rope_parameters", scaling}}) == 5e5);
  CHECK(base_of({{"rope_theta", nullptr}, {"rope_scaling", with_theta}, {"rope_parameters", with_theta}}) == 5e5);
  CHECK(base_of({{"rope_theta", 5e5}, {"rope_scaling", without_context}, {"original_max_position_embeddings", 32}}) == 5e5);
  CHECK(base_of({{"rope_parameters", scaling}, {"rope_scaling", json::object()}}) == 10000);
  json by_type = scaling;  // the older name of the same key
  by_type.erase("rope_type");
  by_type["type"] = "llama3";
  CHECK(base_of({{"rope_theta", 5e5}, {"rope_scaling", by_type}, {"rope_parameters", with_theta}}) == 5e5);
  // transformers takes rope_scaling alone, and would rotate by 10000
  refuse(with(kLlama, {{"rope_theta", nullptr}, {"rope_scaling", scaling}, {"rope_parameters", with_theta}}),
         "rope_parameters/rope_theta is 500000.0: transformers does not read it beside rope_scaling");
  json other = with_theta;
  other["factor"] = 8.0;
  refuse(with(kLlama, {{"rope_theta", 5e5}, {"rope_scaling", scaling}, {"rope_parameters", other}}), "contradicts rope_parameters");
  refuse(with(kLlama, {{"rope_scaling", scaling}, {"original_max_position_embeddings", 64}}), "contradicts rope_scaling");
  refuse(with(kLlama, {{"rope_scaling", without_context}}), "original_max_position_embeddings is missing");
}

TEST_CASE("numbers of RoPE that make no frequencies are refused by name", "[hf_rope]") {
  const auto refuse_scaling = [](const char* key, const json& value, const std::string& message) {
    json scaling = {{"rope_type", "llama3"},
                    {"factor", 4.0},
                    {"low_freq_factor", 1.0},
                    {"high_freq_factor", 4.0},
                    {"original_max_position_embeddings", 32}};
    scaling[key] = value;
    refuse(with(kLlama, {{"rope_scaling", scaling}}), message);
  };
  refuse_scaling("factor", 0, "rope_scaling/factor is 0: expected a number from 1 to");
  refuse_scaling("factor", -8.0, "rope_scaling/factor is -8.0");
  refuse_scaling("factor", 1e300, "rope_scaling/factor is 1e+300");
  refuse_scaling("low_freq_factor", 0, "rope_scaling/low_freq_factor is 0: expected a number above 0");
  refuse_scaling("low_freq_factor", -1, "rope_scaling/low_freq_factor is -1");
  refuse_scaling("low_freq_factor", 4.0, "rope_scaling/high_freq_factor is 4.0: expected a number above low_freq_factor, which is 4");
  refuse_scaling("low_freq_factor", 5.0, "rope_scaling/high_freq_factor is 4.0");
  refuse_scaling("high_freq_factor", 1e30, "rope_scaling/high_freq_factor is 1e+30");
  refuse_scaling("original_max_position_embeddings", 0, "original_max_position_embeddings is 0: expected an integer from 1");
  refuse_scaling("original_max_position_embeddings", int64_t{1} << 60, "original_max_position_embeddings is");
  refuse(with(kLlama, {{"rope_theta", 0}}), "rope_theta is 0: expected a number from 1");
  refuse(with(kLlama, {{"rope_theta", 1e300}}), "rope_theta is 1e+300");
}

}  // namespace mbt::test::hf_rope_test
