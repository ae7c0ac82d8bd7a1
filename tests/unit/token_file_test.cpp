// Token files of llm.c and llmq: read as written, and every contradiction in a header named.
#include "core/data/token_file.h"

#include <cstring>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "core/data/token_dataset.h"
#include "tests/support/catch.h"
#include "tests/support/dataset_of.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::token_file_test {

namespace {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string header(const std::vector<int32_t>& words, char filler = '\0') {
  std::string out = bytes_of(words);
  out.resize(1024, filler);
  return out;
}

template <class T>
std::vector<T> ramp(size_t n, T first = 0) {
  std::vector<T> values(n);
  std::iota(values.begin(), values.end(), first);
  return values;
}

std::string llmc(size_t tokens) { return header({20240520, 1, static_cast<int32_t>(tokens)}) + bytes_of(ramp<uint16_t>(tokens)); }

std::string llmq(size_t tokens, bool has_masks, int32_t vocab = 300) {
  std::string h = "BIN.TOK\n" + bytes_of(std::vector<int32_t>{2, 4, static_cast<int32_t>(tokens), vocab, has_masks});
  h.resize(1024, '*');
  h += bytes_of(ramp<int32_t>(tokens));
  if (has_masks) h += std::string((tokens + 7) / 8, '\x5a');  // 0 1 0 1 1 0 1 0 from the lowest bit
  return h;
}

void refuse(const TemporaryFolder& folder, const std::string& content, const std::string& message) {
  const std::string path = folder.file("x.bin", content);
  REQUIRE_THROWS_AS(TokenFile(path, 300), InputError);
  REQUIRE_THROWS_WITH(TokenFile(path, 300), ContainsSubstring(message));
}

}  // namespace

TEST_CASE("headers and tokens of each format", "[tokens]") {
  const TemporaryFolder folder;
  const auto check = [&](const std::string& content, const std::string& format, int64_t vocab) {
    const TokenFile file(folder.file("x.bin", content), 300);
    CHECK(file.format() == format);
    CHECK(file.num_tokens() == 21);
    CHECK(file.header_vocab_size() == vocab);
    std::vector<int32_t> tokens(21);
    file.read(0, 21, tokens.data());
    CHECK(tokens == ramp<int32_t>(21));
    CHECK(TokenFile::recognizes(file.path()));
  };
  check(llmc(21), "llm.c uint16", 0);
  check(header({20240801, 7, 21}) + bytes_of(ramp<uint32_t>(21)), "llm.c uint32", 0);
  check(llmq(21, false), "llmq int32", 300);
  check(llmq(21, true), "llmq int32 with masks", 300);
  std::string first_version = llmq(21, false);
  first_version[8] = 1;
  std::fill(first_version.begin() + 20, first_version.begin() + 1024, '*');  // no vocabulary, no masks
  check(first_version, "llmq int32", 0);
  CHECK_FALSE(TokenFile::recognizes(folder.file("y", std::string(2000, 'x'))));
  CHECK_FALSE(TokenFile::recognizes(folder.path("none")));
}

TEST_CASE("what a header gets wrong is named", "[tokens]") {
  const TemporaryFolder folder;
  refuse(folder, "", "0 bytes, expected a token file");
  refuse(folder, llmc(21).substr(0, 1000), "1000 bytes, expected a token file");
  refuse(folder, std::string(2000, 'x'), "begins with \"xxxxxxxx\"");
  refuse(folder, header({20240520, 2, 0}), "version 2 in word 1 of the header, expected 1");
  refuse(folder, header({20240801, 1, 0}), "version 1 in word 1 of the header, expected 7");
  refuse(folder, header({20240520, 1, -1}), "-1 tokens in the header");
  refuse(folder, header({20240520, 1, 2147483647}), "expected 4294968318 for a header and 2147483647 tokens");
  refuse(folder, llmc(21).substr(0, 1024 + 41), "truncated");
  refuse(folder, llmc(21) + "x", "damaged");
  refuse(folder, llmq(21, true).substr(0, 1024 + 84 + 2), "truncated");
  refuse(folder, llmq(21, false, 301), "made for a vocabulary of 301 tokens, but model.vocab_size is 300");
  refuse(folder, llmq(21, false, -3), "a vocabulary of -3");
  std::string odd = llmq(21, false);
  odd[8] = 3;
  refuse(folder, odd, "version 3 in word 2");
  odd = llmq(21, false);
  odd[12] = 2;
  refuse(folder, odd, "bytes a token 2 in word 3 of the header, expected 4");
  odd = llmq(21, false);
  odd[24] = '*';
  refuse(folder, odd, "(has masks), expected 0 or 1");
}

