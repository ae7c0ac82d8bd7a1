// What a model is trained on: fixed-length samples of tokens, addressable in any order.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/dataset_config.h"
#include "core/data/sample.h"
#include "core/data/text/documents.h"

namespace mbt {

enum class Split : uint8_t { train, valid, test };
inline constexpr std::array kSplits{Split::train, Split::valid, Split::test};
std::string_view name_of(Split split);

/// The order of samples. by_seed: the loader shuffles each epoch, by the seed. own: the dataset's own order, read from its first sample
/// on.
enum class SampleOrder : uint8_t { by_seed, own };

/// Immutable and thread safe once it is made; memory does not grow with the data.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// All tokens are below it.
  virtual int64_t vocab_size() const = 0;
  virtual int64_t seq_length() const = 0;
  virtual int64_t num_samples(Split split) const = 0;
  virtual SampleOrder order(Split) const { return SampleOrder::by_seed; }
  /// Returns the lowest loss, in nats per token, that a model can reach in the long run; nullopt when the source is not known.
  virtual std::optional<double> entropy_rate() const { return std::nullopt; }
  /// One line for the user: what it is and how large.
  virtual std::string describe() const = 0;
  /// Differs when the data differs, even if describe() is the same. Ranks compare it to check that they read the same data.
  virtual std::string fingerprint() const { return describe(); }
  /// Fills `out`, which comes reset and of this seq_length. 0 <= index < num_samples(split).
  virtual void sample(Split split, int64_t index, Sample& out) const = 0;

  const DocumentRules& document_rules() const { return rules_; }
  void set_document_rules(const DocumentRules& rules) { rules_ = rules; }

 private:
  DocumentRules rules_;
};

/// The seed of data and data order: dataset.random_seed, else the run's.
inline int64_t data_seed(const DatasetConfig& config, int64_t run_seed) { return config.random_seed.value_or(run_seed); }

}  // namespace mbt
