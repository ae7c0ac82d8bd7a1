#include "core/data/blended_dataset.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/data/blend_order.h"
#include "core/data/loader.h"

namespace mbt {
namespace {

constexpr int kBlendVersion = 1;

std::string numbers(const auto& values) {
  std::vector<std::string> out;
  for (const auto v : values) out.push_back(to_text(static_cast<double>(v)));
  return join(out, ",");
}

}  // namespace

BlendedDataset::BlendedDataset(std::vector<BlendPart> parts, const BlendOptions& options) : parts_(std::move(parts)), options_(options) {
  MBT_CHECK(!parts_.empty() && (options_.weights.empty() || options_.weights.size() == parts_.size()), "{} parts, {} weights",
            parts_.size(), options_.weights.size());
  for (const BlendPart& part : parts_)
    MBT_CHECK(part.data->seq_length() == seq_length(), "{} has samples of {}", part.name, part.data->seq_length());
  for (const Split split : kSplits) build(split);
}

void BlendedDataset::build(Split split) {
  const auto i = static_cast<size_t>(split);
  const std::optional<int64_t> wanted = options_.samples[i];
  std::vector<int64_t> sizes;
  for (const BlendPart& part : parts_) sizes.push_back(part.data->num_samples(split));
  const int64_t available = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  if (available == 0 || wanted == 0) return;

  std::vector<double> weights = options_.weights;
  if (!wanted) weights.clear();  // everything, once: weights have nothing to say
  int64_t samples = available;
  if (!weights.empty()) {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t d = 0; d < weights.size(); ++d) {
      if (weights[d] > 0 && sizes[d] == 0)
        throw InputError(fmt::format("the blend: {} has weight {} but no sample for {}", parts_[d].name, weights[d], name_of(split)));
      weights[d] /= sum;
    }
    samples = 0;
    for (const double w : weights) samples += blend_share(w, *wanted);
  } else if (wanted) {
    samples = std::min(*wanted, available);
    weights.assign(sizes.begin(), sizes.end());
  }
  splits_[i].samples = samples;
  if (!options_.makes_order) return;
  const std::string key = fmt::format("blend {}; weights {}; sizes {}; samples {}", kBlendVersion, numbers(weights),
                                      weights.empty() ? numbers(sizes) : "", samples);
  const auto build = [&] {
    BlendOrder order = weights.empty() ? blend_exhaustively(sizes) : blend_by_weight(weights, samples);
    std::vector<IndexArray> arrays;
    arrays.emplace_back(std::move(order.dataset));
    arrays.emplace_back(std::move(order.sample));
    return arrays;
  };
  splits_[i] = {samples, std::make_shared<IndexArrays>(cached_arrays(options_.cache, "blend", key, samples * 10, build))};
  const IndexArrays& index = *splits_[i].index;
  if (index.size() != 2 || index.get<std::byte>(0).size() != static_cast<size_t>(samples) * 2 ||
      index.get<std::byte>(1).size() != static_cast<size_t>(samples) * 8) {
    throw InputError(fmt::format("the cached index of a blend has impossible sizes; delete it ({})", options_.cache.path));
  }
}

int64_t BlendedDataset::vocab_size() const {
  int64_t most = 0;
  for (const BlendPart& part : parts_) most = std::max(most, part.data->vocab_size());
  return most;
}

std::string BlendedDataset::describe() const {
  std::string out = fmt::format("blend of {},", parts_.size());
  for (const Split split : kSplits) out += fmt::format("{}{}", split == Split::train ? " " : " + ", num_samples(split));
  out += fmt::format(" samples of {} tokens (train + valid + test)", seq_length());
  const double sum = std::accumulate(options_.weights.begin(), options_.weights.end(), 0.0);
  for (size_t d = 0; d < parts_.size(); ++d) {
    out += fmt::format("\n  {}{}", options_.weights.empty() ? "" : fmt::format("{} of ", to_text(options_.weights[d] / sum)),
                       parts_[d].data->describe());
  }
  return out;
}

std::string BlendedDataset::fingerprint() const {
  std::string out = numbers(options_.weights);
  for (const BlendPart& part : parts_) out += " " + part.data->fingerprint();
  return out;
}

void BlendedDataset::sample(Split split, int64_t index, Sample& out) const {
  const Order& order = splits_[static_cast<size_t>(split)];
  MBT_CHECK(order.index && index >= 0 && index < order.samples, "sample {} of {}", index, order.samples);
  const size_t d = order.index->get<uint16_t>(0)[static_cast<size_t>(index)];
  const int64_t n = order.index->get<int64_t>(1)[static_cast<size_t>(index)];
  if (d >= parts_.size() || n < 0 || parts_[d].data->num_samples(split) == 0) {
    throw InputError(
        fmt::format("the cached index of a blend points outside of it at sample {}; delete it ({})", index, options_.cache.path));
  }
  const Dataset& part = *parts_[d].data;
  part.sample(split, sample_at(part, split, options_.seed, n), out);
}

int64_t PerSplitDataset::vocab_size() const {
  int64_t most = 0;
  for (const auto& data : of_splits_)
    if (data) most = std::max(most, data->vocab_size());
  return most;
}

int64_t PerSplitDataset::seq_length() const {
  for (const auto& data : of_splits_)
    if (data) return data->seq_length();
  return 0;
}

std::string PerSplitDataset::describe() const {
  std::string out;
  for (const Split split : kSplits)
    if (of(split)) out += fmt::format("{}{}: {}", out.empty() ? "" : "\n  ", name_of(split), of(split)->describe());
  return out;
}

std::string PerSplitDataset::fingerprint() const {
  std::string out;
  for (const Split split : kSplits) out += of(split) ? fmt::format("{} {} ", name_of(split), of(split)->fingerprint()) : "";
  return out;
}

}  // namespace mbt
