#include "core/hf/hf_names.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/hf/family.h"

namespace mbt {
namespace {

enum class Kind : uint8_t { table, norm, linear };

/// Where a part lies among our parameters.
struct Place {
  const char* parameter;  ///< without "layers.i.", ".weight" and ".bias"
  Kind kind;
  int64_t row_begin, rows, cols;
  bool has_bias;
};

Place place_of(HfPart part, const ModelConfig& m) {
  const int64_t c = m.hidden_size, f = m.ffn(), d = m.head_dim(), q = m.num_attention_heads * d, kv = m.kv_heads() * d;
  const bool norm_bias = m.normalization == Normalization::layer_norm, qkv_bias = m.has_qkv_bias(), mlp_bias = m.has_mlp_bias();
  switch (part) {
    case HfPart::word_embedding: return {"embedding.word", Kind::table, 0, m.vocab_size, c, false};
    case HfPart::position_embedding: return {"embedding.position", Kind::table, 0, m.max_positions(), c, false};
    case HfPart::input_norm: return {"input_norm", Kind::norm, 0, c, 1, norm_bias};
    case HfPart::qkv: return {"qkv", Kind::linear, 0, m.qkv_width(), c, qkv_bias};
    case HfPart::q: return {"qkv", Kind::linear, 0, q, c, qkv_bias};
    case HfPart::k: return {"qkv", Kind::linear, q, kv, c, qkv_bias};
    case HfPart::v: return {"qkv", Kind::linear, q + kv, kv, c, qkv_bias};
    case HfPart::q_norm: return {"q_norm", Kind::norm, 0, d, 1, false};
    case HfPart::k_norm: return {"k_norm", Kind::norm, 0, d, 1, false};
    case HfPart::proj: return {"proj", Kind::linear, 0, c, q, m.has_proj_bias()};
    case HfPart::pre_mlp_norm: return {"pre_mlp_norm", Kind::norm, 0, c, 1, norm_bias};
    case HfPart::fc1:
    case HfPart::gate: return {"fc1", Kind::linear, 0, f, c, mlp_bias};
    case HfPart::up: return {"fc1", Kind::linear, f, f, c, mlp_bias};
    case HfPart::fc2: return {"fc2", Kind::linear, 0, c, f, mlp_bias};
    case HfPart::final_norm: return {"final_norm", Kind::norm, 0, c, 1, norm_bias};
  }
  throw Error("no such part of a model");
}

class SliceList {
 public:
  SliceList(const HfTensorNames& names, const ModelConfig& model) : names_(names), m_(model) {}

  std::vector<HfSlice> run() {
    for (const HfTensorName& t : names_.before) add(t, names_.prefix, "");
    for (int64_t i = 0; i < m_.num_layers; ++i) {
      const std::string hf = fmt::format("{}{}{}.", names_.prefix, names_.layers, i), our = fmt::format("layers.{}.", i);
      for (const HfTensorName& t : names_.layer) add(t, hf, our);
    }
    for (const HfTensorName& t : names_.after) add(t, names_.prefix, "");
    if (!m_.share_embeddings_and_output_weights)
      list_.push_back({kHfHead, "head.weight", {m_.vocab_size, m_.hidden_size}, 0, m_.vocab_size, m_.hidden_size, false});
    return std::move(list_);
  }

 private:
  void add(const HfTensorName& t, const std::string& hf_prefix, const std::string& our_prefix) {
    if ((t.part == HfPart::q_norm || t.part == HfPart::k_norm) && !m_.qk_layernorm) return;
    const Place p = place_of(t.part, m_);
    const std::string hf = hf_prefix + t.name, our = our_prefix + p.parameter;
    const bool transposed = p.kind == Kind::linear && names_.transposes_linear;
    const std::vector<int64_t> shape = p.kind == Kind::norm ? std::vector{p.rows}
                                       : transposed         ? std::vector{p.cols, p.rows}
                                                            : std::vector{p.rows, p.cols};
    list_.push_back({hf + ".weight", our + ".weight", shape, p.row_begin, p.rows, p.cols, transposed});
    if (p.has_bias) list_.push_back({hf + ".bias", our + ".bias", {p.rows}, p.row_begin, p.rows, 1, false});
  }

  const HfTensorNames& names_;
  const ModelConfig& m_;
  std::vector<HfSlice> list_;
};

template <class Is>
bool any_family(Is is) {
  return std::any_of(hf_families().begin(), hf_families().end(), [&](const HfFamily& f) { return is(f.tensors); });
}

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
  const HfFamily* const family = find_hf_family(model_type);
  MBT_CHECK(family, "model_type {}", model_type);
  return SliceList(family->tensors, model).run();
}

std::string without_hf_prefix(const std::string& name) {
  for (const HfFamily& f : hf_families())
    if (!f.tensors.prefix.empty() && name.starts_with(f.tensors.prefix)) return name.substr(f.tensors.prefix.size());
  return name;
}

bool is_hf_causal_mask(const std::string& name) {
  return any_family([&](const HfTensorNames& t) { return !t.causal_mask.empty() && name.ends_with(t.causal_mask); });
}

bool is_known_hf_buffer(const std::string& name) {
  return is_hf_causal_mask(name) || any_family([&](const HfTensorNames& t) {
           return std::any_of(t.buffers.begin(), t.buffers.end(), [&](const std::string& end) { return name.ends_with(end); });
         });
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
  MBT_CHECK(static_cast<int64_t>(parameter.size()) >= (slice.row_begin + slice.rows) * slice.cols, "{} holds {}", slice.parameter,
            parameter.size());
  std::vector<float> values(static_cast<size_t>(slice.rows * slice.cols));
  for_each_element(slice, [&](size_t in_file, size_t in_parameter) { values[in_file] = parameter[in_parameter]; });
  return values;
}

}  // namespace mbt
