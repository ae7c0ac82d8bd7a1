// The table of Hugging Face families: each row is complete, agrees with itself in both directions, and has a model to compare with.
#include "core/hf/family.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "core/config/architecture.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_config_writer.h"
#include "core/hf/hf_names.h"
#include "core/model/params.h"
#include "tests/support/catch.h"

namespace mbt::test::hf_family_test {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

/// The smallest difference from our defaults that the family allows.
ModelConfig plain_model(const HfFamily& f) {
  ModelConfig m;
  m.make_vocab_size_divisible_by = 1;
  m.vocab_size = 96;
  m.max_position_embeddings = 512;
  m.normalization = f.norm;
  m.position_embedding_type = f.positions;
  m.activation_func = f.activations.front().ours;
  m.add_bias_linear = f.biases == HfBiases::all;
  m.add_qkv_bias = f.biases == HfBiases::qkv;
  m.qk_layernorm = f.has_qk_norm;
  if (f.window.rule == HfWindow::Rule::always) m.sliding_window = 300;
  return m;
}

/// Everything that the family can have.
ModelConfig full_model(const HfFamily& f) {
  ModelConfig m = plain_model(f);
  m.share_embeddings_and_output_weights = false;
  m.add_attention_bias = f.has_key(HfProperty::attention_bias);
  m.add_mlp_bias = f.has_key(HfProperty::mlp_bias);
  m.ffn_hidden_size = 72;
  m.layernorm_epsilon = 0.25;
  if (f.has_key(HfProperty::groups)) m.num_query_groups = 2;
  if (f.has_key(HfProperty::head_width)) m.kv_channels = 48;
  if (f.has_key(HfProperty::scale_scores)) m.softmax_scale = 1.0;
  if (f.window.rule == HfWindow::Rule::switched) m.sliding_window = 300;
  m.rope_scaling = f.has_rope();
  m.rotary_base = f.has_rope() ? 5e5 : 1e4;
  return m;
}

json config_of(const ModelConfig& m) { return json::parse(new_hf_config_text(m, "float32", {})); }

void check_round_trip(const HfFamily& f, const ModelConfig& m) {
  const json config = config_of(m);
  CHECK(config["model_type"] == f.model_type);
  CHECK(config["architectures"] == json{f.architecture});
  CHECK(architecture_differences(m, hf_model(parse_json(config.dump(), "config.json"))).empty());
}

/// Rows of each parameter that tensors hold, by first row.
std::map<std::string, std::map<int64_t, const HfSlice*>> rows_by_parameter(const std::vector<HfSlice>& slices) {
  std::map<std::string, std::map<int64_t, const HfSlice*>> rows;
  for (const HfSlice& s : slices) CHECK(rows[s.parameter].emplace(s.row_begin, &s).second);
  return rows;
}

}  // namespace

TEST_CASE("Rows of the table are in order, and no key or tensor has two meanings", "[hf_family]") {
  std::vector<std::string> types;
  for (const HfFamily& f : hf_families()) {
    INFO(f.model_type);
    types.push_back(f.model_type);
    std::set<std::string> keys, tensors;
    std::set<HfProperty> properties;
    for (const HfKey& k : f.keys) CHECK((keys.insert(k.name).second && properties.insert(k.property).second));
    for (const HfSlice& s : hf_slices(f.model_type, full_model(f))) {
      CHECK(tensors.insert(s.hf_name).second);
      CHECK((s.hf_name == kHfHead || s.hf_name.starts_with(f.tensors.prefix)));
      CHECK((s.hf_name == kHfHead || f.tensors.prefix + without_hf_prefix(s.hf_name) == s.hf_name));
      CHECK_FALSE(is_known_hf_buffer(s.hf_name));
    }
    CHECK(find_hf_family(f.model_type) == &f);
  }
  CHECK(std::is_sorted(types.begin(), types.end()));
  CHECK(std::set(types.begin(), types.end()).size() == types.size());
  CHECK(find_hf_family("mixtral") == nullptr);
  CHECK(hf_family_names(" and ") == "gpt2, llama, mistral, qwen2 and qwen3");
}

