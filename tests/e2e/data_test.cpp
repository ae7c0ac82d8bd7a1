// Data of every kind through the binary: what inspect shows, that runs train on it, the same on any number of ranks and after a break.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/data/megatron/indexed_writer.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::data_test {

using nlohmann::json;

namespace {

/// Documents of bytes that end with 0.
void write_pair(const TemporaryFolder& folder, const std::string& name, int documents) {
  mbt::IndexedWriter writer(folder.path(name), mbt::IndexedDtype::uint16);
  for (int d = 0; d < documents; ++d) {
    std::vector<int32_t> tokens(static_cast<size_t>(20 + 7 * d % 31));
    for (size_t t = 0; t < tokens.size(); ++t) tokens[t] = static_cast<int32_t>(97 + (t + static_cast<size_t>(d)) % 26);
    tokens.back() = 0;
    writer.add_document(tokens);
  }
  writer.finish();
}

std::vector<std::string> small(const std::vector<std::string>& more) {
  std::vector<std::string> args = {"--mixed-precision",     "fp32", "--hidden-size",       "32", "--num-layers",  "2",
                                   "--num-attention-heads", "4",    "--ffn-hidden-size",   "64", "--seq-length",  "32",
                                   "--micro-batch-size",    "1",    "--global-batch-size", "4",  "--train-iters", "6",
                                   "--log-interval",        "1",    "--eval-iters",        "0"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

RunResult inspect(const TemporaryFolder& folder, std::vector<std::string> args) {
  args.insert(args.begin(), {"data", "inspect"});
  const RunResult r = run_binary(args, folder.path());
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return r;
}

}  // namespace

TEST_CASE("inspect tells what a file's header says, and what is wrong with it") {
  const TemporaryFolder folder;
  write_pair(folder, "a", 10);
  const json facts = json::parse(inspect(folder, {"a.idx", "--json"}).out);
  CHECK(facts["documents"] == 10);
  CHECK(facts["dtype"] == "uint16");
  CHECK(facts["largest_token"] == 122);
  CHECK_THAT(inspect(folder, {"a"}).out, ContainsSubstring("longest_sequence"));
  std::filesystem::resize_file(folder.path("a.bin"), 100);
  const RunResult broken = run_binary({"data", "inspect", "a"}, folder.path());
  CHECK(broken.exit_code == 2);
  CHECK_THAT(broken.err, ContainsSubstring("a.bin has 100 bytes"));
}

TEST_CASE("inspect shows the batch that training reads: pieces, documents, positions, loss") {
  const TemporaryFolder folder;
  write_pair(folder, "a", 40);
  write_pair(folder, "b", 40);
  const auto args = small({"--data-path", "1", "a", "1", "b", "--split", "1,0,0", "--dataset.eod_token_id", "0", "--reset-position-ids",
                           "--reset-attention-mask", "--eod-mask-loss"});
  std::vector<std::string> as_json = args;
  as_json.insert(as_json.end(), {"--rows", "4", "--json"});
  const json shown = json::parse(inspect(folder, as_json).out);
  REQUIRE(shown["rows"].size() == 4);
  std::set<std::string> sources;
  for (const json& row : shown["rows"]) {
    const std::vector<int32_t> tokens = row["tokens"], targets = row["targets"], starts = row["document_start"],
                               positions = row["positions"];
    const std::vector<float> mask = row["loss_mask"];
    for (size_t t = 0; t < tokens.size(); ++t) {
      CHECK(mask[t] == (tokens[t] == 0 ? 0.0F : 1.0F));
      CHECK(positions[t] == static_cast<int32_t>(t) - starts[t]);
      if (t > 0) CHECK(starts[t] == (tokens[t - 1] == 0 ? static_cast<int32_t>(t) : starts[t - 1]));
      if (t > 0) CHECK(targets[t - 1] == tokens[t]);
    }
    for (const json& piece : row["pieces"]) sources.insert(piece["source"]);
  }
  CHECK(sources == std::set<std::string>{"a", "b"});
  CHECK_THAT(inspect(folder, args).out, ContainsSubstring("sequence ") && ContainsSubstring("position"));
  const RunResult trained = run_binary(args, folder.path());
  INFO(trained.err);
  CHECK(trained.exit_code == 0);
  CHECK(losses(trained.out).size() == 6);
}

TEST_CASE("a run on Megatron data is the same after a break and on two ranks, with its index in a cache") {
  const TemporaryFolder folder;
  write_pair(folder, "a", 40);
  const auto on = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = small({"--data-path", "a", "--split", "1,0,0", "--data-cache-path", "cache"});
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  const RunResult whole = run_binary(on({}), folder.path());
  INFO(whole.err);
  REQUIRE(losses(whole.out).size() == 6);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path("cache")), std::filesystem::directory_iterator()) == 1);
  const RunResult first = run_binary(on({"--save", "run", "--load", "run", "--exit-interval", "3"}), folder.path());
  const RunResult second = run_binary(on({"--save", "run", "--load", "run"}), folder.path());
  std::vector<std::string> both = losses(first.out);
  for (const std::string& l : losses(second.out)) both.push_back(l);
  CHECK(both == losses(whole.out));
  if (!has_mpirun()) return;
  CHECK(losses(run_ranks(2, on({}), folder.path()).out) == losses(whole.out));
}

