#include "core/model/params.h"

#include <cmath>

#include "core/base/philox.h"

namespace mbt {
namespace {

constexpr int64_t kParamAlignment = 64;  // elements, as Megatron aligns parameter starts in its buffers

class ListBuilder {
 public:
  explicit ListBuilder(const ModelConfig& m) : m_(m) {}

  ParamList build() {
    add("embedding.word.weight", {m_.padded_vocab_size(), m_.hidden_size}, ParamKind::embedding, ParamInit::embedding_normal);
    if (m_.position_embedding_type == "learned_absolute") {
      add("embedding.position.weight", {m_.max_positions(), m_.hidden_size}, ParamKind::position_embedding, ParamInit::embedding_normal);
    }
    for (int64_t i = 0; i < m_.num_layers; ++i) add_layer(i);
    add_norm("final_norm", -1, m_.hidden_size);
    if (!m_.share_embeddings_and_output_weights) add("head.weight", {m_.padded_vocab_size(), m_.hidden_size}, ParamKind::head, ParamInit::normal);
    return std::move(list_);
  }

 private:
  void add(std::string name, Shape shape, ParamKind kind, ParamInit init, int64_t layer = -1, LinearKind linear = LinearKind::qkv) {
    list_.specs.push_back({std::move(name), shape, kind, init, layer, linear, list_.flat_size});
    list_.flat_size += (shape.size() + kParamAlignment - 1) / kParamAlignment * kParamAlignment;
    list_.num_params += shape.size();
  }
  void add_norm(const std::string& name, int64_t layer, int64_t width) {
    add(name + ".weight", {width}, ParamKind::norm, ParamInit::ones, layer);
    if (m_.normalization == "LayerNorm") add(name + ".bias", {width}, ParamKind::norm, ParamInit::zeros, layer);
  }
  void add_linear(const std::string& name, int64_t layer, LinearKind kind, int64_t out, int64_t in, bool has_bias) {
    const bool is_output = kind == LinearKind::proj || kind == LinearKind::fc2;
    add(name + ".weight", {out, in}, ParamKind::linear, is_output ? ParamInit::scaled_normal : ParamInit::normal, layer, kind);
    if (has_bias) add(name + ".bias", {out}, ParamKind::bias, ParamInit::zeros, layer, kind);
  }
  void add_layer(int64_t layer) {
    const std::string p = "layers." + std::to_string(layer) + ".";
    const int64_t c = m_.hidden_size;
    add_norm(p + "input_norm", layer, c);
    add_linear(p + "qkv", layer, LinearKind::qkv, m_.qkv_width(), c, m_.has_qkv_bias());
    if (m_.qk_layernorm) {
      add(p + "q_norm.weight", {m_.head_dim()}, ParamKind::norm, ParamInit::ones, layer);
      add(p + "k_norm.weight", {m_.head_dim()}, ParamKind::norm, ParamInit::ones, layer);
    }
    add_linear(p + "proj", layer, LinearKind::proj, c, m_.num_attention_heads * m_.head_dim(), m_.has_proj_bias());
    add_norm(p + "pre_mlp_norm", layer, c);
    add_linear(p + "fc1", layer, LinearKind::fc1, m_.is_gated() ? 2 * m_.ffn() : m_.ffn(), c, m_.has_mlp_bias());
    add_linear(p + "fc2", layer, LinearKind::fc2, c, m_.ffn(), m_.has_mlp_bias());
  }

  const ModelConfig& m_;
  ParamList list_;
};

/// FNV-1a: a stable stream number for a parameter's name.
uint64_t stream_of(const std::string& name) {
  uint64_t h = 1469598103934665603ull;
  for (unsigned char c : name) h = (h ^ c) * 1099511628211ull;
  return h;
}

double init_std(const ParamSpec& s, const ModelConfig& m) {
  switch (s.init) {
    case ParamInit::normal: return m.init_std();
    case ParamInit::scaled_normal: return m.init_std() / std::sqrt(2.0 * static_cast<double>(m.num_layers));
    case ParamInit::embedding_normal: return m.embedding_init_method_std.value_or(m.init_std());
    case ParamInit::ones:
    case ParamInit::zeros: return 0.0;
  }
  return 0.0;
}

}  // namespace

ParamList list_params(const ModelConfig& model) { return ListBuilder(model).build(); }

int64_t ParamList::index_of(const std::string& name) const {
  for (size_t i = 0; i < specs.size(); ++i)
    if (specs[i].name == name) return static_cast<int64_t>(i);
  return -1;
}

std::vector<float> initial_values(const ParamSpec& spec, const ModelConfig& model, uint64_t seed) {
  const auto n = static_cast<size_t>(spec.shape.size());
  if (spec.init == ParamInit::ones) return std::vector<float>(n, 1.0f);
  if (spec.init == ParamInit::zeros) return std::vector<float>(n, 0.0f);
  std::vector<float> values(n);
  const double std_dev = init_std(spec, model);
  const uint64_t stream = stream_of(spec.name);
  constexpr double kTwoPi = 6.283185307179586;
  for (size_t i = 0; i < n; i += 4) {  // Box-Muller on the four words of one Philox block
    const auto words = philox(seed, stream, i / 4);
    for (size_t pair = 0; pair < 2; ++pair) {
      const double u = (words[2 * pair] + 0.5) * 0x1p-32, angle = kTwoPi * words[2 * pair + 1] * 0x1p-32;
      const double radius = std_dev * std::sqrt(-2.0 * std::log(u));
      const size_t at = i + 2 * pair;
      if (at < n) values[at] = static_cast<float>(radius * std::cos(angle));
      if (at + 1 < n) values[at + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
  return values;
}

}  // namespace mbt
