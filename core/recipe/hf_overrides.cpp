#include "core/recipe/hf_overrides.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/field_table.h"

namespace mbt {
namespace {

using Values = std::vector<std::pair<std::string, nlohmann::json>>;

/// The fields that decide which weights there are, and their shapes; null ones by what they stand for.
Values shape_fields(const ModelConfig& m) {
  Values v = {{"num_layers", m.num_layers},
              {"hidden_size", m.hidden_size},
              {"num_attention_heads", m.num_attention_heads},
              {"num_query_groups", m.kv_heads()},
              {"kv_channels", m.head_dim()},
              {"ffn_hidden_size", m.ffn()},
              {"vocab_size", m.vocab_size},
              {"normalization", m.normalization},
              {"position_embedding_type", m.position_embedding_type},
              {"add_bias_linear", m.add_bias_linear},
              {"add_qkv_bias", m.add_qkv_bias},
              {"add_attention_bias", m.add_attention_bias},
              {"add_mlp_bias", m.add_mlp_bias},
              {"qk_layernorm", m.qk_layernorm},
              {"share_embeddings_and_output_weights", m.share_embeddings_and_output_weights}};
  if (m.position_embedding_type == "learned_absolute") v.emplace_back("max_position_embeddings", m.max_positions());
  return v;
}

bool is_shape_field(const Values& fields, const std::string& name) {
  return std::any_of(fields.begin(), fields.end(), [&](const auto& f) { return f.first == name; });
}

}  // namespace

void compare_with_import(const RunConfig& imported, const RunConfig& config, const Origins& origins, std::vector<Problem>& problems,
                         std::vector<std::string>& notes) {
  const std::string& folder = config.model.hf_path;
  const Values have = shape_fields(imported.model), want = shape_fields(config.model);
  for (const auto& [field, value] : have) {
    const auto other = std::find_if(want.begin(), want.end(), [&](const auto& f) { return f.first == field; });
    const Origin origin = origin_of(origins, "model." + field);
    const bool is_users = origin.kind == Origin::Kind::config_file || origin.kind == Origin::Kind::command_line;
    if (other == want.end() || other->second == value || !is_users) continue;
    problems.push_back({text("model.", field, " (", to_string(origin), ")"),
                        text("got ", other->second.dump(), ", expected ", value.dump(), ", which the weights in ", folder,
                             " have (model.hf_path): leave the setting out")});
  }
  RunConfig copy = config;
  const FieldTable table(copy);
  std::vector<std::string> changes;
  for (const FieldDifference& d : difference(imported, config)) {
    const auto dot = d.path.find('.');
    const std::string section = d.path.substr(0, dot), field = d.path.substr(dot + 1);
    if (section == "model" && table.find(section, field)->info.is_architecture && !is_shape_field(have, field))
      changes.push_back(text(d.path, " ", d.left.dump(), " -> ", d.right.dump()));
  }
  if (!changes.empty())
    notes.push_back(text("the weights of model.hf_path (", folder, ") were trained to compute something else: ", join(changes, ", "),
                         ". If this is not meant, leave it out; `convert to-hf` may have no way to say it in config.json"));
}

}  // namespace mbt
