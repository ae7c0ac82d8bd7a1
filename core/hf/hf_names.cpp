#include "core/hf/hf_names.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/base/error.h"

namespace mbt {
namespace {

class SliceList {
 public:
  explicit SliceList(const ModelConfig& model) : m_(model) {}

  std::vector<HfSlice> gpt2() {
    const int64_t c = m_.hidden_size, f = m_.ffn();
    matrix("transformer.wte.weight", "embedding.word.weight", 0, m_.vocab_size, c);
    matrix("transformer.wpe.weight", "embedding.position.weight", 0, m_.max_positions(), c);
    for (int64_t i = 0; i < m_.num_layers; ++i) {
      const std::string hf = text("transformer.h.", i, "."), our = text("layers.", i, ".");
      norm(hf + "ln_1", our + "input_norm");
      transposed_linear(hf + "attn.c_attn", our + "qkv", m_.qkv_width(), c);
      transposed_linear(hf + "attn.c_proj", our + "proj", c, m_.num_attention_heads * m_.head_dim());
      norm(hf + "ln_2", our + "pre_mlp_norm");
      transposed_linear(hf + "mlp.c_fc", our + "fc1", f, c);
      transposed_linear(hf + "mlp.c_proj", our + "fc2", c, f);
    }
    norm("transformer.ln_f", "final_norm");
    return head();
  }

  std::vector<HfSlice> llama_like() {
    const int64_t c = m_.hidden_size, f = m_.ffn(), d = m_.head_dim();
    const int64_t q = m_.num_attention_heads * d, kv = m_.kv_heads() * d;
    const bool qkv_bias = m_.has_qkv_bias(), mlp_bias = m_.has_mlp_bias();
    matrix("model.embed_tokens.weight", "embedding.word.weight", 0, m_.vocab_size, c);
    for (int64_t i = 0; i < m_.num_layers; ++i) {
      const std::string hf = text("model.layers.", i, "."), our = text("layers.", i, ".");
      norm(hf + "input_layernorm", our + "input_norm");
      linear(hf + "self_attn.q_proj", our + "qkv", 0, q, c, qkv_bias);
      linear(hf + "self_attn.k_proj", our + "qkv", q, kv, c, qkv_bias);
      linear(hf + "self_attn.v_proj", our + "qkv", q + kv, kv, c, qkv_bias);
      if (m_.qk_layernorm) {
        vector(hf + "self_attn.q_norm.weight", our + "q_norm.weight", 0, d);
        vector(hf + "self_attn.k_norm.weight", our + "k_norm.weight", 0, d);
      }
      linear(hf + "self_attn.o_proj", our + "proj", 0, c, q, m_.has_proj_bias());
      norm(hf + "post_attention_layernorm", our + "pre_mlp_norm");
      linear(hf + "mlp.gate_proj", our + "fc1", 0, f, c, mlp_bias);
      linear(hf + "mlp.up_proj", our + "fc1", f, f, c, mlp_bias);
      linear(hf + "mlp.down_proj", our + "fc2", 0, c, f, mlp_bias);
    }
    norm("model.norm", "final_norm");
    return head();
  }

 private:
  void matrix(std::string hf, std::string our, int64_t row_begin, int64_t rows, int64_t cols) {
    list_.push_back({std::move(hf), std::move(our), {rows, cols}, row_begin, rows, cols, false});
  }
  void vector(std::string hf, std::string our, int64_t begin, int64_t size) {
    list_.push_back({std::move(hf), std::move(our), {size}, begin, size, 1, false});
  }
  void norm(const std::string& hf, const std::string& our) {
    vector(hf + ".weight", our + ".weight", 0, m_.hidden_size);
    if (m_.normalization == Normalization::layer_norm) vector(hf + ".bias", our + ".bias", 0, m_.hidden_size);
  }
  void linear(const std::string& hf, const std::string& our, int64_t row_begin, int64_t out, int64_t in, bool has_bias) {
    matrix(hf + ".weight", our + ".weight", row_begin, out, in);
    if (has_bias) vector(hf + ".bias", our + ".bias", row_begin, out);
  }
  void transposed_linear(const std::string& hf, const std::string& our, int64_t out, int64_t in) {
    list_.push_back({hf + ".weight", our + ".weight", {in, out}, 0, out, in, true});
    vector(hf + ".bias", our + ".bias", 0, out);
  }
  std::vector<HfSlice> head() {
    if (!m_.share_embeddings_and_output_weights) matrix(kHfHead, "head.weight", 0, m_.vocab_size, m_.hidden_size);
    return std::move(list_);
  }

  const ModelConfig& m_;
  std::vector<HfSlice> list_;
};

/// Calls f(position in the tensor as the file holds it, position in the parameter) for every element.
template <class F>
void for_each_element(const HfSlice& s, F f) {
  for (int64_t r = 0; r < s.rows; ++r) {
    for (int64_t c = 0; c < s.cols; ++c) {
      const int64_t in_file = s.transposed ? c * s.rows + r : r * s.cols + c;
      f(static_cast<size_t>(in_file), static_cast<size_t>((s.row_begin + r) * s.cols + c));
    }
  }
}

}  // namespace

std::vector<HfSlice> hf_slices(const std::string& model_type, const ModelConfig& model) {
  return model_type == "gpt2" ? SliceList(model).gpt2() : SliceList(model).llama_like();
}

std::string without_hf_prefix(const std::string& name) {
  for (const std::string prefix : {"transformer.", "model."}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

bool is_known_hf_buffer(const std::string& name) {
  using namespace std::string_view_literals;
  return name.ends_with(".attn.bias"sv) || name.ends_with(".attn.masked_bias"sv) || name.ends_with("rotary_emb.inv_freq"sv);
}

void scatter_elements(const HfSlice& s, int64_t first, int64_t count, int64_t width, const char* from, char* parameter) {
  char* const rows = parameter + s.row_begin * s.cols * width;
  if (!s.transposed) {
    std::memcpy(rows + first * width, from, static_cast<size_t>(count * width));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t c = (first + i) / s.rows, r = (first + i) % s.rows;
    std::memcpy(rows + (r * s.cols + c) * width, from + i * width, static_cast<size_t>(width));
  }
}

void gather_elements(const HfSlice& s, int64_t first, int64_t count, int64_t width, const char* from, char* tensor) {
  if (!s.transposed) {
    std::memcpy(tensor + first * width, from, static_cast<size_t>(count * width));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t r = (first + i) / s.cols, c = (first + i) % s.cols;
    std::memcpy(tensor + (c * s.rows + r) * width, from + i * width, static_cast<size_t>(width));
  }
}

std::vector<float> gather_hf(const HfSlice& slice, const std::vector<float>& parameter) {
  MBT_CHECK(static_cast<int64_t>(parameter.size()) >= (slice.row_begin + slice.rows) * slice.cols, slice.parameter, " holds ",
            parameter.size());
  std::vector<float> values(static_cast<size_t>(slice.rows * slice.cols));
  for_each_element(slice, [&](size_t in_file, size_t in_parameter) { values[in_file] = parameter[in_parameter]; });
  return values;
}

}  // namespace mbt
