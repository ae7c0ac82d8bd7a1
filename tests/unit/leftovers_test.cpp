// What killed writers leave, and what writers that live do not lose.
#include "core/io/leftovers.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "core/data/megatron/indexed_writer.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::leftovers_test {

namespace fs = std::filesystem;

namespace {

int64_t count_in(const std::string& folder) { return std::distance(fs::directory_iterator(folder), fs::directory_iterator()); }

/// A process that has written half of the pair when it is killed.
void leave_half_a_pair(const std::string& prefix) {
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    IndexedWriter writer(prefix, IndexedDtype::uint16);
    writer.add_document(std::vector<int32_t>{1, 2, 3});
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  close(ready[0]);
  close(ready[1]);
}

}  // namespace

TEST_CASE("the next writer of a name removes what a killed one has left", "[io]") {
  const TemporaryFolder folder;
  leave_half_a_pair(folder.path("data"));
  leave_half_a_pair(folder.path("other"));
  REQUIRE(count_in(folder.path()) == 4);
  IndexedWriter writer(folder.path("data"), IndexedDtype::uint16);
  CHECK(count_in(folder.path()) == 4);  // its own two, and those of the other name
  writer.add_document(std::vector<int32_t>{1});
  writer.finish();
  CHECK(count_in(folder.path()) == 4);
  remove_leftovers_in(folder.path());
  CHECK(count_in(folder.path()) == 2);
}

TEST_CASE("what a living writer has under a temporary name stays", "[io]") {
  const TemporaryFolder folder;
  AtomicFile first(folder.path("x"));
  first.write("first");
  AtomicFile second(folder.path("x"));
  remove_leftovers(folder.path("x"));
  remove_leftovers_in(folder.path());
  second.write("second");
  first.commit();
  CHECK(read_text_file(folder.path("x")) == "first");
  second.commit();
  CHECK(read_text_file(folder.path("x")) == "second");
  CHECK(count_in(folder.path()) == 1);
}

TEST_CASE("names that only look temporary stay", "[io]") {
  const TemporaryFolder folder;
  const std::vector<std::string> kept{"x.tmp.old", "x.tmp.", "x.tmp.1", "x.tmp.1.", "x.tmp.1.2.3", "x.tmp.0123456789abcdefg", "y.tmp.1.2"};
  for (const std::string& name : kept) folder.file(name, "");
  folder.file("x.tmp.12.3", "");
  fs::create_directories(folder.path("x.tmp.0123456789abcdef/in"));
  fs::create_symlink("x.tmp.old", folder.path("x.tmp.4.4"));
  remove_leftovers(folder.path("x"));
  for (const std::string& name : kept) CHECK(fs::exists(folder.path(name)));
  CHECK_FALSE(fs::exists(folder.path("x.tmp.12.3")));
  CHECK_FALSE(fs::exists(folder.path("x.tmp.0123456789abcdef")));
  CHECK(count_in(folder.path()) == static_cast<int64_t>(kept.size()) + 1);
  remove_leftovers(folder.path("no/such/x"));
  remove_leftovers("");
}

TEST_CASE("a temporary file that was taken for a leftover is not used", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.tmp.1.1", "");
  const int mine = open(path.c_str(), O_WRONLY), other = open(path.c_str(), O_WRONLY);
  REQUIRE(claim_temporary(other));
  CHECK_FALSE(claim_temporary(mine));  // someone is about to remove it
  close(other);
  fs::remove(path);
  CHECK_FALSE(claim_temporary(mine));  // it is gone
  close(mine);
}

}  // namespace mbt::test::leftovers_test