TEST_CASE("tokens beyond the vocabulary are named with their place", "[tokens]") {
  const TemporaryFolder folder;
  std::vector<int32_t> tokens(5);
  const TokenFile small(folder.file("x.bin", llmc(21)), 10);
  CHECK_NOTHROW(small.read(5, 5, tokens.data()));
  CHECK_THROWS_WITH(small.read(6, 5, tokens.data()), ContainsSubstring("x.bin: token 10 at position 10, expected 0 to 9"));
  std::string negative = llmq(21, false);
  std::memset(negative.data() + 1024 + 4 * 7, 0xff, 4);
  const TokenFile other(folder.file("y.bin", negative), 300);
  CHECK_THROWS_WITH(other.read(5, 5, tokens.data()), ContainsSubstring("token -1 at position 7"));
}

TEST_CASE("windows are cut from each file; masks are those of the targets", "[tokens]") {
  const TemporaryFolder folder;
  DatasetConfig config;
  std::filesystem::create_directories(folder.path("d"));
  folder.file("d/a.bin", llmq(21, true));
  folder.file("d/b.bin", llmq(9, true));
  config.path = folder.path("d");
  config.split = "1,0,0";
  RunConfig run = run_config_of(config, 4, 1);
  run.model.vocab_size = 300;
  const auto data = make_dataset(run);
  REQUIRE(data->num_samples(Split::train) == 7);  // 5 and 2
  Sample sample(4);
  data->sample(Split::train, 1, sample);
  CHECK(sample.tokens == std::vector<int32_t>{4, 5, 6, 7, 8});
  CHECK(sample.loss_mask == std::vector<float>{0, 1, 0, 0});
  sample.reset();
  data->sample(Split::train, 6, sample);
  CHECK(sample.tokens == std::vector<int32_t>{4, 5, 6, 7, 8});
  CHECK_THAT(data->describe(), ContainsSubstring("2 files: llmq int32 with masks, 30 tokens; 7 + 0 + 0 samples of 4 tokens"));
  run.dataset.path = folder.path("d/a*.bin");
  CHECK(make_dataset(run)->num_samples(Split::train) == 5);
  run.dataset.path = folder.path("d/c*.bin");
  CHECK_THROWS_WITH(make_dataset(run), ContainsSubstring("no file matches"));
  run.dataset.path = folder.path("d/b.bin");
  run.model.seq_length = 9;
  CHECK_THROWS_WITH(make_dataset(run), ContainsSubstring("9 tokens are 0 samples of 9, of which dataset.split leaves none for training"));
}

TEST_CASE("nanoGPT's tokens have no header: what else such a file may be is refused", "[tokens]") {
  const TemporaryFolder folder;
  const TokenFile file(folder.file("train.bin", bytes_of(ramp<uint16_t>(20))), 15, TokenLayout::nanogpt);
  CHECK(file.format() == "nanoGPT uint16");
  REQUIRE(file.num_tokens() == 20);
  std::vector<int32_t> tokens(5);
  file.read(10, 5, tokens.data());
  CHECK(tokens == ramp<int32_t>(5, 10));
  CHECK_THROWS_WITH(file.read(11, 5, tokens.data()), ContainsSubstring("train.bin: token 15 at position 15, expected 0 to 14"));
  const auto refused = [&](const std::string& content, const std::string& message) {
    CHECK_THROWS_WITH(TokenFile(folder.file("x.bin", content), 300, TokenLayout::nanogpt), ContainsSubstring(message));
  };
  refused("", "is empty");
  refused("abc", "3 bytes, expected an even number");
  refused(llmc(21), "take --dataset.kind tokens");
  refused("\x93NUMPY123", ".npy");
  refused(bytes_of(ramp<int32_t>(600, 50)), "seem to be uint32");
  CHECK_NOTHROW(TokenFile(folder.file("zeros.bin", std::string(4000, '\0')), 300, TokenLayout::nanogpt));
  folder.file("x.idx", "");
  refused(bytes_of(ramp<uint16_t>(20)), "x.idx lies beside it: it is Megatron's");
  CHECK_THROWS_WITH(TokenFile(folder.file("short.bin", bytes_of(ramp<uint16_t>(20))), 300), ContainsSubstring("--dataset.kind nanogpt"));
}

