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
    o.refuse_unless(m.has_proj_bias() && m.has_mlp_bias(), text("add_bias_linear false where ", name, " has biases on all linear layers"));
    return;
  }
  if (f.biases == HfBiases::qkv) {
    o.refuse_unless(m.has_qkv_bias(), text("no biases on QKV, which ", name, " has"));
    o.refuse_unless(!m.has_proj_bias(), text("a bias on the attention's output, which ", name, " does not have"));
  } else {
    o.refuse_unless(m.has_qkv_bias() == m.has_proj_bias(), text("biases on QKV alone, which ", name, " does not have"));
    o.refuse_unless(!m.has_proj_bias() || f.has_key(HfProperty::attention_bias),
                    text("biases in attention, which ", name, " does not have"));
  }
  o.refuse_unless(!m.has_mlp_bias() || f.has_key(HfProperty::mlp_bias), text("biases in the MLP, which ", name, " does not have"));
}

void check_heads(Obstacles& o, const HfFamily& f, const ModelConfig& m) {
  const std::string& name = f.model_type;
  o.refuse_unless(f.has_key(HfProperty::groups) || m.kv_heads() == m.num_attention_heads,
                  text("num_query_groups ", m.kv_heads(), " where ", name, " has as many as query heads"));
  o.refuse_unless(f.has_key(HfProperty::head_width) || m.head_dim() * m.num_attention_heads == m.hidden_size,
                  text("kv_channels ", m.head_dim(), " where ", name, "'s heads are hidden_size / num_attention_heads wide"));
  o.refuse_unless(!f.needs_whole_heads || m.hidden_size % m.num_attention_heads == 0,
                  text("hidden_size ", m.hidden_size, " where ", name, " needs a multiple of num_attention_heads ", m.num_attention_heads));
  o.refuse_unless(m.qk_layernorm == f.has_qk_norm, text(m.qk_layernorm ? "qk_layernorm, which " : "no qk_layernorm, which ", name,
                                                        f.has_qk_norm ? " has" : " does not have"));
  const double plain = 1.0 / std::sqrt(static_cast<double>(m.head_dim()));
  const bool may_be_one = f.has_key(HfProperty::scale_scores);
  o.refuse_unless(
      m.attention_scale() == plain || (may_be_one && m.attention_scale() == 1.0),
      text("softmax_scale ", to_text(m.attention_scale()), " where ", name, " has 1/sqrt(head width)", may_be_one ? " or 1" : ""));
}

/// A family whose layers all slide is for models with a window: without one, another family says the same.
void check_window(Obstacles& o, const HfFamily& f, const ModelConfig& m) {
  const bool always = f.window.rule == HfWindow::Rule::always, may_have = always || f.window.rule == HfWindow::Rule::switched;
  o.refuse_unless(may_have || !m.sliding_window, text("sliding_window, which ", f.model_type, " does not have"));
  o.refuse_unless(!always || m.sliding_window, text("no sliding_window, which ", f.model_type, " has"));
}

std::vector<std::string> obstacles_to(const HfFamily& f, const ModelConfig& m) {
  Obstacles o;
  o.refuse_unless(m.normalization == f.norm,
                  text("normalization ", name_of(m.normalization), " where ", f.model_type, " has ", name_of(f.norm)));
  o.refuse_unless(m.position_embedding_type == f.positions, text("position_embedding_type ", name_of(m.position_embedding_type), " where ",
                                                                 f.model_type, " has ", name_of(f.positions)));
  o.refuse_unless(f.activation_name(m.activation_func) != nullptr,
                  text("activation_func ", name_of(m.activation_func), " where ", f.model_type, " has ", activations_of(f)));
  o.refuse_unless(!f.has_rope() || m.rotary_percent == 1.0,
                  text("rotary_percent ", to_text(m.rotary_percent), " where ", f.model_type, " rotates whole heads"));
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
  throw InputError(text("no known Hugging Face family (", hf_family_names(), ") can describe this model. The nearest is ",
                        nearest->model_type, ", but the model has ", join(in_the_way, "; ")));
}

}  // namespace mbt
