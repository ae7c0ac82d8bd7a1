// The log line is parsed by others: its form is fixed.
#include "core/train/records.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/support/catch.h"

namespace mbt::test::records_test {

namespace {

IterationRecord record(int64_t iteration, double loss) {
  IterationRecord r;
  r.iteration = iteration;
  r.train_iters = 200;
  r.consumed_samples = 16 * iteration;
  r.global_batch_size = 16;
  r.elapsed_ms = 12.34;
  r.learning_rate = 3e-4;
  r.loss = loss;
  r.grad_norm = 1.0404;
  return r;
}

}  // namespace

TEST_CASE("the iteration line has Megatron's fields in Megatron's order and widths") {
  IntervalAverage interval;
  interval.add(record(1, 5.545177));
  CHECK(interval.take_line(false) ==
        " iteration        1/     200 | consumed samples:           16 | elapsed time per iteration (ms): 12.3 | learning rate: "
        "3.000000E-04 | global batch "
        "size:    16 | lm loss: 5.545177E+00 | loss scale: 1.0 | grad norm: 1.040 | number of skipped iterations:   0 | number of nan "
        "iterations:   0 |");
}

TEST_CASE("upstream's parsers find their numbers") {
  IntervalAverage interval;
  interval.add(record(10, 2.5));
  const std::string line = interval.take_line(true);
  for (const char* pattern :
       {"iteration\\s+(\\d+)/\\s+\\d+", "elapsed time per iteration \\(ms\\):\\s+([\\d.]+)", "lm loss:\\s+([\\d.E+\\-]+)",
        "grad norm:\\s+([\\d.]+|nan|inf)", "throughput per GPU \\(TFLOP/s/GPU\\):\\s+([\\d.]+)"}) {
    INFO(pattern);
    CHECK(std::regex_search(line, std::regex(pattern)));
  }
}

TEST_CASE("the loss of an interval is the mean over the steps that advanced") {
  IntervalAverage interval;
  interval.add(record(1, 4.0));
  IterationRecord skipped = record(2, 100.0);
  skipped.was_skipped = true;
  interval.add(skipped);
  IterationRecord nan = record(3, std::nan(""));
  nan.is_nan = nan.was_skipped = true;
  interval.add(nan);
  interval.add(record(4, 2.0));
  const std::string line = interval.take_line(false);
  CHECK_THAT(line, ContainsSubstring("lm loss: 3.000000E+00"));
  CHECK_THAT(line, ContainsSubstring("skipped iterations:   1"));
  CHECK_THAT(line, ContainsSubstring("nan iterations:   1"));
  CHECK(interval.empty());
}

TEST_CASE("where every step of an interval was skipped, their losses are shown") {
  IntervalAverage interval;
  for (const double loss : {5.0, 6.0, std::nan("")}) {  // the last one skipped by the user: no loss
    IterationRecord r = record(1, loss);
    r.was_skipped = true;
    interval.add(r);
  }
  const std::string line = interval.take_line(false);
  CHECK_THAT(line, ContainsSubstring("lm loss: 5.500000E+00"));
  CHECK_THAT(line, ContainsSubstring("skipped iterations:   3"));
}

TEST_CASE("an interval without a loss says nan in its place") {
  IntervalAverage interval;
  IterationRecord r = record(1, std::nan(""));
  r.is_nan = true;
  interval.add(r);
  CHECK_THAT(interval.take_line(false), ContainsSubstring(" lm loss: nan |"));
  CHECK(to_json(r)["lm_loss"].is_null());
}

TEST_CASE("a step without a token in the loss has no part in the interval's loss, and was neither skipped nor nan") {
  IntervalAverage interval;
  interval.add(record(1, 3.0));
  interval.add(record(2, std::nan("")));
  const std::string line = interval.take_line(false);
  CHECK_THAT(line, ContainsSubstring("lm loss: 3.000000E+00") && ContainsSubstring("skipped iterations:   0") &&
                       ContainsSubstring("nan iterations:   0"));
  interval.add(record(3, std::nan("")));
  CHECK_THAT(interval.take_line(false), ContainsSubstring(" lm loss: nan |") && ContainsSubstring("skipped iterations:   0"));
}

TEST_CASE("the perplexity of a loss that is not a number is none") {
  EvaluationRecord r;
  r.loss = std::nan("");
  CHECK(std::isnan(r.perplexity()));
  CHECK(to_json(r)["perplexity"].is_null());
  CHECK_THAT(r.lines(), ContainsSubstring("| lm loss value: nan | lm loss PPL: nan |"));
}

TEST_CASE("evaluation lines as upstream writes them") {
  EvaluationRecord r{.iteration = 100, .split = "validation", .loss = 2.0, .tokens = 10};
  CHECK_THAT(r.lines(),
             ContainsSubstring(" validation loss at iteration 100 | lm loss value: 2.000000E+00 | lm loss PPL: 7.389056E+00 | "));
  r.is_final = true;
  CHECK_THAT(r.lines(), ContainsSubstring("at iteration 100 on validation set | lm loss value"));
}

TEST_CASE("the short line has its columns, and leaves out what says nothing") {
  IntervalAverage interval;
  IterationRecord first = record(9, 2.0), second = record(10, 3.0);
  first.tokens_per_second = second.tokens_per_second = 4000.0;
  second.elapsed_ms = 3 * first.elapsed_ms;
  interval.add(first);
  interval.add(second);
  CHECK(interval.take_short_line(false) == "  10/200  loss   2.5000  lr 3.000e-04  grad norm    1.040      4000 tok/s      24.7 ms/it");
  CHECK(interval.empty());
  second.loss_scale = 65536.0;
  second.was_skipped = true;
  IterationRecord nan = record(11, std::nan(""));
  nan.is_nan = nan.was_skipped = true;
  nan.loss_scale = 32768.0;
  nan.tflops = 2.0;
  interval.add(second);
  interval.add(nan);
  CHECK(
      interval.take_short_line(true) ==
      "  11/200  loss   3.0000  lr 3.000e-04  grad norm    1.040      3000 tok/s      24.7 ms/it     1.000 TFLOP/s  scale 32768  skipped 1 "
      " nan 1");
}

TEST_CASE("short lines are aligned and fit 160 columns, whatever the numbers") {
  const auto line_of = [](const IterationRecord& r) {
    IntervalAverage interval;
    interval.add(r);
    return interval.take_short_line(true);
  };
  IterationRecord small = record(1, 0.5), large = record(199, 5e20);
  small.loss_scale = large.loss_scale = 4294967296.0;
  large.grad_norm = 1e30;
  large.elapsed_ms = 3.6e9;
  large.tokens_per_second = 12345678;
  large.tflops = 123456.0;
  const std::string a = line_of(small), b = line_of(large);
  CHECK(a.size() == b.size());
  for (const char* column : {"loss", "grad norm", "tok/s", "ms/it", "TFLOP/s", "scale"}) CHECK(a.find(column) == b.find(column));
  large.iteration = large.train_iters = 9999999;
  large.params_norm = 123456.789;
  large.num_zeros = 123456789012;
  large.was_skipped = true;
  const std::string all = line_of(large);
  size_t begin = 0;
  for (size_t end = 0; begin < all.size(); begin = end + 1) {
    end = std::min(all.find('\n', begin), all.size());
    CHECK(end - begin <= kShortLineColumns);
  }
  CHECK_THAT(all, ContainsSubstring("params norm") && ContainsSubstring("zeros 123456789012") && ContainsSubstring("skipped 1"));
  large.loss = std::nan("");
  large.is_nan = true;
  CHECK_THAT(line_of(large), ContainsSubstring("loss      nan") && ContainsSubstring("nan 1"));
}

}  // namespace mbt::test::records_test
