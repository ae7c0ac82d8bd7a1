// Text as data: splits, files, and everything that is no text.
#include "core/data/dataset.h"

#include <sys/stat.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/data/split.h"
#include "tests/support/catch.h"
#include "tests/support/dataset_of.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::dataset_test {

namespace fs = std::filesystem;

namespace {

DatasetConfig text_at(const std::string& path, const std::string& split = "1,0,0", const std::string& suffixes = "") {
  DatasetConfig config;
  config.path = path;
  config.split = split;
  config.text_suffixes = suffixes;
  return config;
}

std::string sample_of(const Dataset& data, Split split, int64_t index) {
  Sample sample(data.seq_length());
  data.sample(split, index, sample);
  return {sample.tokens.begin(), sample.tokens.end()};
}

void refuse(const DatasetConfig& config, const std::string& message, int64_t seq_length = 4) {
  REQUIRE_THROWS_WITH(make_dataset_of(config, seq_length, 1), ContainsSubstring(message));
  REQUIRE_THROWS_AS(make_dataset_of(config, seq_length, 1), InputError);
}

}  // namespace

TEST_CASE("split weights", "[dataset]") {
  CHECK(parse_split("9,1,0") == std::array{9.0, 1.0, 0.0});
  CHECK(parse_split(" 969, 30 ,1") == std::array{969.0, 30.0, 1.0});
  CHECK(parse_split("1") == std::array{1.0, 0.0, 0.0});
  CHECK(parse_split("0.5,.5") == std::array{0.5, 0.5, 0.0});
  for (const char* bad : {"", ",", "1,", "1,2,3,4", "0,0,0", "-1,2", "nan", "inf,1", "1e308,1e308", "a", "1 2", "0x3"}) {
    INFO(bad);
    CHECK_THROWS_AS(parse_split(bad), InputError);
  }
}

TEST_CASE("split ranges cover the data without gap or overlap", "[dataset]") {
  for (int64_t total : {0, 1, 7, 1000, 1000003}) {
    for (const char* split : {"9,1,0", "1", "1,1,1", "0,0,1", "969,30,1", "0.1,0.2,0.7"}) {
      const auto r = split_ranges(parse_split(split), total);
      CHECK(r[0].begin == 0);
      CHECK(r[1].begin == r[0].size);
      CHECK(r[2].begin == r[1].begin + r[1].size);
      CHECK(r[2].begin + r[2].size == total);
    }
  }
  CHECK(split_ranges({9, 1, 0}, 100)[1].size == 10);
  CHECK(split_ranges({1, 1, 1}, 5)[0].size == 2);  // to the nearest: 1.67 and 3.33 are 2 and 3
  CHECK(split_ranges({1, 1, 1}, 5)[1].size == 1);
}

TEST_CASE("a file is read as bytes", "[dataset]") {
  const TemporaryFolder folder;
  const auto data = make_dataset_of(text_at(folder.file("x.txt", "abcdefgh\xff\x80klm")), 4, 1);
  CHECK(data->vocab_size() == 256);
  CHECK_FALSE(data->entropy_rate());
  REQUIRE(data->num_samples(Split::train) == 3);
  CHECK(data->num_samples(Split::valid) == 0);
  CHECK(sample_of(*data, Split::train, 0) == "abcde");
  CHECK(sample_of(*data, Split::train, 1) == "efgh\xff");
  Sample sample(4);
  data->sample(Split::train, 2, sample);
  CHECK(sample.tokens == std::vector<int32_t>{0xff, 0x80, 'k', 'l', 'm'});
}

TEST_CASE("a folder is one text in sorted order, split into contiguous shares", "[dataset]") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path("sub"));
  folder.file("b.h", "3456");
  folder.file("a.h", "012");
  folder.file("sub/c.h", "789");
  folder.file("sub/object.o", std::string("\x7f"
                                          "ELF\0\0",
                                          6));
  folder.file("empty.h", "");
  folder.file("notes.txt", "xxxxxxxxxx");
  REQUIRE(mkfifo(folder.path("fifo.h").c_str(), 0600) == 0);
  const auto data = make_dataset_of(text_at(folder.path(), "5,5", ".h, .o"), 2, 1);
  REQUIRE(data->num_samples(Split::train) == 2);
  REQUIRE(data->num_samples(Split::valid) == 2);
  CHECK(sample_of(*data, Split::train, 0) == "012");
  CHECK(sample_of(*data, Split::train, 1) == "234");
  CHECK(sample_of(*data, Split::valid, 0) == "567");
  CHECK(sample_of(*data, Split::valid, 1) == "789");
  CHECK_THAT(data->describe(), ContainsSubstring("3 files, 10 bytes (2 empty or binary files left out)"));
}

