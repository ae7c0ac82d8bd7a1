// RoPE's table of cosines and sines, values worked by hand; Llama 3's scaling in each of its three ranges.
#include "core/model/rope_table.h"

#include <cmath>

#include "tests/support/catch.h"

namespace mbt::test::rope_table_test {

namespace {

ModelConfig eight_wide() {
  ModelConfig m;
  m.hidden_size = 32;
  m.num_attention_heads = 4;
  return m;
}

/// What position `p` is turned by in pair `i`, for frequencies given.
void check_turns(const ModelConfig& m, const std::vector<double>& frequencies) {
  constexpr int64_t kPositions = 6;
  const std::vector<float> table = rope_table(m, kPositions);
  const size_t half = frequencies.size();
  REQUIRE(table.size() == kPositions * 2 * half);
  for (size_t p = 0; p < kPositions; ++p) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequencies[i];
      CHECK(table[p * 2 * half + i] == Approx(std::cos(angle)).margin(1e-6));
      CHECK(table[p * 2 * half + half + i] == Approx(std::sin(angle)).margin(1e-6));
    }
  }
}

}  // namespace

TEST_CASE("frequencies fall from 1 by equal factors, over the width that turns") {
  ModelConfig m = eight_wide();
  check_turns(m, {1, 0.1, 0.01, 0.001});
  m.rotary_base = 16;
  check_turns(m, {1, 0.5, 0.25, 0.125});
  m.rotary_percent = 0.5;
  check_turns(m, {1, 0.25});
  m.rotary_percent = 0.7;  // of 8: 5, made even
  CHECK(rotary_width(m) == 4);
}

TEST_CASE("Llama 3's scaling leaves short waves, divides long ones, and goes from one to the other between") {
  ModelConfig m = eight_wide();
  m.rope_scaling = true;
  m.rope_scaling_factor = 8;
  m.rope_low_freq_factor = 1;
  m.rope_high_freq_factor = 4;
  m.rope_original_max_position_embeddings = 157;  // waves: 6.3 below 157 / 4; 62.8, which 157 holds 2.4987 times; 628 beyond 157
  const double share = (157 / (20 * 3.141592653589793) - 1) / 3;
  check_turns(m, {1, (1 - share) * 0.1 / 8 + share * 0.1, 0.01 / 8, 0.001 / 8});
}

}  // namespace mbt::test::rope_table_test