TEST_CASE("examples with loss on answers train, packed; a line that is none is named") {
  const TemporaryFolder folder;
  std::ofstream file(folder.path("x.jsonl"));
  for (int i = 0; i < 60; ++i)
    file << json{{"messages",
                  {{{"role", "user"}, {"content", "say " + std::to_string(i)}},
                   {{"role", "assistant"}, {"content", std::string(1 + i % 7, 'a')}}}}}
                .dump()
         << "\n";
  file.close();
  const auto args = small({"--dataset.kind", "sft", "--dataset.path", "x.jsonl", "--dataset.chat_template", "plain",
                           "--dataset.eod_token_id", "0", "--split", "1,0,0", "--seq-length", "64"});
  const RunResult trained = run_binary(args, folder.path());
  INFO(trained.err);
  CHECK(trained.exit_code == 0);
  CHECK_THAT(trained.err + trained.out, ContainsSubstring("60 examples (plain)"));
  std::ofstream(folder.path("x.jsonl"), std::ios::app) << "{\"prompt\": 1}\n";
  const RunResult refused = run_binary(args, folder.path());
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, ContainsSubstring("x.jsonl:61: \"prompt\" is number, expected a string"));
}

TEST_CASE("pairs are merged, and other kinds of files refused") {
  const TemporaryFolder folder;
  write_pair(folder, "a", 3);
  write_pair(folder, "b", 4);
  REQUIRE(run_binary({"data", "merge", "--input", "a", "b", "--output", "c"}, folder.path()).exit_code == 0);
  CHECK(json::parse(inspect(folder, {"c", "--json"}).out)["documents"] == 7);
  mbt::IndexedWriter(folder.path("d"), mbt::IndexedDtype::int32).finish();
  const RunResult mixed = run_binary({"data", "merge", "--input", "a", "d", "--output", "e"}, folder.path());
  CHECK(mixed.exit_code == 2);
  CHECK_THAT(mixed.err, ContainsSubstring("d: tokens of int32, but a has uint16"));
  CHECK_FALSE(std::filesystem::exists(folder.path("e.bin")));
}

TEST_CASE("a line of a gigabyte is refused in little memory") {
  const TemporaryFolder folder;
  folder.file("x.jsonl", "");
  std::filesystem::resize_file(folder.path("x.jsonl"), std::uintmax_t{1} << 30);  // zeros that take no room on the disk
  const RunResult r = run_words({"bash", "-c",
                                 "ulimit -v 4000000; exec " MBT_BINARY
                                 " --dataset.kind sft --dataset.chat_template plain --dataset.eod_token_id 0 --dataset.path x.jsonl "
                                 "--dataset.max_document_bytes 1000000"},
                                folder.path());
  CHECK(r.exit_code == 2);
  CHECK_THAT(r.err, ContainsSubstring("x.jsonl:1: is larger than 1000000 bytes"));
}

TEST_CASE("inspect knows text, JSON Lines, and what is no data") {
  const TemporaryFolder folder;
  folder.file("a.txt", "one\ntwo\n");
  const json of_text = json::parse(inspect(folder, {"a.txt", "--json"}).out);
  CHECK(of_text["format"] == "text");
  CHECK(of_text["lines"] == 2);
  CHECK(of_text["files_not_utf8"] == 0);
  folder.file("a.jsonl", "{\"text\": \"x\", \"n\": 1}\n\n{\"text\": null}\n");
  const json of_lines = json::parse(inspect(folder, {"a.jsonl", "--json"}).out);
  CHECK(of_lines["objects"] == 2);
  CHECK(of_lines["key \"text\""] == "1 null, 1 string");
  const auto refused = [&](const std::string& path, const std::string& expected) {
    const RunResult r = run_binary({"data", "inspect", path}, folder.path());
    CHECK(r.exit_code == 2);
    CHECK_THAT(r.err, ContainsSubstring(expected));
  };
  folder.file("tokenizer.json", "{}");
  folder.file("model.safetensors", "x");
  folder.file("x.gz", "\x1f\x8b\x08");
  refused("tokenizer.json", "is a tokenizer, not training data; see it with `mbtrain tokenizer show tokenizer.json`");
  refused("model.safetensors", "is a model, not training data");
  refused("x.gz", "is compressed (gzip)");
  refused("nothing", "nothing: no such file or folder, and no pair nothing.bin");
}

