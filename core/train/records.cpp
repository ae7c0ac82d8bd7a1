#include "core/train/records.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace mbt {
namespace {

template <class... Args>
std::string formatted(const char* format, Args... args) {
  const int n = std::snprintf(nullptr, 0, format, args...);
  std::string s(static_cast<size_t>(n) + 1, '\0');
  std::snprintf(s.data(), s.size(), format, args...);
  s.pop_back();
  return s;
}

long long ll(int64_t v) { return v; }

/// JSON has no NaN: null.
nlohmann::json number(double v) { return std::isfinite(v) ? nlohmann::json(v) : nlohmann::json(nullptr); }

/// "nan" in this one form, whatever its sign.
std::string scientific(double v) { return std::isnan(v) ? std::string("nan") : formatted("%.6E", v); }

}  // namespace

void IntervalAverage::add(const IterationRecord& r) {
  last_ = r;
  ++count_;
  elapsed_sum_ms_ += r.elapsed_ms;
  tflops_sum_ += r.tflops;
  nans_ += r.is_nan;
  if (r.is_nan) return;
  if (!std::isfinite(r.loss)) {
    advanced_without_loss_ += !r.was_skipped;
    return;
  }
  ++(r.was_skipped ? skipped_with_loss_ : advanced_);
  (r.was_skipped ? skipped_loss_sum_ : loss_sum_) += r.loss;
}

std::string IntervalAverage::take_line(bool with_throughput) {
  const auto n = static_cast<double>(std::max<int64_t>(count_, 1));
  std::string s = formatted(" iteration %8lld/%8lld | consumed samples: %12lld |", ll(last_.iteration), ll(last_.train_iters),
                            ll(last_.consumed_samples));
  s += formatted(" elapsed time per iteration (ms): %.1f |", elapsed_sum_ms_ / n);
  if (with_throughput) s += formatted(" throughput per GPU (TFLOP/s/GPU): %.3f |", tflops_sum_ / n);
  s += formatted(" learning rate: %.6E | global batch size: %5lld |", last_.learning_rate, ll(last_.global_batch_size));
  const int64_t losses = advanced_ > 0 ? advanced_ : skipped_with_loss_;
  const double loss_sum = advanced_ > 0 ? loss_sum_ : skipped_loss_sum_;
  s += losses > 0 ? formatted(" lm loss: %.6E |", loss_sum / static_cast<double>(losses)) : std::string(" lm loss: nan |");
  s += formatted(" loss scale: %.1f | grad norm: %.3f |", last_.loss_scale, std::abs(last_.grad_norm));  // abs: "nan", never "-nan"
  if (last_.num_zeros) s += formatted(" num zeros: %lld |", ll(*last_.num_zeros));
  if (last_.params_norm) s += formatted(" params norm: %.3f |", *last_.params_norm);
  s += formatted(" number of skipped iterations: %3lld | number of nan iterations: %3lld |",
                 ll(count_ - advanced_ - advanced_without_loss_ - nans_), ll(nans_));
  *this = {};
  return s;
}

nlohmann::json to_json(const IterationRecord& r) {
  nlohmann::json j = {{"kind", "iteration"},
                      {"iteration", r.iteration},
                      {"consumed_samples", r.consumed_samples},
                      {"lm_loss", number(r.loss)},
                      {"learning_rate", r.learning_rate},
                      {"grad_norm", number(r.grad_norm)},
                      {"loss_scale", r.loss_scale},
                      {"skipped", r.was_skipped},
                      {"elapsed_ms", r.elapsed_ms},
                      {"tokens_per_second", r.tokens_per_second},
                      {"tflops", r.tflops}};
  if (r.params_norm) j["params_norm"] = number(*r.params_norm);
  if (r.num_zeros) j["num_zeros"] = *r.num_zeros;
  return j;
}

double EvaluationRecord::perplexity() const { return std::exp(loss > 20.0 ? 20.0 : loss); }

std::string EvaluationRecord::lines() const {
  const std::string name = is_final ? formatted(" validation loss at iteration %lld on %s set", ll(iteration), split.c_str())
                                    : formatted(" %s loss at iteration %lld", split.c_str(), ll(iteration));
  const std::string body =
      name + formatted(" | lm loss value: %s | lm loss PPL: %s | ", scientific(loss).c_str(), scientific(perplexity()).c_str());
  const std::string dashes(body.size() + 1, '-');
  return dashes + "\n" + body + "\n" + dashes;
}

nlohmann::json to_json(const EvaluationRecord& r) {
  return {{"kind", "evaluation"}, {"iteration", r.iteration},  {"split", r.split},
          {"final", r.is_final},  {"lm_loss", number(r.loss)}, {"perplexity", number(r.perplexity())},
          {"tokens", r.tokens}};
}

}  // namespace mbt