TEST_CASE("what is no text is refused, without waiting", "[dataset]") {
  const TemporaryFolder folder;
  refuse(text_at(folder.path("none")), "none: cannot open it: No such file");
  refuse(text_at(folder.file("empty", "")), "empty: is empty");
  refuse(text_at(folder.file("binary", std::string("ab\0cd", 5))), "is binary");
  refuse(text_at("/dev/zero"), "/dev/zero: is a device");
  REQUIRE(mkfifo(folder.path("fifo").c_str(), 0600) == 0);
  refuse(text_at(folder.path("fifo")), "is a FIFO");
  fs::create_directories(folder.path("sub"));
  refuse(text_at(folder.path("sub")), "the folder holds no text file");
  refuse(text_at(folder.path(), "1", ".cpp"), "no text file that ends in .cpp");
}

TEST_CASE("text shorter than a sample is refused with both lengths", "[dataset]") {
  const TemporaryFolder folder;
  const std::string hello = folder.file("x", "hello");
  refuse(text_at(hello), "5 tokens split 1,0,0 leave 5 for training, but one sample takes 129", 128);
  CHECK(make_dataset_of(text_at(hello), 4, 1)->num_samples(Split::train) == 1);
  refuse(text_at(folder.file("y", std::string(100, 'y')), "9,1"), "leave 10 for validation, but one sample takes 21", 20);
}

TEST_CASE("a .json file of objects is neither taken for text nor for JSON Lines unless the user says which", "[dataset]") {
  const TemporaryFolder folder;
  DatasetConfig config;
  config.split = "1,0,0";
  for (const char* content : {"{\"text\":\"abcdefgh\"}\n", "\n[\n {\"text\": \"abcdefgh\"}\n]\n"}) {
    config.path = folder.file("a.Json", content);
    config.kind = DatasetKind::automatic;
    CHECK_THROWS_WITH(make_dataset_of(config, 4, 1), ContainsSubstring("--json-key KEY") && ContainsSubstring("--dataset.kind text"));
    config.kind = DatasetKind::text;
    CHECK_NOTHROW(make_dataset_of(config, 4, 1));
  }
  config.kind = DatasetKind::automatic;
  config.path = folder.file("b.json", "no JSON at all");
  CHECK_NOTHROW(make_dataset_of(config, 4, 1));
  std::filesystem::create_directory(folder.path("sources"));
  folder.file("sources/package.json", "{\"name\": \"x\"}\n");
  config.path = folder.path("sources");  // of a folder of sources, one text among others
  CHECK_NOTHROW(make_dataset_of(config, 4, 1));
}

TEST_CASE("a JSON key means JSON Lines, whatever the file is called", "[dataset]") {
  const TemporaryFolder folder;
  const std::string lines = "{\"text\":\"abcdefgh\",\"body\":\"xyzwxyzw\"}\n{\"text\":\"\",\"body\":\"v\"}\n";
  DatasetConfig config;
  config.split = "1,0,0";
  config.json_key = "text";
  for (const char* name : {"corpus.json", "part-00000", "x.JSONL", "x.txt"}) {
    INFO(name);
    config.path = folder.file(name, lines);
    const auto data = make_dataset_of(config, 4, 1);
    CHECK_THAT(data->describe(), ContainsSubstring("1 documents (1 empty text left out), 8 tokens"));
  }
  std::filesystem::create_directory(folder.path("d"));
  folder.file("d/part-00000", lines);
  folder.file("d/_SUCCESS", "");
  config.path = folder.path("d");
  CHECK_THAT(make_dataset_of(config, 4, 1)->describe(), ContainsSubstring(" 8 tokens"));
  config.kind = DatasetKind::jsonl;  // no name in the folder tells
  config.json_key = "body";
  CHECK_THAT(make_dataset_of(config, 4, 1)->describe(), ContainsSubstring("2 documents, 9 tokens"));
  config.json_key = "nosuchkey";
  CHECK_THROWS_WITH(make_dataset_of(config, 4, 1), ContainsSubstring("has no key \"nosuchkey\""));
  config.kind = DatasetKind::text;
  CHECK_THROWS_WITH(make_dataset_of(config, 4, 1), ContainsSubstring("dataset.json_key \"nosuchkey\" has no effect"));
  config.json_key = std::nullopt;
  CHECK_NOTHROW(make_dataset_of(config, 4, 1));
}

TEST_CASE("contradictory settings are refused", "[dataset]") {
  DatasetConfig config;
  config.kind = DatasetKind::text;
  refuse(config, "needs dataset.path");
  config.kind = DatasetKind::synthetic;
  config.path = "x";
  refuse(config, "contradicts dataset.path x");
}

}  // namespace mbt::test::dataset_test