TEST_CASE("text through a tokenizer is called by its own name, ends with the token asked for, and its cache can be pruned") {
  const TemporaryFolder folder;
  std::ofstream file(folder.path("x.jsonl"));
  for (int i = 0; i < 50; ++i) file << "{\"text\": \"document number " << i << " of some length\"}\n";
  file.close();
  const auto args = small({"--data-path", "x.jsonl", "--split", "1,0,0", "--dataset.eod_token_id", "7", "--json"});
  const json shown = json::parse(inspect(folder, args).out);
  CHECK_THAT(shown["data"].get<std::string>(), ContainsSubstring("x.jsonl: as tokens in "));
  for (const json& row : shown["rows"])
    for (const json& piece : row["pieces"]) CHECK(piece["source"] == "x.jsonl");
  const std::vector<int32_t> tokens = shown["rows"][0]["tokens"], more = shown["rows"][1]["tokens"];
  CHECK(std::count(tokens.begin(), tokens.end(), 7) + std::count(more.begin(), more.end(), 7) > 0);
  const RunResult listed = run_binary({"data", "cache", "x.jsonl"}, folder.path());
  INFO(listed.err);
  CHECK_THAT(listed.out, ContainsSubstring("tokens") && ContainsSubstring("x.jsonl") && ContainsSubstring("1 entries"));
  CHECK_THAT(run_binary({"data", "cache", folder.path(), "--prune"}, folder.path()).out, ContainsSubstring("0 entries"));
  CHECK_THAT(run_binary({"data", "cache", "cache/mbtrain", "--prune", "--unused-days", "0"}, folder.path()).out,
             ContainsSubstring("1 entries"));
  CHECK(std::filesystem::is_empty(folder.path("cache/mbtrain")));
  const RunResult beyond = run_binary({"data", "inspect", "--first", "1000", "--train-iters", "6", "--global-batch-size", "4",
                                       "--data-path", "x.jsonl", "--dataset.eod_token_id", "7"},
                                      folder.path());
  CHECK(beyond.exit_code == 2);
  CHECK_THAT(beyond.err, ContainsSubstring("the run reads 24 samples of train"));
}

TEST_CASE("data that cannot be what the config says is named") {
  const TemporaryFolder folder;
  write_pair(folder, "pair", 10);
  folder.file("sft.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
  folder.file("plain.jsonl", "{\"text\": \"a\"}\n");
  const auto refused = [&](std::vector<std::string> args, const std::string& expected) {
    args.insert(args.begin(), {"data", "inspect"});
    args.insert(args.end(), {"--split", "1,0,0", "--seq-length", "4", "--dataset.eod_token_id", "0", "--dataset.chat_template", "plain"});
    const RunResult r = run_binary(args, folder.path());
    CHECK(r.exit_code == 2);
    CHECK_THAT(r.err, ContainsSubstring(expected));
  };
  refused({"--dataset.kind", "sft", "--data-path", "sft.jsonl", "pair"}, "dataset.kind sft: pair is a Megatron pair, expected JSON Lines");
  refused({"--dataset.kind", "sft", "--data-path", "sft.jsonl", "plain.jsonl"}, "plain.jsonl:1: has neither \"messages\"");
  refused({"--data-path", "plain.jsonl", "--dataset.json_key", "body"}, "name the key of the text with dataset.json_key");
  refused({"--data-path", "0.3 pair 0.7"}, "\"0.3\" is no file, and as a weight it does not fit: the list has 3 items");
  refused({"--data-path", "nan pair 1 sft.jsonl"}, "\"nan\" is no file, and as a weight");
  refused({"--dataset.path", folder.file("y.jsonl.zst", "\x28\xb5\x2f\xfd")}, "is compressed (zstd)");
}

}  // namespace mbt::test::data_test
