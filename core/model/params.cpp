#include "core/model/params.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "core/base/philox.h"

namespace mbt {
namespace {

constexpr int64_t kParamAlignment = 64;  // elements, as Megatron aligns parameter starts in its buffers
constexpr int64_t kPieceAlignment =
    128;  // elements of a rank's piece: whole vectors for every kernel; a multiple of upstream's lcm(ranks, 128)
constexpr int64_t kBandwidthMultiple = 1 << 16;

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

class ListBuilder {
 public:
  ListBuilder(const ModelConfig& m, const Sharding& sharding, const std::function<bool(const ParamSpec&)>& is_codes_only)
      : m_(m), is_codes_only_(is_codes_only) {
    list_.sharding = sharding;
  }

  ParamList build() {
    add_all();
    for (const bool codes : {false, true}) {
      place(codes);
      if (!codes) list_.plain_size = list_.flat_size;
    }
    return std::move(list_);
  }

 private:
  void add_all() {
    add("embedding.word.weight", {m_.padded_vocab_size(), m_.hidden_size}, ParamKind::embedding, ParamInit::embedding_normal);
    if (m_.position_embedding_type == PositionEmbedding::learned_absolute) {
      add("embedding.position.weight", {m_.max_positions(), m_.hidden_size}, ParamKind::position_embedding, ParamInit::embedding_normal);
    }
    for (int64_t i = 0; i < m_.num_layers; ++i) add_layer(i);
    add_norm("final_norm", -1, m_.hidden_size);
    if (!m_.share_embeddings_and_output_weights)
      add("head.weight", {m_.padded_vocab_size(), m_.hidden_size}, ParamKind::head, ParamInit::normal);
  }
  void add(std::string name, Shape shape, ParamKind kind, ParamInit init, int64_t layer = -1, LinearKind linear = LinearKind::qkv) {
    const bool is_first = kind == ParamKind::embedding || kind == ParamKind::position_embedding;
    const int64_t unit = layer >= 0 ? layer + 1 : is_first ? 0 : m_.num_layers + 1;
    list_.specs.push_back(
        {.name = std::move(name), .shape = shape, .kind = kind, .init = init, .layer = layer, .linear = linear, .unit = unit});
    list_.specs.back().is_codes_only = is_codes_only_ && is_codes_only_(list_.specs.back());
    list_.num_params += shape.size();
  }

  /// Buckets of one kind. Gradients are complete from the last layer to the first, so buckets fill from the end: the first one may be
  /// small.
  void place(bool codes) {
    std::vector<int64_t> params;
    for (size_t i = 0; i < list_.specs.size(); ++i)
      if (list_.specs[i].is_codes_only == codes) params.push_back(static_cast<int64_t>(i));
    if (params.empty()) return;
    std::vector<size_t> starts{params.size()};
    int64_t filled = 0;
    for (size_t k = params.size(); k-- > 0;) {
      filled += spec(params[k]).shape.size();
      const bool is_full = list_.sharding.bucket_size > 0 && filled >= list_.sharding.bucket_size;
      if (!is_full && k > 0) continue;
      starts.push_back(k);
      filled = 0;
    }
    for (size_t b = starts.size() - 1; b > 0; --b) add_bucket(params, starts[b], starts[b - 1], codes);
  }

  void add_bucket(const std::vector<int64_t>& params, size_t begin, size_t end, bool codes) {
    const Sharding& s = list_.sharding;
    Bucket bucket{.first_param = params[begin], .end_param = params[end - 1] + 1, .elements = {list_.flat_size, 0}, .holds_codes = codes};
    bucket.first_unit = spec(params[begin]).unit;
    bucket.last_unit = spec(params[end - 1]).unit;
    for (size_t k = begin; k < end; ++k) {
      spec(params[k]).offset = bucket.elements.end();
      bucket.elements.count += round_up(spec(params[k]).shape.size(), kParamAlignment);
    }
    if (s.ranks > 1) {
      const int64_t piece = kPieceAlignment * s.ranks;
      bucket.elements.count = round_up(bucket.elements.count, s.pads_for_bandwidth ? std::lcm(piece, kBandwidthMultiple) : piece);
    }
    list_.flat_size = bucket.elements.end();
    list_.buckets.push_back(bucket);
  }

  ParamSpec& spec(int64_t i) { return list_.specs[static_cast<size_t>(i)]; }

  void add_norm(const std::string& name, int64_t layer, int64_t width) {
    add(name + ".weight", {width}, ParamKind::norm, ParamInit::ones, layer);
    if (m_.normalization == Normalization::layer_norm) add(name + ".bias", {width}, ParamKind::norm, ParamInit::zeros, layer);
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
  const std::function<bool(const ParamSpec&)>& is_codes_only_;
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

ParamList list_params(const ModelConfig& model, const Sharding& sharding, const std::function<bool(const ParamSpec&)>& is_codes_only) {
  return ListBuilder(model, sharding, is_codes_only).build();
}

const Bucket& ParamList::bucket_of(int64_t i) const {
  const auto after = [](int64_t offset, const Bucket& b) { return offset < b.elements.first; };
  return *std::prev(std::upper_bound(buckets.begin(), buckets.end(), specs[static_cast<size_t>(i)].offset, after));
}

ElementRange ParamList::own_range(int64_t i) const {
  const ParamSpec& s = specs[static_cast<size_t>(i)];
  const ElementRange piece = bucket_of(i).piece(sharding.rank, sharding.ranks);
  const int64_t first = std::max(s.offset, piece.first), end = std::min(s.offset + s.shape.size(), piece.end());
  return first < end ? ElementRange{first - s.offset, end - first} : ElementRange{};
}

int64_t ParamList::shard_offset(int64_t i) const {
  const Bucket& bucket = bucket_of(i);
  const int64_t before = bucket.elements.first / sharding.ranks;  // the own pieces of the buckets in front: all are multiples of the ranks
  return before + specs[static_cast<size_t>(i)].offset + own_range(i).first - bucket.piece(sharding.rank, sharding.ranks).first;
}

int64_t ParamList::index_of(const std::string& name) const {
  for (size_t i = 0; i < specs.size(); ++i)
    if (specs[i].name == name) return static_cast<int64_t>(i);
  return -1;
}

std::vector<float> initial_values(const ParamSpec& spec, const ModelConfig& model, uint64_t seed, ElementRange range) {
  const auto n = static_cast<size_t>(range.count);
  if (spec.init == ParamInit::ones) return std::vector<float>(n, 1.0f);
  if (spec.init == ParamInit::zeros) return std::vector<float>(n, 0.0f);
  std::vector<float> values(n);
  const double std_dev = init_std(spec, model);
  const uint64_t stream = stream_of(spec.name);
  constexpr double kTwoPi = 6.283185307179586;
  const auto put = [&](int64_t element, double value) {
    if (element >= range.first && element < range.end()) values[static_cast<size_t>(element - range.first)] = static_cast<float>(value);
  };
  for (int64_t i = range.first / 4 * 4; i < range.end(); i += 4) {  // Box-Muller on the four words of one Philox block
    const auto words = philox(seed, stream, static_cast<uint64_t>(i) / 4);
    for (size_t pair = 0; pair < 2; ++pair) {
      const double u = (words[2 * pair] + 0.5) * 0x1p-32, angle = kTwoPi * words[2 * pair + 1] * 0x1p-32;
      const double radius = std_dev * std::sqrt(-2.0 * std::log(u));
      const auto at = i + static_cast<int64_t>(2 * pair);
      put(at, radius * std::cos(angle));
      put(at + 1, radius * std::sin(angle));
    }
  }
  return values;
}

}  // namespace mbt
