#include "core/hf/hf_weights.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/hf/hf_config.h"
#include "core/io/float_elements.h"

namespace mbt {
namespace {

bool is_float(SafetensorsType type) {
  return type == SafetensorsType::F32 || type == SafetensorsType::F16 || type == SafetensorsType::BF16;
}

/// "[3,17]": where element `i` of a row-major tensor lies.
std::string place_text(const std::vector<int64_t>& shape, int64_t i) {
  std::vector<int64_t> place(shape.size());
  for (size_t d = shape.size(); d-- > 0; i /= shape[d]) place[d] = i % shape[d];
  return shape_text(place);
}

/// An index may list a head that is tied, or a buffer, and no shard hold it: transformers makes both by itself.
SafetensorsFolder open_weights(const std::string& folder, const ModelConfig& model) {
  return SafetensorsFolder::open(folder, [&](const std::string& tensor) {
    return (model.share_embeddings_and_output_weights && tensor == kHfHead) || is_known_hf_buffer(tensor);
  });
}

}  // namespace

HfWeights::HfWeights(const std::string& folder, const ModelConfig& model)
    : folder_(open_weights(folder, model)), slices_(hf_slices(hf_model_type(folder), model)) {
  resolve_names();
  refuse_unexpected(model.share_embeddings_and_output_weights);
  if (model.share_embeddings_and_output_weights) compare_tied_head();
}

const HfSlice* HfWeights::find(const std::string& hf_name) const {
  const auto it = by_name_.find(hf_name);
  return it == by_name_.end() ? nullptr : &slices_[it->second];
}

void HfWeights::resolve_names() {
  for (HfSlice& slice : slices_) {
    if (!folder_.contains(slice.hf_name) && folder_.contains(without_hf_prefix(slice.hf_name)))
      slice.hf_name = without_hf_prefix(slice.hf_name);
    if (slice.hf_name == kHfHead && !folder_.contains(kHfHead)) {
      throw InputError(
          fmt::format("{}: tie_word_embeddings is false in config.json, but there is no tensor '{}'", folder_.path(), kHfHead));
    }
    const SafetensorsEntry& entry = folder_.at(slice.hf_name);
    if (entry.shape != slice.hf_shape || !is_float(entry.type)) {
      throw InputError(fmt::format("{}: tensor '{}' is {}{}, but config.json asks for {} in F32, F16 or BF16", folder_.path(),
                                   slice.hf_name, name_of(entry.type), shape_text(entry.shape), shape_text(slice.hf_shape)));
    }
  }
  for (size_t i = 0; i < slices_.size(); ++i) by_name_[slices_[i].hf_name] = i;
}

void HfWeights::refuse_unexpected(bool tied) const {
  for (const std::string& name : folder_.names()) {
    if (tied && name == kHfHead) continue;  // some files repeat the tied embedding
    if (!find(name) && !is_known_hf_buffer(name)) {
      throw InputError(fmt::format("{}: tensor '{}' is not part of the model that config.json describes", folder_.path(), name));
    }
  }
}

/// transformers would take one of the two, which one depends on its version.
void HfWeights::compare_tied_head() const {
  if (!folder_.contains(kHfHead)) return;
  const HfSlice& embedding = slices_.front();
  const SafetensorsFile &head_file = folder_.file_of(kHfHead), &embedding_file = folder_.file_of(embedding.hf_name);
  const SafetensorsEntry &head = folder_.at(kHfHead), &word = folder_.at(embedding.hf_name);
  const std::string where =
      fmt::format("{}: tie_word_embeddings is true in config.json (or by default), but tensor '{}' ", folder_.path(), kHfHead);
  if (head.shape != word.shape || !is_float(head.type)) {
    throw InputError(fmt::format("{}is {}{}, the embedding {}{}", where, name_of(head.type), shape_text(head.shape), name_of(word.type),
                                 shape_text(word.shape)));
  }
  constexpr int64_t kAtOnce = 1 << 20;
  std::vector<float> a(kAtOnce), b(kAtOnce);
  for (int64_t first = 0; first < word.size(); first += kAtOnce) {
    const int64_t count = std::min(kAtOnce, word.size() - first);
    head_file.read_f32(head, first, count, a.data());
    embedding_file.read_f32(word, first, count, b.data());
    if (std::memcmp(a.data(), b.data(), static_cast<size_t>(count) * sizeof(float)) != 0)
      throw InputError(
          fmt::format("{}differs from '{}'. Set tie_word_embeddings to false to train it by itself, or remove it from the file", where,
                      embedding.hf_name));
  }
}

void HfWeights::read_elements(const HfSlice& slice, int64_t first, int64_t count, char* out) const {
  const SafetensorsFile& file = folder_.file_of(slice.hf_name);
  const SafetensorsEntry& entry = folder_.at(slice.hf_name);
  file.read(entry, first * size_of(entry.type), count * size_of(entry.type), out);
  const int64_t bad = first_not_finite(entry.type, out, count);
  if (bad < 0) return;
  float value = 0;
  decode_elements(entry.type, out + bad * size_of(entry.type), 1, &value);
  throw InputError(
      fmt::format("{}: tensor '{}' holds {} at {}, expected finite numbers: the weights are damaged, or the training run diverged",
                  file.path(), entry.name, value, place_text(entry.shape, first + bad)));
}

void HfWeights::read(const std::string& parameter, std::vector<float>& values) const {
  constexpr int64_t kAtOnce = 1 << 20;  // elements
  std::vector<char> bytes;
  std::vector<float> part;
  for (const HfSlice& slice : slices_) {
    if (slice.parameter != parameter) continue;
    const SafetensorsEntry& entry = folder_.at(slice.hf_name);
    MBT_CHECK(static_cast<int64_t>(values.size()) >= (slice.row_begin + slice.rows) * slice.cols, "{} holds {}", parameter, values.size());
    for (int64_t first = 0; first < entry.size(); first += kAtOnce) {
      const int64_t count = std::min(kAtOnce, entry.size() - first);
      bytes.resize(static_cast<size_t>(count * size_of(entry.type)));
      part.resize(static_cast<size_t>(count));
      read_elements(slice, first, count, bytes.data());
      decode_elements(entry.type, bytes.data(), count, part.data());
      scatter_elements(slice, first, count, sizeof(float), reinterpret_cast<const char*>(part.data()),
                       reinterpret_cast<char*>(values.data()));
    }
  }
}

}  // namespace mbt
