// Cached indices: found again, built again when stale or damaged, whole under the hands of several processes.
#include "core/data/cache/index_cache.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::index_cache_test {

namespace fs = std::filesystem;

namespace {

std::vector<IndexArray> arrays_of(int32_t first) {
  std::vector<IndexArray> arrays;
  arrays.emplace_back(std::vector<int32_t>{first, 2, 3});
  arrays.emplace_back(std::vector<int64_t>{});
  arrays.emplace_back(std::vector<uint16_t>{7});
  arrays.emplace_back(std::vector<int64_t>{-5});
  return arrays;
}

struct Counter {
  int built = 0;
  std::function<std::vector<IndexArray>()> build() {
    return [this] {
      ++built;
      return arrays_of(1);
    };
  }
};

bool is_right(const IndexArrays& a) {
  return a.size() == 4 && a.get<int32_t>(0)[0] == 1 && a.get<int32_t>(0).size() == 3 && a.get<int64_t>(1).empty() &&
         a.get<uint16_t>(2)[0] == 7 && a.get<int64_t>(3)[0] == -5;
}

std::string only_file(const std::string& folder) {
  REQUIRE(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 1);
  return fs::directory_iterator(folder)->path().string();
}

}  // namespace

TEST_CASE("arrays are built once and found again by their key", "[cache]") {
  const TemporaryFolder folder;
  const CacheFolder cache{folder.path("deep/er"), true};
  Counter counter;
  for (int i = 0; i < 3; ++i) {
    const IndexArrays arrays = cached_arrays(cache, "x", "key", 100, counter.build());
    CHECK(is_right(arrays));
    CHECK(arrays.is_mapped());
  }
  CHECK(counter.built == 1);
  CHECK(is_right(cached_arrays(cache, "x", "another key", 100, counter.build())));
  CHECK(counter.built == 2);
}

TEST_CASE("small arrays stay in memory unless a cache is asked for", "[cache]") {
  const TemporaryFolder folder;
  Counter counter;
  CHECK_FALSE(cached_arrays({folder.path("a"), false}, "x", "key", 100, counter.build()).is_mapped());
  CHECK_FALSE(fs::exists(folder.path("a")));
  CHECK(cached_arrays({folder.path("a"), false}, "x", "key", 1 << 30, counter.build()).is_mapped());
  CHECK(cache_folder("", "some/where/prefix").path == "some/where/cache/mbtrain");
  CHECK(cache_folder("there", "x").path == "there");
}

TEST_CASE("a folder that cannot be written is an error only when it was asked for", "[cache]") {
  const TemporaryFolder folder;
  Counter counter;
  folder.file("file", "x");
  CHECK(is_right(cached_arrays({folder.path("file/cache"), false}, "x", "key", 1 << 30, counter.build())));
  CHECK_THROWS_WITH(cached_arrays({folder.path("file/cache"), true}, "x", "key", 1, counter.build()),
                    ContainsSubstring("dataset.path_to_cache"));
}

TEST_CASE("any damage to a cached file is noticed, and it is built again", "[cache]") {
  const TemporaryFolder folder;
  const CacheFolder cache{folder.path("c"), true};
  Counter counter;
  static_cast<void>(cached_arrays(cache, "x", "key", 1, counter.build()));
  const std::string path = only_file(cache.path), good = read_text_file(path);
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    const size_t at = random() % bad.size();
    if (round % 3 == 0) bad.resize(at);
    else bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
    write_file_atomically(path, bad);
    CHECK_THROWS_AS(IndexArrays(MappedFile(path), "key"), InputError);
    const int before = counter.built;
    REQUIRE(is_right(cached_arrays(cache, "x", "key", 1, counter.build())));
    REQUIRE(counter.built == before + 1);
    REQUIRE(read_text_file(path) == good);
  }
}