TEST_CASE("a folder of nanoGPT's has a file for each split, a file is split by the weights", "[tokens]") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path("d/other"));
  folder.file("d/train.bin", bytes_of(ramp<uint16_t>(41)));
  folder.file("d/val.bin", bytes_of(ramp<uint16_t>(21, 100)));
  folder.file("d/meta.pkl", "x");
  folder.file("d/other/train.bin", "other data");
  DatasetConfig config;
  config.kind = DatasetKind::nanogpt;
  config.eod_token_id = 104;
  config.reset_attention_mask = true;
  RunConfig run = run_config_of(config, 4, 1);
  run.model.vocab_size = 300;
  run.dataset.path = folder.path("d");
  const auto samples = [&] {
    const auto data = make_dataset(run);
    return std::vector<int64_t>{data->num_samples(Split::train), data->num_samples(Split::valid), data->num_samples(Split::test)};
  };
  CHECK(samples() == std::vector<int64_t>{10, 5, 0});
  const auto data = make_dataset(run);
  Sample sample(4);
  data->sample(Split::valid, 1, sample);
  CHECK(sample.tokens == std::vector<int32_t>{104, 105, 106, 107, 108});
  CHECK(document_starts(data->document_rules(), sample) == std::vector<int32_t>{0, 1, 1, 1});
  run.dataset.split = "1,0,0";
  CHECK(samples() == std::vector<int64_t>{10, 0, 0});
  run.dataset.split = "8,1,1";
  CHECK_THROWS_WITH(samples(), ContainsSubstring("has no test.bin") && ContainsSubstring("dataset.split"));
  run.dataset.split = "4,1,0";
  run.dataset.path = folder.path("d/train.bin");
  CHECK(samples() == std::vector<int64_t>{8, 2, 0});
  run.dataset.path = folder.path("d/*.bin");
  CHECK(samples() == std::vector<int64_t>{12, 3, 0});
  std::filesystem::remove(folder.path("d/val.bin"));
  run.dataset.path = folder.path("d");
  CHECK(samples() == std::vector<int64_t>{8, 2, 0});
  std::filesystem::remove(folder.path("d/train.bin"));
  CHECK_THROWS_WITH(samples(), ContainsSubstring("has no train.bin and no val.bin"));
  folder.file("d/val.bin", bytes_of(ramp<uint16_t>(21, 100)));
  CHECK_THROWS_WITH(samples(), ContainsSubstring("has no train.bin, but dataset.split gives training a share"));
}

TEST_CASE("any damage to a token file is refused or read within it", "[tokens]") {
  const TemporaryFolder folder;
  std::mt19937 random(3);
  int opened = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string content = round % 2 ? llmc(21) : llmq(21, true);
    const size_t at = random() % (round % 3 ? 32 : content.size());
    if (random() % 8 == 0) content.resize(random() % content.size());
    else content[at] = static_cast<char>(random() % 4 ? content[at] ^ (1 << random() % 8) : static_cast<int>(random()));
    try {
      const TokenFile file(folder.file("m.bin", content), 300);
      std::vector<int32_t> tokens(static_cast<size_t>(file.num_tokens()));
      for (int64_t t = 0; t < file.num_tokens(); ++t) static_cast<void>(file.is_in_loss(t));
      file.read(0, file.num_tokens(), tokens.data());
      ++opened;
    } catch (const InputError&) {
      ++refused;
    }
  }
  CHECK(opened > 100);
  CHECK(refused > 500);
}

}  // namespace mbt::test::token_file_test
