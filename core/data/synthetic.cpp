#include "core/data/synthetic.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string_view>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace mbt {
namespace {

constexpr size_t kStems = 32, kEndings = 8;
constexpr std::string_view kConsonants = "bcdfghjklmnprstvwz", kVowels = "aeiou", kFinals = "nrst";

struct Separator {
  std::string_view text;
  double probability;
};
constexpr std::array kSeparators{Separator{" ", 0.85}, Separator{", ", 0.09}, Separator{".\n", 0.06}};

/// Random numbers of one kind, one after another.
class Stream {
 public:
  Stream(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  double uniform() { return philox_uniform(seed_, stream_, index_++); }
  size_t below(size_t n) { return std::min(n - 1, static_cast<size_t>(uniform() * static_cast<double>(n))); }
  /// An index drawn by cumulative probabilities.
  size_t draw(const std::vector<double>& cumulative) {
    const auto it = std::upper_bound(cumulative.begin(), cumulative.end() - 1, uniform());
    return static_cast<size_t>(it - cumulative.begin());
  }

 private:
  uint64_t seed_, stream_, index_ = 0;
};

/// Cumulative probabilities of p(i) ~ 1 / (i + 1).
std::vector<double> zipf(size_t n) {
  std::vector<double> p(n);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) p[i] = sum += 1.0 / static_cast<double>(i + 1);
  for (double& v : p) v /= sum;
  return p;
}

double entropy(const std::vector<double>& cumulative) {
  double h = 0, previous = 0;
  for (double c : cumulative) {
    h -= (c - previous) * std::log(c - previous);
    previous = c;
  }
  return h;
}

std::vector<double> separator_probabilities() {
  std::vector<double> p;
  for (const Separator& s : kSeparators) p.push_back(s.probability + (p.empty() ? 0 : p.back()));
  return p;
}

double mean_length(const std::vector<std::string>& words) {
  const auto add = [](double sum, const std::string& w) { return sum + static_cast<double>(w.size()); };
  return std::accumulate(words.begin(), words.end(), 0.0, add) / static_cast<double>(words.size());
}

}  // namespace

SyntheticLanguage::SyntheticLanguage() : stem_steps_(zipf(kStems)), ending_steps_(zipf(kEndings)) {
  constexpr uint64_t kLanguage = 20260101;  // one language for everybody, whatever the seed of the run
  Stream random(kLanguage, 0);
  const auto letter = [&](std::string_view letters) { return letters[random.below(letters.size())]; };
  std::set<std::string> known;
  while (stems_.size() < kStems) {
    const std::string stem{letter(kConsonants), letter(kVowels), letter(kConsonants)};
    if (known.insert(stem).second) stems_.push_back(stem);
  }
  while (endings_.size() < kEndings) {
    std::string ending{letter(kVowels)};
    if (random.below(3) > 0) ending += letter(kFinals);
    if (known.insert(ending).second) endings_.push_back(ending);
  }
  next_stem_.resize(kStems);
  std::iota(next_stem_.begin(), next_stem_.end(), size_t{0});
  for (size_t i = kStems - 1; i > 0; --i) std::swap(next_stem_[i], next_stem_[random.below(i + 1)]);

  double length = mean_length(stems_) + mean_length(endings_);
  for (const Separator& s : kSeparators) length += s.probability * static_cast<double>(s.text.size());
  const double separators = entropy(separator_probabilities());
  entropy_rate_ = (entropy(stem_steps_) + entropy(ending_steps_) + separators) / length;
  entropy_rate_without_context_ = (std::log(kStems) + std::log(kEndings) + separators) / length;
}

std::string SyntheticLanguage::text(uint64_t seed, uint64_t index, size_t length) const {
  static const std::vector<double> separators = separator_probabilities();
  Stream random(seed, index);
  size_t stem = random.below(kStems), before_last = random.below(kEndings), last = random.below(kEndings);
  std::string out;
  out.reserve(length + 8);
  while (out.size() < length) {
    stem = (next_stem_[stem] + random.draw(stem_steps_)) % kStems;
    const size_t ending = (before_last + random.draw(ending_steps_)) % kEndings;
    before_last = last;
    last = ending;
    out += stems_[stem];
    out += endings_[ending];
    out += kSeparators[random.draw(separators)].text;
  }
  out.resize(length);
  return out;
}

SyntheticDataset::SyntheticDataset(const DatasetConfig& config, int64_t seq_length, int64_t seed)
    : seq_length_(seq_length), seed_(static_cast<uint64_t>(seed)) {
  const auto weights = parse_split(config.split);
  samples_ = split_ranges(weights, config.synthetic_tokens / seq_length);
  for (Split split : kSplits) {
    const size_t i = static_cast<size_t>(split);
    if (weights[i] > 0 && samples_[i].size == 0) {
      throw InputError(
          fmt::format("dataset.synthetic_tokens {} split {} leaves no sample of {} tokens for {}; give more tokens or a split without it",
                      config.synthetic_tokens, config.split, seq_length, name_of(split)));
    }
  }
}

std::string SyntheticDataset::describe() const {
  return fmt::format("synthetic language, {} + {} + {} samples of {} bytes (train + valid + test); entropy rate {:g} nats per byte",
                     samples_[0].size, samples_[1].size, samples_[2].size, seq_length_, language_.entropy_rate());
}

void SyntheticDataset::sample(Split split, int64_t index, Sample& out) const {
  const auto number = static_cast<uint64_t>(samples_[static_cast<size_t>(split)].begin + index);
  const std::string bytes = language_.text(seed_, number, static_cast<size_t>(seq_length_) + 1);
  std::transform(bytes.begin(), bytes.end(), out.tokens.begin(), [](char c) { return static_cast<unsigned char>(c); });
  out.add_piece({.source = "synthetic", .unit = "text", .number = static_cast<int64_t>(number), .tokens = seq_length_ + 1});
}

}  // namespace mbt
