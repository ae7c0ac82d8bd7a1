// What a run reports, as data, and the forms in which it is written: the log line that Megatron's users parse, a short one for people, and
// one JSON object.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace mbt {

/// One optimizer step.
struct IterationRecord {
  int64_t iteration = 0;  ///< 1-based
  int64_t train_iters = 0;
  int64_t consumed_samples = 0;
  int64_t global_batch_size = 0;
  double elapsed_ms = 0.0;
  double learning_rate = 0.0;  ///< of this step
  double loss = 0.0;           ///< mean over the tokens in the loss; NaN when there is none
  double loss_scale = 1.0;     ///< with which this step's gradients were computed
  double grad_norm = 0.0;      ///< before clipping
  bool was_skipped = false;    ///< the weights did not change
  bool is_nan = false;         ///< the sum of losses was not finite
  double tokens_per_second = 0.0;
  double tflops = 0.0;  ///< model FLOP/s (docs: formula without recomputation) / 1e12
  std::optional<double> params_norm;
  std::optional<int64_t> num_zeros;
};

constexpr size_t kShortLineColumns = 160;

/// The records since the last log line, as it averages them.
class IntervalAverage {
 public:
  void add(const IterationRecord& r);
  bool empty() const { return count_ == 0; }
  /// Megatron's iteration line, without a line break, and a fresh interval. Loss: mean over the steps that were not skipped; where there
  /// is none (the fp16 loss scale finding its level), over those that have a loss; else "nan". A step without a token in the loss has no
  /// part in it. Times: mean over all steps.
  std::string take_line(bool with_throughput);
  /// The same numbers for the eye, with tokens per second, in columns, of which those that say nothing are left out: a loss scale of 1, and
  /// counts of zero. What does not fit into kShortLineColumns goes on in a second line.
  std::string take_short_line(bool with_throughput);

 private:
  double mean_loss() const;
  int64_t skipped() const { return count_ - advanced_ - advanced_without_loss_ - nans_; }

  IterationRecord last_;
  int64_t count_ = 0, advanced_ = 0, advanced_without_loss_ = 0, nans_ = 0, skipped_with_loss_ = 0;
  double loss_sum_ = 0.0, skipped_loss_sum_ = 0.0, elapsed_sum_ms_ = 0.0, tflops_sum_ = 0.0, tokens_sum_ = 0.0;
};

nlohmann::json to_json(const IterationRecord& r);

struct EvaluationRecord {
  int64_t iteration = 0;
  std::string split;      ///< "validation" or "test"
  bool is_final = false;  ///< at the end of the run
  double loss = 0.0;      ///< nats per token; NaN when there is none
  int64_t tokens = 0;
  double perplexity() const;
  /// The two dashed lines with the result between, as upstream.
  std::string lines() const;
};
nlohmann::json to_json(const EvaluationRecord& r);

}  // namespace mbt
