#include "core/hf/choose_family.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

/// Collects the properties of a model that one family cannot have.
class Obstacles {
 public:
  void refuse_unless(bool holds, const std::string& what) {
    if (!holds) list_.push_back(what);
  }
  const std::vector<std::string>& list() const { return list_; }

 private:
  std::vector<std::string> list_;
};

/// Lists our names, each once.
std::string activations_of(const HfFamily& f) {
  std::vector<std::string> names;
  for (const HfActivationName& a : f.activations)
    if (f.activation_name(a.ours) == &a.name) names.emplace_back(name_of(a.ours));
  return join(names, ", ");
}

void check_biases(Obstacles& o, const HfFamily& f, const ModelConfig& m) {
  const std::string& name = f.model_type;
  if (f.biases == HfBiases::all) {
    o.refuse_unless(m.has_proj_bias() && m.has_mlp_bias(),
                    fmt::format("add_bias_linear false where {} has biases on all linear layers", name));
    return;
  }
  if (f.biases == HfBiases::qkv) {
    o.refuse_unless(m.has_qkv_bias(), fmt::format("no biases on QKV, which {} has", name));
    o.refuse_unless(!m.has_proj_bias(), fmt::format("a bias on the attention's output, which {} does not have", name));
  } else {
    o.refuse_unless(m.has_qkv_bias() == m.has_proj_bias(), fmt::format("biases on QKV alone, which {} does not have", name));
    o.refuse_unless(!m.has_proj_bias() || f.has_key(HfProperty::attention_bias),
                    fmt::format("biases in attention, which {} does not have", name));
  }
  o.refuse_unless(!m.has_mlp_bias() || f.has_key(HfProperty::mlp_bias), fmt::format("biases in the MLP, which {} does not have", name));
}

void check_heads(Obstacles& o, const HfFamily& f, const ModelConfig& m) {
  const std::string& name = f.model_type;
  o.refuse_unless(f.has_key(HfProperty::groups) || m.kv_heads() == m.num_attention_heads,
                  fmt::format("num_query_groups {} where {} has as many as query heads", m.kv_heads(), name));
  o.refuse_unless(f.has_key(HfProperty::head_width) || m.head_dim() * m.num_attention_heads == m.hidden_size,
                  fmt::format("kv_channels {} where {}'s heads are hidden_size / num_attention_heads wide", m.head_dim(), name));
  o.refuse_unless(
      !f.needs_whole_heads || m.hidden_size % m.num_attention_heads == 0,
      fmt::format("hidden_size {} where {} needs a multiple of num_attention_heads {}", m.hidden_size, name, m.num_attention_heads));
  o.refuse_unless(m.qk_layernorm == f.has_qk_norm,
                  fmt::format("{}{}{}", m.qk_layernorm ? "qk_layernorm, which " : "no qk_layernorm, which ", name,
                              f.has_qk_norm ? " has" : " does not have"));
  const double plain = 1.0 / std::sqrt(static_cast<double>(m.head_dim()));
  const bool may_be_one = f.has_key(HfProperty::scale_scores);
  o.refuse_unless(
      m.attention_scale() == plain || (may_be_one && m.attention_scale() == 1.0),
      fmt::format("softmax_scale {} where {} has 1/sqrt(head width){}", to_text(m.attention_scale()), name, may_be_one ? " or 1" : ""));
}

/// A family whose layers all slide is for models with a window: without one, another family says the same.
void check_window(Obstacles& o, const HfFamily& f, const ModelConfig& m) {
  const bool always = f.window.rule == HfWindow::Rule::always, may_have = always || f.window.rule == HfWindow::Rule::switched;
  o.refuse_unless(may_have || !m.sliding_window, fmt::format("sliding_window, which {} does not have", f.model_type));
  o.refuse_unless(!always || m.sliding_window, fmt::format("no sliding_window, which {} has", f.model_type));
}

std::vector<std::string> obstacles_to(const HfFamily& f, const ModelConfig& m) {
  Obstacles o;
  o.refuse_unless(m.normalization == f.norm,
                  fmt::format("normalization {} where {} has {}", name_of(m.normalization), f.model_type, name_of(f.norm)));
  o.refuse_unless(
      m.position_embedding_type == f.positions,
      fmt::format("position_embedding_type {} where {} has {}", name_of(m.position_embedding_type), f.model_type, name_of(f.positions)));
  o.refuse_unless(f.activation_name(m.activation_func) != nullptr,
                  fmt::format("activation_func {} where {} has {}", name_of(m.activation_func), f.model_type, activations_of(f)));
  o.refuse_unless(!f.has_rope() || m.rotary_percent == 1.0,
                  fmt::format("rotary_percent {} where {} rotates whole heads", to_text(m.rotary_percent), f.model_type));
  check_heads(o, f, m);
  check_biases(o, f, m);
  check_window(o, f, m);
  return o.list();
}

}  // namespace

const HfFamily& choose_family(const ModelConfig& m) {
  const HfFamily* nearest = nullptr;
  std::vector<std::string> in_the_way;
  for (const HfFamily& f : hf_families()) {
    std::vector<std::string> obstacles = obstacles_to(f, m);
    if (obstacles.empty()) return f;
    if (nearest && obstacles.size() >= in_the_way.size()) continue;
    nearest = &f;
    in_the_way = std::move(obstacles);
  }
  throw InputError(fmt::format("no known Hugging Face family ({}) can describe this model. The nearest is {}, but the model has {}",
                               hf_family_names(), nearest->model_type, join(in_the_way, "; ")));
}

}  // namespace mbt
