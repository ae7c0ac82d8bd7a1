// Megatron's sample order, number for number: against numpy (tests/golden/make_megatron_order.py) and the vectors everybody knows.
#include "core/data/megatron/megatron_order.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/base/error.h"
#include "core/data/blend_order.h"
#include "core/data/megatron/indexed_dataset.h"
#include "core/data/megatron/indexed_writer.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::megatron_order_test {

using nlohmann::json;

namespace {

const json& golden() {
  static const json values = json::parse(read_text_file(MBT_SOURCE_DIR "/tests/golden/megatron_order.json"));
  return values;
}

std::vector<int32_t> shuffled(uint32_t seed, int32_t n) {
  std::mt19937 random(seed);
  std::vector<int32_t> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 0);
  numpy_shuffle(std::span(values), random);
  return values;
}

/// The pair of the golden cases: token t of sequence s is 1000 s + t.
std::string write_pair(const TemporaryFolder& folder) {
  IndexedWriter writer(folder.path("golden"), IndexedDtype::int32);
  const std::vector<int32_t> lengths = golden()["lengths"];
  for (size_t s = 0; s < lengths.size(); ++s) {
    std::vector<int32_t> tokens(static_cast<size_t>(lengths[s]));
    std::iota(tokens.begin(), tokens.end(), static_cast<int32_t>(1000 * s));
    writer.add_document(tokens);
  }
  writer.finish();
  return folder.path("golden");
}

IndexedOptions options_of(const json& c) {
  IndexedOptions options;
  options.seq_length = c["seq_length"];
  options.split = c["split"];
  options.seed = c["seed"];
  options.vocab_size = 1 << 20;
  for (size_t i = 0; i < 3; ++i)
    if (!c["wanted"][i].is_null()) options.samples[i] = c["wanted"][i].get<int64_t>();
  return options;
}

}  // namespace

TEST_CASE("numpy's shuffle", "[megatron]") {
  CHECK(shuffled(0, 10) == std::vector<int32_t>{2, 8, 4, 9, 1, 6, 7, 3, 0, 5});
  CHECK(shuffled(42, 10) == std::vector<int32_t>{8, 1, 5, 0, 7, 2, 9, 4, 3, 6});
  CHECK(shuffled(1234, 10) == std::vector<int32_t>{7, 2, 9, 1, 0, 8, 4, 5, 6, 3});
  CHECK(shuffled(3, 1) == std::vector<int32_t>{0});
  CHECK(shuffled(3, 0).empty());
}

TEST_CASE("splits are rounded half to even over sequences", "[megatron]") {
  for (const json& c : golden()["rounding"]) {
    std::string split;
    for (const json& w : c["split"]) {
      if (!split.empty()) split += ',';
      split += w.dump();
    }
    const auto ranges = megatron_split_ranges(parse_split(split), c["sequences"]);
    INFO(c.dump());
    for (size_t i = 0; i < 2; ++i) CHECK(ranges[i].begin + ranges[i].size == c["bounds"][i + 1].get<int64_t>());
    CHECK(ranges[0].begin == 0);
  }
}

/// Each sample has the same pieces as in the whole index, and no sequence is kept that none of them touches.
void check_samples_read(const MegatronIndex& index, int64_t count) {
  const SamplesRead read = first_samples_read(index, count);
  REQUIRE(read.sample_sequence.size() == static_cast<size_t>(count));
  std::vector<bool> is_touched(read.sequences.size());
  for (size_t i = 0; i < read.sample_sequence.size(); ++i) {
    const size_t s = index.shuffle_index[i];
    CHECK(read.sample_offset[i] == index.sample_offset[s]);
    size_t at = read.sample_sequence[i];
    for (int64_t d = index.sample_document[s]; d <= index.sample_document[s + 1]; ++d, ++at) {
      REQUIRE(at < read.sequences.size());
      CHECK(read.sequences[at] == index.document_index[static_cast<size_t>(d)]);
      is_touched[at] = true;
    }
  }
  CHECK(std::find(is_touched.begin(), is_touched.end(), false) == is_touched.end());
}

TEST_CASE("indices are numpy's", "[megatron]") {
  const std::vector<int32_t> lengths = golden()["lengths"];
  int checked = 0, separate = 0;
  for (const json& c : golden()["cases"]) {
    const IndexedOptions options = options_of(c);
    const auto ranges = megatron_split_ranges(options.split, static_cast<int64_t>(lengths.size()));
    for (size_t i = 0; i < 3; ++i) {
      const json& expected = c["splits"][i];
      if (expected.is_null()) continue;
      const SplitRange r = ranges[i];
      CHECK(r.begin == c["bounds"][i].get<int64_t>());
      const int64_t tokens = std::accumulate(lengths.begin() + r.begin, lengths.begin() + r.begin + r.size, int64_t{0});
      const EpochPlan plan = plan_epochs(tokens, r.size, options.seq_length, options.samples[i], "golden");
      INFO(c["seed"] << " split " << i);
      CHECK(plan.epochs == expected["epochs"].get<int64_t>());
      REQUIRE(plan.samples == expected["samples"].get<int64_t>());
      CHECK(plan.separates_final_epoch == expected["separate"].get<bool>());
      const MegatronIndex index = build_megatron_index(
          plan, r, [&](int64_t s) { return lengths[static_cast<size_t>(s)]; }, options.seq_length, options.seed);
      CHECK(index.document_index == expected["documents"].get<std::vector<int32_t>>());
      CHECK(index.shuffle_index == expected["shuffle"].get<std::vector<uint32_t>>());
      REQUIRE(index.sample_document.size() == static_cast<size_t>(plan.samples) + 1);
      for (const int64_t count : {int64_t{0}, int64_t{1}, plan.samples / 3, plan.samples}) check_samples_read(index, count);
      ++checked;
      separate += plan.separates_final_epoch;
    }
  }
  CHECK(checked == 12);
  CHECK(separate >= 2);
}

