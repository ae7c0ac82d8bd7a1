// Chooses the dataset of each sample of a blend: always the one that is furthest behind its share, as in Megatron.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mbt {

struct BlendOrder {
  std::vector<uint16_t> dataset;  ///< [samples]
  std::vector<int64_t> sample;    ///< [samples], the sample's index within that dataset
};

/// weights: relative, at least one above 0. Sample i comes from the dataset with the largest weight x max(i, 1) - samples so far; of equals
/// the first.
BlendOrder blend_by_weight(std::span<const double> weights, int64_t samples);
/// Every sample of every dataset once, in proportion to the sizes.
BlendOrder blend_exhaustively(std::span<const int64_t> sizes);

/// Samples that a dataset of this share (0 to 1) gives to `samples` of the blend, rounded up.
int64_t blend_share(double weight, int64_t samples);
/// Returns the number of samples to prepare: half a percent more than blend_share().
int64_t blend_share_with_surplus(double weight, int64_t samples);

}  // namespace mbt
