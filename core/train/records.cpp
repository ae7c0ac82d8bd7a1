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

/// A number in a column of `width`: with `digits` behind the point where there is room, else with its power of ten.
std::string in_width(double v, int width, int digits) {
  std::string s = std::isnan(v) ? formatted("%*s", width, "nan") : formatted("%*.*f", width, digits, v);
  return static_cast<int>(s.size()) > width ? formatted("%*.*e", width, width - 7, v) : s;
}

class ShortLine {
 public:
  explicit ShortLine(const std::string& begin) : text_(begin), columns_(begin.size()), indent_(begin.size()) {}
  void add(const std::string& column) {
    if (columns_ + column.size() > kShortLineColumns) {
      text_ += "\n" + std::string(indent_, ' ');
      columns_ = indent_;
    }
    text_ += column;
    columns_ += column.size();
  }
  /// Without blanks at its end, which the last column's width may have left.
  std::string text() const { return text_.substr(0, text_.find_last_not_of(' ') + 1); }

 private:
  std::string text_;
  size_t columns_, indent_;
};

}  // namespace

void IntervalAverage::add(const IterationRecord& r) {
  last_ = r;
  ++count_;
  elapsed_sum_ms_ += r.elapsed_ms;
  tflops_sum_ += r.tflops;
  tokens_sum_ += r.tokens_per_second * r.elapsed_ms * 1e-3;
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
  s += formatted(" lm loss: %s |", scientific(mean_loss()).c_str());
  s += formatted(" loss scale: %.1f | grad norm: %.3f |", last_.loss_scale, std::abs(last_.grad_norm));  // abs: "nan", never "-nan"
  if (last_.num_zeros) s += formatted(" num zeros: %lld |", ll(*last_.num_zeros));
  if (last_.params_norm) s += formatted(" params norm: %.3f |", *last_.params_norm);
  s += formatted(" number of skipped iterations: %3lld | number of nan iterations: %3lld |", ll(skipped()), ll(nans_));
  *this = {};
  return s;
}

double IntervalAverage::mean_loss() const {
  const int64_t losses = advanced_ > 0 ? advanced_ : skipped_with_loss_;
  return losses > 0 ? (advanced_ > 0 ? loss_sum_ : skipped_loss_sum_) / static_cast<double>(losses) : std::nan("");
}

std::string IntervalAverage::take_short_line(bool with_throughput) {
  const auto n = static_cast<double>(std::max<int64_t>(count_, 1));
  const std::string length = std::to_string(last_.train_iters);
  ShortLine line(formatted(" %*lld/%s", static_cast<int>(length.size()), ll(last_.iteration), length.c_str()));
  line.add("  loss " + in_width(mean_loss(), 8, 4));
  line.add(formatted("  lr %.3e", last_.learning_rate));
  line.add("  grad norm " + in_width(std::abs(last_.grad_norm), 8, 3));
  line.add(formatted("  %8.0f tok/s", elapsed_sum_ms_ > 0.0 ? tokens_sum_ / (elapsed_sum_ms_ * 1e-3) : 0.0));
  line.add("  " + in_width(elapsed_sum_ms_ / n, 8, 1) + " ms/it");
  if (with_throughput) line.add("  " + in_width(tflops_sum_ / n, 8, 3) + " TFLOP/s");
  if (last_.loss_scale != 1.0) line.add(formatted("  scale %-5.10g", last_.loss_scale));
  if (last_.params_norm) line.add("  params norm " + in_width(*last_.params_norm, 8, 3));
  if (last_.num_zeros) line.add(formatted("  zeros %-9lld", ll(*last_.num_zeros)));
  if (skipped() > 0) line.add(formatted("  skipped %lld", ll(skipped())));
  if (nans_ > 0) line.add(formatted("  nan %lld", ll(nans_)));
  *this = {};
  return line.text();
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