TEST_CASE("samples hold numpy's tokens", "[megatron]") {
  const TemporaryFolder folder;
  const std::string prefix = write_pair(folder);
  for (const json& c : golden()["cases"]) {
    const IndexedDataset data(prefix, options_of(c));
    for (const Split split : kSplits) {
      const json& expected = c["splits"][static_cast<size_t>(split)];
      if (expected.is_null()) continue;
      const auto wanted = options_of(c).samples[static_cast<size_t>(split)];
      REQUIRE(data.num_samples(split) == std::min(wanted.value_or(INT64_MAX), expected["samples"].get<int64_t>()));
      CHECK(data.order(split) == SampleOrder::own);
      for (int64_t i = 0; i < data.num_samples(split); ++i) {
        Sample sample(data.seq_length());
        std::vector<SamplePiece> pieces;
        sample.pieces = &pieces;
        data.sample(split, i, sample);
        CHECK(sample.tokens == expected["content"][static_cast<size_t>(i)].get<std::vector<int32_t>>());
        int64_t tokens = 0;
        for (const SamplePiece& p : pieces) {
          CHECK(sample.tokens[static_cast<size_t>(p.position)] == 1000 * p.number + p.offset);
          tokens += p.tokens;
        }
        CHECK(tokens == data.seq_length() + 1);
      }
    }
  }
}

TEST_CASE("blends are Megatron's", "[megatron]") {
  for (const json& b : golden()["blends"]) {
    const std::vector<double> weights = b["weights"];
    const BlendOrder order = blend_by_weight(weights, b["samples"]);
    for (size_t i = 0; i < order.dataset.size(); ++i) {
      CHECK(order.dataset[i] == b["chosen"][i][0].get<int>());
      CHECK(order.sample[i] == b["chosen"][i][1].get<int64_t>());
    }
  }
  for (const json& s : golden()["shares"]) {
    CHECK(blend_share(s["weight"], s["samples"]) == s["share"].get<int64_t>());
    CHECK(blend_share_with_surplus(s["weight"], s["samples"]) == s["surplus"].get<int64_t>());
  }
  const std::vector<int64_t> sizes{3, 0, 5};
  const BlendOrder all = blend_exhaustively(sizes);
  CHECK(all.dataset == std::vector<uint16_t>{2, 0, 2, 0, 2, 2, 0, 2});
  CHECK(all.sample == std::vector<int64_t>{0, 0, 1, 1, 2, 3, 2, 4});
}

TEST_CASE("what an index cannot be is refused before memory is asked for", "[megatron]") {
  CHECK_THROWS_WITH(plan_epochs(10, 5, 8, int64_t{1} << 60, "x"), ContainsSubstring("x: 1152921504606846975 samples"));
  CHECK_THROWS_AS(plan_epochs(1, 1 << 30, 1, 1000000, "x"), InputError);
  CHECK(plan_epochs(17, 1, 8, std::nullopt, "x").samples == 2);
  CHECK(plan_epochs(16, 1, 8, std::nullopt, "x").samples == 1);
  CHECK(plan_epochs(17, 1, 8, 2, "x").epochs == 1);
  CHECK(plan_epochs(101, 5, 1, 179, "x").separates_final_epoch);  // 79 of an epoch's 100 samples
  CHECK_FALSE(plan_epochs(101, 5, 1, 180, "x").separates_final_epoch);
  CHECK(plan_epochs(16, 1, 8, 2, "x").epochs == 2);
}

TEST_CASE("too little data, an empty split and a large seed are named", "[megatron]") {
  const TemporaryFolder folder;
  const std::string prefix = write_pair(folder);
  IndexedOptions options;
  options.seq_length = 1000;
  options.vocab_size = 1 << 20;
  CHECK_THROWS_WITH(IndexedDataset(prefix, options),
                    ContainsSubstring("20 of 20 sequences with 184 tokens for training, but one sample takes 1001"));
  options.seq_length = 8;
  options.split = {999, 1, 0};
  options.samples = {1, 1, 1};
  CHECK_THROWS_WITH(IndexedDataset(prefix, options), ContainsSubstring("0 of 20 sequences with 0 tokens for validation"));
  options.samples = {1, 0, 0};  // nobody reads it
  CHECK_NOTHROW(IndexedDataset(prefix, options));
  options.seed = int64_t{1} << 32;
  CHECK_THROWS_WITH(IndexedDataset(prefix, options), ContainsSubstring("set dataset.random_seed"));
  options.seed = 1;
  options.samples = {};  // all
  options.vocab_size = 19005;
  options.split = {1, 0, 0};
  const IndexedDataset data(prefix, options);
  Sample sample(8);
  const auto read_all = [&] {
    for (int64_t i = 0; i < data.num_samples(Split::train); ++i) sample.reset(), data.sample(Split::train, i, sample);
  };
  CHECK_THROWS_WITH(read_all(), ContainsSubstring("of sequence 19, expected 0 to 19004"));
}

}  // namespace mbt::test::megatron_order_test