TEST_CASE("processes that start at once build one file", "[cache]") {
  const TemporaryFolder folder;
  const CacheFolder cache{folder.path("c"), true};
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      const auto build = [&] {
        ::usleep(50000);
        folder.file("built-" + std::to_string(::getpid()), "");
        return arrays_of(1);
      };
      ::_exit(is_right(cached_arrays(cache, "x", "key", 1, build)) ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 1;
    ::waitpid(pid, &status, 0);
    CHECK(status == 0);
  }
  int built = 0;
  for (const auto& e : fs::directory_iterator(folder.path())) built += e.path().filename().string().rfind("built-", 0) == 0;
  CHECK(built == 1);
  CHECK(is_right(IndexArrays(MappedFile(only_file(cache.path)), "key")));
}

namespace {

/// As if it had last been opened so many days ago.
void make_old(const std::string& path, int days) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(24 * days));
}

}  // namespace

TEST_CASE("an index that nobody has used for long goes when the next is written; one that is read stays", "[cache]") {
  const TemporaryFolder folder;
  const CacheFolder cache{folder.path("c"), true};
  Counter counter;
  const IndexArrays in_use = cached_arrays(cache, "x", "old", 100, counter.build());
  const std::string old = only_file(cache.path);
  make_old(old, 40);
  static_cast<void>(cached_arrays(cache, "x", "old", 100, counter.build()));  // opened again: young
  static_cast<void>(cached_arrays(cache, "x", "other", 100, counter.build()));
  CHECK(fs::exists(old));
  make_old(old, 40);
  folder.file("c/mine-0123456789abcdef.index", "not of this program");
  folder.file("c/mine-0123456789abcdef.bin", "a user's");
  make_old(folder.path("c/mine-0123456789abcdef.index"), 400);
  make_old(folder.path("c/mine-0123456789abcdef.bin"), 400);
  static_cast<void>(cached_arrays(cache, "x", "third", 100, counter.build()));
  CHECK_FALSE(fs::exists(old));
  CHECK(is_right(in_use));  // mapped
  CHECK(fs::exists(folder.path("c/mine-0123456789abcdef.index")));
  CHECK(fs::exists(folder.path("c/mine-0123456789abcdef.bin")));
}

TEST_CASE("pruning takes tokens only when asked, with all their files, and what killed writers left", "[cache]") {
  const TemporaryFolder folder;
  const CacheFolder cache{folder.path("c"), true};
  Counter counter;
  static_cast<void>(cached_arrays(cache, "x", "key", 100, counter.build()));
  write_token_source(folder.path("c/notes.txt-00"), {"notes.txt", "more.txt"});
  const std::vector<std::string> files{"notes.txt-00.bin", "notes.txt-00.idx", "notes.txt-00.mask.bin", "notes.txt-00.source.json"};
  for (const std::string& file : files) {
    if (!file.ends_with(".json")) folder.file("c/" + file, "tokens");
    make_old(folder.path("c/" + file), 50);
  }
  folder.file("c/notes.txt-00.bin.tmp.12.1", "half");
  folder.file("c/notes.txt-000.bin", "another's");
  const std::vector<CacheEntry> entries = list_cache(cache.path);
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].kind == CacheEntry::Kind::tokens);
  CHECK(entries[0].name == "notes.txt-00");
  CHECK(entries[0].files.size() == 4);
  CHECK(entries[0].made_from.size() == 2);
  CHECK(std::abs(entries[0].unused_days - 50) < 0.1);
  CHECK(prune_cache(FolderLock(cache.path), 30, false).empty());
  CHECK_FALSE(fs::exists(folder.path("c/notes.txt-00.bin.tmp.12.1")));
  CHECK(fs::exists(folder.path("c/notes.txt-00.bin")));
  CHECK(prune_cache(FolderLock(cache.path), 30, true).size() == 1);
  for (const std::string& file : files) CHECK_FALSE(fs::exists(folder.path("c/" + file)));
  CHECK(fs::exists(folder.path("c/notes.txt-000.bin")));
  CHECK(prune_cache(FolderLock(cache.path), 0, true).size() == 1);
  CHECK(list_cache(cache.path).empty());
}

}  // namespace mbt::test::index_cache_test
