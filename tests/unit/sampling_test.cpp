// Drawing tokens: frequencies follow the probabilities, top-k and top-p cut where they should.
#include "core/model/sampling.h"

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace mbt::test::sampling_test {

namespace {

constexpr int kDraws = 20000;

std::map<int32_t, double> frequencies(const std::vector<float>& logits, const SamplingConfig& config) {
  std::map<int32_t, double> f;
  for (uint64_t i = 0; i < kDraws; ++i) f[sample_token(logits, config, 7, 1, i)] += 1.0 / kDraws;
  return f;
}

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3));
  return logits;
}

}  // namespace

TEST_CASE("tokens are drawn by their probabilities", "[sampling]") {
  const auto f = frequencies(logits_of({0.5, 0.3, 0.15, 0.05}), {});
  CHECK(f.at(0) == Approx(0.5).margin(0.015));
  CHECK(f.at(1) == Approx(0.3).margin(0.015));
  CHECK(f.at(2) == Approx(0.15).margin(0.01));
  CHECK(f.at(3) == Approx(0.05).margin(0.01));
  const auto sharp = frequencies(logits_of({0.6, 0.4}), SamplingConfig{.temperature = 0.5});
  CHECK(sharp.at(0) == Approx(0.36 / 0.52).margin(0.015));
}

TEST_CASE("temperature 0 takes the most probable, the first of equals", "[sampling]") {
  CHECK(sample_token(std::vector<float>{1, 3, 3, 2}, SamplingConfig{.temperature = 0}, 1, 2, 3) == 1);
}

TEST_CASE("top-k keeps k tokens, top-p the fewest that reach p", "[sampling]") {
  const auto logits = logits_of({0.1, 0.4, 0.2, 0.3});
  const auto k = frequencies(logits, SamplingConfig{.top_k = 2});
  CHECK(k.size() == 2);
  CHECK(k.at(1) == Approx(4.0 / 7).margin(0.015));
  CHECK(frequencies(logits, SamplingConfig{.top_k = 1}).count(1) == 1);
  CHECK(frequencies(logits, SamplingConfig{.top_k = 100}).size() == 4);
  CHECK(frequencies(logits, SamplingConfig{.top_p = 0.39}).size() == 1);
  CHECK(frequencies(logits, SamplingConfig{.top_p = 0.69}).size() == 2);
  CHECK(frequencies(logits, SamplingConfig{.top_p = 0.71}).size() == 3);
  CHECK(frequencies(logits, SamplingConfig{.top_k = 3, .top_p = 0.5}).size() == 2);  // after top-k: 4/9, 3/9, 2/9
  CHECK(frequencies({1, 1, 1, 1}, SamplingConfig{.top_k = 2}).count(3) == 0);        // of equals the lower ids
}

TEST_CASE("a draw is a function of its address", "[sampling]") {
  const std::vector<float> logits(1000, 0.5F);
  CHECK(sample_token(logits, {}, 1, 2, 3) == sample_token(logits, {}, 1, 2, 3));
  CHECK(sample_token(logits, {}, 1, 2, 3) != sample_token(logits, {}, 1, 2, 4));
  CHECK(sample_token(logits, {}, 1, 2, 3) != sample_token(logits, {}, 1, 3, 3));
}

TEST_CASE("excluded tokens are never drawn; broken logits are errors", "[sampling]") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(frequencies({-inf, 1, -inf, 1e30F, -inf}, {}).size() == 1);
  CHECK(frequencies({-inf, 1, 1, -inf}, SamplingConfig{.top_k = 3, .top_p = 0.99999}).size() == 2);
  CHECK_THROWS_WITH(sample_token(std::vector<float>{0, NAN}, {}, 1, 1, 1), ContainsSubstring("the logit of token 1 is"));
  CHECK_THROWS_AS(sample_token(std::vector<float>{0, inf}, {}, 1, 1, 1), Error);
  CHECK_THROWS_WITH(sample_token(std::vector<float>{-inf}, {}, 1, 1, 1), ContainsSubstring("no logit is finite"));
  const std::vector<float> logits{0, 1};
  CHECK_THROWS_AS(sample_token(logits, SamplingConfig{.temperature = -1}, 1, 1, 1), InputError);
  CHECK_THROWS_AS(sample_token(logits, SamplingConfig{.temperature = NAN}, 1, 1, 1), InputError);
  CHECK_THROWS_AS(sample_token(logits, SamplingConfig{.top_k = -1}, 1, 1, 1), InputError);
  CHECK_THROWS_AS(sample_token(logits, SamplingConfig{.top_p = 0}, 1, 1, 1), InputError);
  CHECK_THROWS_AS(sample_token(logits, SamplingConfig{.top_p = 1.01}, 1, 1, 1), InputError);
}

}  // namespace mbt::test::sampling_test
