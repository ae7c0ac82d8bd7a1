// Blends, a dataset for each split, and where documents begin: from the config to batches.
#include <filesystem>
#include <map>

#include "core/base/error.h"
#include "core/data/data_source.h"
#include "core/data/loader.h"
#include "core/data/megatron/indexed_writer.h"
#include "tests/support/catch.h"
#include "tests/support/dataset_of.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::blend_test {

namespace {

/// Documents of 10 tokens, all of them `token`, the last of each 9.
std::string pair_of(const TemporaryFolder& folder, const std::string& name, int32_t token, int documents) {
  IndexedWriter writer(folder.path(name), IndexedDtype::uint16);
  std::vector<int32_t> tokens(10, token);
  tokens.back() = 9;
  for (int d = 0; d < documents; ++d) writer.add_document(tokens);
  writer.finish();
  return folder.path(name);
}

RunConfig run_of(std::vector<std::string> blend, int64_t samples, const std::string& split = "1,0,0") {
  DatasetConfig config;
  config.blend = std::move(blend);
  config.split = split;
  RunConfig run = run_config_of(config, 5, 1234);
  run.train.train_iters = samples / 4;
  run.validation.eval_iters = 2;
  return run;
}

/// How many rows of the first `samples` begin with which token.
std::map<int32_t, int64_t> counted(const Dataset& data, Split split, int64_t samples) {
  const BatchLoader loader(data, split, 4, 1);
  std::map<int32_t, int64_t> counts;
  for (int64_t s = 0; s < samples; s += 4) {
    const Batch b = loader.get(s);
    for (size_t row = 0; row < 4; ++row) ++counts[b.tokens[row * 5] == 9 ? b.tokens[row * 5 + 1] : b.tokens[row * 5]];
  }
  return counts;
}

void refuse(const RunConfig& run, const std::string& message) {
  REQUIRE_THROWS_WITH(make_dataset(run), ContainsSubstring(message));
  REQUIRE_THROWS_AS(make_dataset(run), InputError);
}

}  // namespace

TEST_CASE("a blend gives every dataset its share from the first samples on, and repeats small ones", "[blend]") {
  const TemporaryFolder folder;
  const std::string a = pair_of(folder, "a", 1, 100), b = pair_of(folder, "b", 2, 3);
  const auto data = make_dataset(run_of({"3", a, "1", b}, 400));
  CHECK(data->order(Split::train) == SampleOrder::own);
  CHECK(data->num_samples(Split::train) == 400);
  CHECK(counted(*data, Split::train, 40) == std::map<int32_t, int64_t>{{1, 30}, {2, 10}});
  CHECK(counted(*data, Split::train, 400) == std::map<int32_t, int64_t>{{1, 300}, {2, 100}});
}

TEST_CASE("without weights a blend is in proportion to the sizes", "[blend]") {
  const TemporaryFolder folder;
  const std::string a = pair_of(folder, "a", 1, 30), b = pair_of(folder, "b", 2, 10);
  const auto data = make_dataset(run_of({a, b}, 40));
  CHECK(data->num_samples(Split::train) == 40);
  CHECK(counted(*data, Split::train, 40) == std::map<int32_t, int64_t>{{1, 30}, {2, 10}});
  const auto longer = make_dataset(run_of({a, b}, 400));
  CHECK(longer->num_samples(Split::train) == 59 + 19);  // no more than there is: then from the beginning
}

TEST_CASE("each split can come from data of its own", "[blend]") {
  const TemporaryFolder folder;
  RunConfig run = run_of({}, 8);
  run.dataset.train_data_path = {"1", pair_of(folder, "a", 1, 30), "1", pair_of(folder, "b", 2, 30)};
  run.dataset.valid_data_path = {pair_of(folder, "c", 3, 30)};
  const auto data = make_dataset(run);
  CHECK(counted(*data, Split::train, 8) == std::map<int32_t, int64_t>{{1, 4}, {2, 4}});
  CHECK(counted(*data, Split::valid, 8) == std::map<int32_t, int64_t>{{3, 8}});
  CHECK(data->num_samples(Split::test) == 0);
  CHECK_THROWS_WITH(BatchLoader(*data, Split::test, 1, 1), ContainsSubstring("no data for test"));
}

TEST_CASE("text and token files blend with Megatron data", "[blend]") {
  const TemporaryFolder folder;
  const std::string a = pair_of(folder, "a", 1, 100), text = folder.file("x.txt", std::string(1000, '\2'));
  const auto data = make_dataset(run_of({"1", a, "1", text}, 400));
  CHECK(counted(*data, Split::train, 400) == std::map<int32_t, int64_t>{{1, 200}, {2, 200}});
}