TEST_CASE("What the row lets a model have goes into config.json and comes back", "[hf_family]") {
  for (const HfFamily& f : hf_families()) {
    INFO(f.model_type);
    check_round_trip(f, plain_model(f));
    check_round_trip(f, full_model(f));
    for (const HfActivationName& a : f.activations) {
      ModelConfig m = plain_model(f);
      m.activation_func = a.ours;
      check_round_trip(f, m);
      json config = config_of(m);
      config[f.key(HfProperty::activation)->name] = a.name;  // also under names that are only read
      CHECK(hf_model(parse_json(config.dump(), "config.json")).activation_func == a.ours);
    }
    for (const std::string& key : f.dropouts) CHECK(config_of(plain_model(f))[key] == 0.0);
  }
}

TEST_CASE("Absent keys mean what the row says", "[hf_family]") {
  for (const HfFamily& f : hf_families()) {
    INFO(f.model_type);
    const auto without = [&](HfProperty property) {
      json config = config_of(full_model(f));
      if (f.has_key(property)) config.erase(f.key(property)->name);
      return hf_model(parse_json(config.dump(), "config.json"));
    };
    CHECK(without(HfProperty::epsilon).layernorm_epsilon == f.default_epsilon);
    CHECK(without(HfProperty::tied_head).share_embeddings_and_output_weights == f.default_tied_head);
    CHECK(without(HfProperty::head_width).head_dim() == f.default_head_width.value_or(32));
    if (f.default_positions) CHECK(without(HfProperty::positions).max_positions() == *f.default_positions);
    else CHECK_THROWS_AS(without(HfProperty::positions), InputError);
    if (f.default_mlp_ratio) CHECK(without(HfProperty::mlp_width).ffn() == *f.default_mlp_ratio * 128);
    else CHECK_THROWS_AS(without(HfProperty::mlp_width), InputError);
    if (f.default_groups_are_heads || !f.has_key(HfProperty::groups)) CHECK(without(HfProperty::groups).kv_heads() == 4);
    else CHECK_THROWS_AS(without(HfProperty::groups), InputError);
    for (const HfProperty required : {HfProperty::layers, HfProperty::width, HfProperty::heads, HfProperty::vocabulary})
      CHECK_THROWS_AS(without(required), InputError);
    for (const std::string& key : f.switches_without_effect) {
      json config = config_of(plain_model(f));
      config[key] = true;
      CHECK(architecture_differences(plain_model(f), hf_model(parse_json(config.dump(), "config.json"))).empty());
      config[key] = "yes";
      CHECK_THROWS_WITH(hf_model(parse_json(config.dump(), "config.json")), ContainsSubstring(key));
    }
  }
}

TEST_CASE("A family's tensors hold every parameter once", "[hf_family]") {
  for (const HfFamily& f : hf_families()) {
    for (const ModelConfig& m : {plain_model(f), full_model(f)}) {
      INFO(f.model_type);
      const std::vector<HfSlice> slices = hf_slices(f.model_type, m);
      const auto rows = rows_by_parameter(slices);
      const ParamList params = list_params(m);
      CHECK(rows.size() == params.specs.size());
      for (const ParamSpec& p : params.specs) {
        INFO(p.name);
        REQUIRE(rows.contains(p.name));
        int64_t next = 0;
        for (const auto& [begin, slice] : rows.at(p.name)) {
          CHECK((begin == next && slice->cols == (p.shape.rank() > 1 ? p.shape[1] : 1)));
          next += slice->rows;
        }
        CHECK(next == p.shape[0]);
      }
    }
  }
}

TEST_CASE("Every family has a model in tests/golden to compare with transformers", "[hf_family]") {
  std::set<std::string> types;
  for (const fs::directory_entry& e : fs::directory_iterator(fs::path(MBT_SOURCE_DIR) / "tests/golden/models"))
    types.insert(hf_model_type(e.path().string()));
  for (const HfFamily& f : hf_families()) CHECK(types.contains(f.model_type));
}

}  // namespace mbt::test::hf_family_test
