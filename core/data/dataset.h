// What a model is trained on: fixed-length samples of tokens, addressable in any order.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/io_config.h"

namespace mbt {

enum class Split : uint8_t { train, valid, test };
inline constexpr std::array kSplits{Split::train, Split::valid, Split::test};
std::string_view name_of(Split split);

/// Immutable and thread safe; memory does not grow with the data.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t vocab_size() const = 0;
  virtual int64_t seq_length() const = 0;
  virtual int64_t num_samples(Split split) const = 0;
  /// Nats per token that no model can do better than in the long run; only where the source is known.
  virtual std::optional<double> entropy_rate() const { return std::nullopt; }
  /// One line for the user: what it is and how large.
  virtual std::string describe() const = 0;
  /// Different when the data is, though it may be described alike: for ranks that should see the same.
  virtual std::string fingerprint() const { return describe(); }
  /// Writes tokens[0 .. seq_length], one more than a sample is long: inputs are the first seq_length, targets the last.
  /// 0 <= index < num_samples(split).
  virtual void sample(Split split, int64_t index, int32_t* tokens) const = 0;
};

/// The seed of data and data order: dataset.random_seed, else the run's.
inline int64_t data_seed(const DatasetConfig& config, int64_t run_seed) { return config.random_seed.value_or(run_seed); }

/// The dataset that the section describes. InputError: contradictory settings, no usable data, or fewer tokens than one sample of a split
/// that `split` gives a share takes.
std::unique_ptr<Dataset> make_dataset(const DatasetConfig& config, int64_t seq_length, int64_t run_seed);

}  // namespace mbt