TEST_CASE("lists of paths", "[blend]") {
  CHECK(parse_blend({"0.3", "a", "7", "b"}, "f")[1].weight == 7);
  CHECK(parse_blend({"a", "b"}, "f")[1].path == "b");
  for (const std::vector<std::string>& list : std::vector<std::vector<std::string>>{
           {"a", "b", "1"}, {"1", "a", "b", "c"}, {"0.3", "a", "0.7"}, {"nan", "a", "1", "b"}, {"inf", "a"}, {"1e999", "a"}}) {
    CHECK_THROWS_WITH(parse_blend(list, "f"),
                      ContainsSubstring("is no file, and as a weight it does not fit") && ContainsSubstring("weight, path, weight, path"));
  }
  CHECK_THROWS_WITH(parse_blend({"0", "a", "1", "b"}, "f"), ContainsSubstring("f: the weight of a is 0"));
  const TemporaryFolder folder;
  CHECK(parse_blend({folder.file("1", "a file that is called like a number"), "b", "c"}, "f").size() == 3);
  CHECK_THROWS_WITH(parse_blend({"-1", "a"}, "f"), ContainsSubstring("expected more than 0"));
}

TEST_CASE("contradictory names of data are refused", "[blend]") {
  const TemporaryFolder folder;
  RunConfig run = run_of({pair_of(folder, "a", 1, 30)}, 8);
  run.dataset.path = "x";
  refuse(run, "dataset.path and dataset.blend (--data-path) are both set");
  run.dataset.path = "";
  run.dataset.reset_position_ids = true;
  refuse(run, "dataset.reset_position_ids needs to know the token that ends a document");
  run.dataset.eod_token_id = 256;
  refuse(run, "dataset.eod_token_id 256, expected less than model.vocab_size 256");
  run = run_of({folder.path("a.idx"), folder.path("none")}, 8);
  refuse(run, "none: cannot open it");
  run = run_of({}, 8);
  run.dataset.kind = DatasetKind::megatron;
  refuse(run, "dataset.kind megatron needs dataset.path");
  run.dataset.path = folder.file("y.txt", "text");
  refuse(run, "y.txt.idx: no such file; Megatron indexed data is a pair");
  std::filesystem::create_directories(folder.path("pairs"));
  static_cast<void>(pair_of(folder, "pairs/a", 1, 30));
  run = run_of({folder.path("pairs")}, 8);
  refuse(run, "name pairs of Megatron data by their prefix");
}

TEST_CASE("documents inside a row: mask, positions and loss", "[blend]") {
  const TemporaryFolder folder;
  IndexedWriter writer(folder.path("x"), IndexedDtype::uint8);
  writer.add_document(std::vector<int32_t>{1, 2, 9, 3, 9, 9, 4, 5, 6, 7, 8});
  writer.finish();
  RunConfig run = run_of({folder.path("x")}, 4);
  run.model.seq_length = 10;
  run.validation.eval_iters = 0;
  run.dataset.eod_token_id = 9;
  const auto batch_of = [&](bool mask, bool positions, bool loss) {
    run.dataset.reset_attention_mask = mask;
    run.dataset.reset_position_ids = positions;
    run.dataset.eod_mask_loss = loss;
    const auto data = make_dataset(run);
    const BatchLoader loader(*data, Split::train, 1, 1);
    int64_t sample = 0;  // that with the beginning of the sequence
    while (loader.get(sample).tokens[0] != 1) ++sample;
    return loader.get(sample);
  };
  const Batch plain = batch_of(false, false, false);
  CHECK(plain.document_start.empty());
  CHECK(plain.positions.empty());
  CHECK(plain.loss_mask == std::vector<float>(10, 1.0F));
  const Batch all = batch_of(true, true, true);
  CHECK(all.document_start == std::vector<int32_t>{0, 0, 0, 3, 3, 5, 6, 6, 6, 6});
  CHECK(all.positions == std::vector<int32_t>{0, 1, 2, 0, 1, 0, 0, 1, 2, 3});
  CHECK(all.loss_mask == std::vector<float>{1, 1, 0, 1, 0, 0, 1, 1, 1, 1});
  CHECK(batch_of(true, false, false).positions.empty());
  CHECK(batch_of(false, true, false).document_start.empty());
  CHECK(batch_of(false, true, false).positions == all.positions);
}

}  // namespace mbt::test::blend_test
