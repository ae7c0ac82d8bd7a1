// The files that a run's data comes from, by the config.
#include "core/data/data_files.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/base/xxhash.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::data_files_test {

TEST_CASE("each way to name data finds its files") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path("code"));
  const std::string a = folder.file("code/a.h", "int a;"), b = folder.file("code/b.py", "b = 1"), none = folder.file("code/c.h", "");
  const std::string chat = folder.file("chat.jsonl", "{}\n"), bin = folder.file("pair.bin", "1234"), idx = folder.file("pair.idx", "x");
  DatasetConfig c;
  CHECK(data_files(c).empty());
  c.path = folder.path("code");
  CHECK(data_files(c) == std::vector<std::string>{a, b});
  c.text_suffixes = ".h";
  CHECK(data_files(c) == std::vector<std::string>{a});
  c = {};
  c.kind = DatasetKind::sft;
  c.path = chat;
  CHECK(data_files(c) == std::vector<std::string>{chat});
  c = {};
  c.blend = {"0.3", folder.path("pair"), "0.7", chat};
  CHECK(data_files(c) == std::vector<std::string>{bin, idx, chat});
  c = {};
  c.train_data_path = {a};
  c.valid_data_path = {a, b};
  CHECK(data_files(c) == std::vector<std::string>{a, b});
  c.test_data_path = {folder.path("*.none")};
  CHECK_THROWS_AS(data_files(c), InputError);
}

TEST_CASE("the hash is that of a file's head, and a file that cannot be read says why") {
  const TemporaryFolder folder;
  std::string text(kHeadBytes + 10, 'a');
  const DataFileFacts facts = data_file_facts(folder.file("x", text));
  CHECK(facts.bytes == kHeadBytes + 10);
  CHECK(facts.head_hash == xxhash64(std::string_view(text).substr(0, kHeadBytes)));
  text.back() = 'b';
  CHECK(data_file_facts(folder.file("x", text)).head_hash == facts.head_hash);
  text.front() = 'b';
  CHECK(data_file_facts(folder.file("x", text)).head_hash != facts.head_hash);
  CHECK_THAT(data_file_facts(folder.path("none")).problem, ContainsSubstring("none"));
}

}  // namespace mbt::test::data_files_test
