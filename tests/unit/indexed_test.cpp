// Megatron indexed data: written and read byte for byte, and every contradiction in a file refused by name.
#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>
#include <random>

#include "core/base/error.h"
#include "core/data/megatron/indexed_reader.h"
#include "core/data/megatron/indexed_writer.h"
#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::indexed_test {

namespace fs = std::filesystem;

namespace {

using Tokens = std::vector<int32_t>;

Tokens all_of(const IndexedReader& reader, int64_t sequence) {
  Tokens tokens(static_cast<size_t>(reader.length(sequence)));
  reader.read(sequence, 0, reader.length(sequence), tokens.data());
  return tokens;
}

template <class T>
std::string bytes_of(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

/// An .idx as parts, to be made wrong one at a time.
struct Index {
  std::string magic{"MMIDIDX\0\0", 9};
  uint64_t version = 1;
  uint8_t dtype = 8;
  std::vector<int32_t> lengths{3, 2};
  std::vector<int64_t> pointers{0, 6};
  std::vector<int64_t> documents{0, 1, 2};
  std::string modes;
  std::optional<uint64_t> sequences, boundaries;  ///< else as many as there are

  std::string bytes() const {
    std::string out = magic + bytes_of(version) + bytes_of(dtype) + bytes_of(sequences.value_or(lengths.size())) +
                      bytes_of(boundaries.value_or(documents.size()));
    for (const int32_t v : lengths) out += bytes_of(v);
    for (const int64_t v : pointers) out += bytes_of(v);
    for (const int64_t v : documents) out += bytes_of(v);
    return out + modes;
  }
};

class Pair {
 public:
  explicit Pair(const Index& index, const std::string& bin = std::string("\1\0\2\0\3\0\4\0\5\0", 10)) {
    folder_.file("x.idx", index.bytes());
    folder_.file("x.bin", bin);
  }
  std::string prefix() const { return folder_.path("x"); }

 private:
  TemporaryFolder folder_;
};

void refuse(const Index& index, const std::string& message) {
  const Pair pair(index);
  REQUIRE_THROWS_AS(IndexedReader(pair.prefix()), InputError);
  REQUIRE_THROWS_WITH(IndexedReader(pair.prefix()), ContainsSubstring(message));
}

}  // namespace

TEST_CASE("the written bytes are those of the format", "[indexed]") {
  const TemporaryFolder folder;
  IndexedWriter writer(folder.path("x"), IndexedDtype::uint16);
  writer.add_document(Tokens{1, 2, 3});
  writer.add_document(Tokens{4, 5});
  CHECK_FALSE(fs::exists(folder.path("x.bin")));
  writer.finish();
  CHECK(read_text_file(folder.path("x.idx")) == Index{}.bytes());
  CHECK(read_text_file(folder.path("x.bin")) == std::string("\1\0\2\0\3\0\4\0\5\0", 10));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
}

TEST_CASE("what is written reads back, in every integer dtype", "[indexed]") {
  struct Row {
    IndexedDtype dtype;
    int32_t largest;
  };
  for (const Row& row : {Row{IndexedDtype::uint8, 255}, Row{IndexedDtype::int8, 127}, Row{IndexedDtype::int16, 32767},
                         Row{IndexedDtype::uint16, 65535}, Row{IndexedDtype::int32, 2147483647}, Row{IndexedDtype::int64, 2147483647}}) {
    const TemporaryFolder folder;
    const std::string prefix = folder.path("data");
    std::mt19937 random(7);
    std::vector<Tokens> documents;
    IndexedWriter writer(prefix, row.dtype);
    for (size_t length : {5U, 0U, 1U, 300000U, 17U}) {
      Tokens tokens(length);
      for (int32_t& t : tokens) t = static_cast<int32_t>(random() % (static_cast<uint32_t>(row.largest) + 1U));
      if (!tokens.empty()) tokens.back() = row.largest;
      writer.add_document(tokens);
      documents.push_back(tokens);
    }
    writer.finish();
    const IndexedReader reader(prefix + ".idx");
    REQUIRE(reader.num_sequences() == 5);
    CHECK(reader.dtype() == row.dtype);
    CHECK(reader.num_documents() == 5);
    CHECK(reader.num_tokens() == 300023);
    CHECK(reader.longest_sequence() == 300000);
    CHECK(reader.bytes_behind_last_sequence() == 0);
    for (size_t i = 0; i < 5; ++i) CHECK(all_of(reader, static_cast<int64_t>(i)) == documents[i]);
    Tokens part(3);
    reader.read(3, 1000, 3, part.data());
    CHECK(std::equal(part.begin(), part.end(), documents[3].begin() + 1000));
  }
}

TEST_CASE("documents of several sequences keep their boundaries", "[indexed]") {
  const TemporaryFolder folder;
  IndexedWriter writer(folder.path("x"), IndexedDtype::int32);
  for (int32_t i = 0; i < 3; ++i) writer.add_sequence(Tokens{i});
  writer.end_document();
  writer.add_sequence(Tokens{3});
  writer.finish();  // ends the open document
  const IndexedReader reader(folder.path("x"));
  REQUIRE(reader.num_documents() == 2);
  CHECK(reader.document_begin(1) == 3);
  CHECK(reader.document_begin(2) == 4);
}

TEST_CASE("a writer that does not finish leaves what was there", "[indexed]") {
  const TemporaryFolder folder;
  const std::string prefix = folder.path("x");
  {
    IndexedWriter writer(prefix, IndexedDtype::uint8);
    writer.add_document(Tokens{7});
    writer.finish();
  }
  {
    IndexedWriter writer(prefix, IndexedDtype::uint8);
    writer.add_document(Tokens{8});
  }
  CHECK(all_of(IndexedReader(prefix), 0) == Tokens{7});
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
  IndexedWriter writer(prefix, IndexedDtype::uint8);
  writer.add_document(Tokens{9, 8});
  writer.finish();
  CHECK(all_of(IndexedReader(prefix), 0) == Tokens{9, 8});
}

TEST_CASE("tokens that do not fit are refused by the writer", "[indexed]") {
  const TemporaryFolder folder;
  IndexedWriter writer(folder.path("x"), IndexedDtype::uint16);
  writer.add_document(Tokens{65535});
  CHECK_THROWS_WITH(writer.add_document(Tokens{1, 65536}),
                    ContainsSubstring("token 65536 at position 1 of sequence 1 does not fit into uint16"));
  CHECK_THROWS_AS(writer.add_document(Tokens{-1}), InputError);
  CHECK_THROWS_WITH(IndexedWriter(folder.path("y"), IndexedDtype::float32), ContainsSubstring("float32 holds no tokens"));
  CHECK_THROWS_AS(IndexedWriter(folder.path("none/y"), IndexedDtype::int32), InputError);
  CHECK(dtype_for_vocab(65499) == IndexedDtype::uint16);
  CHECK(dtype_for_vocab(65500) == IndexedDtype::int32);
}

TEST_CASE("pointers count, not the order of sequences", "[indexed]") {
  Index index;
  index.lengths = {2, 3, 2};
  index.pointers = {6, 0, 5};  // the last is not aligned
  index.documents = {0, 1, 1, 3};
  const Pair pair(index);
  const IndexedReader reader(pair.prefix());
  CHECK(all_of(reader, 0) == Tokens{4, 5});
  CHECK(all_of(reader, 1) == Tokens{1, 2, 3});
  CHECK(all_of(reader, 2) == Tokens{4 * 256, 5 * 256});
}

TEST_CASE("what an index gets wrong is named", "[indexed]") {
  const auto with = [](auto change) {
    Index index;
    change(index);
    return index;
  };
  refuse(with([](Index& i) { i.magic[0] = 'X'; }), "begins with \"XMIDIDX");
  refuse(with([](Index& i) { i.version = 2; }), "version 2 at byte 9, expected 1");
  refuse(with([](Index& i) { i.dtype = 9; }), "dtype code 9");
  refuse(with([](Index& i) { i.dtype = 0; }), "dtype code 0");
  refuse(with([](Index& i) { i.dtype = 6; }), "float64, which holds no tokens");
  refuse(with([](Index& i) { i.dtype = 7; }), "float32, which holds no tokens");
  refuse(with([](Index& i) { i.sequences = 3; }), "expected 94");
  refuse(with([](Index& i) { i.sequences = ~uint64_t{0}; }), "18446744073709551615 sequences");
  refuse(with([](Index& i) { i.sequences = (~uint64_t{0}) / 12 + 3; }), "cannot hold");
  refuse(with([](Index& i) { i.boundaries = uint64_t{1} << 61; }), "2305843009213693952 document boundaries");
  refuse(with([](Index& i) { i.lengths[1] = -1; }), "sequence 1 has length -1");
  refuse(with([](Index& i) { i.lengths[1] = 3; }), "sequence 1 lies at byte 6 and is 3 tokens of 2 bytes long");
  refuse(with([](Index& i) { i.lengths[0] = 2147483647; }), "2147483647 tokens");
  refuse(with([](Index& i) { i.pointers[0] = -2; }), "sequence 0 lies at byte -2");
  refuse(with([](Index& i) { i.pointers[1] = INT64_MAX; }), "sequence 1 lies at byte 9223372036854775807");
  refuse(with([](Index& i) { i.documents = {}; }), "no document boundaries");
  refuse(with([](Index& i) { i.documents = {1, 2}; }), "document boundary 0 is 1");
  refuse(with([](Index& i) { i.documents = {0, 2, 1, 2}; }), "document boundary 2 is 1");
  refuse(with([](Index& i) { i.documents = {0, -1, 2}; }), "document boundary 1 is -1");
  refuse(with([](Index& i) { i.documents = {0, 1}; }), "the last document boundary is 1, expected the number of sequences, 2");
  refuse(with([](Index& i) { i.documents = {0, 1, 3}; }), "the last document boundary is 3");
  refuse(with([](Index& i) { i.modes = std::string("\0\1", 2); }), "sequence 1 is of mode 1, not text");
  Index text_modes;
  text_modes.modes = std::string(2, '\0');
  const Pair fine(text_modes);
  CHECK(IndexedReader(fine.prefix()).has_modes());
}

TEST_CASE("truncated, missing and shrinking files are named", "[indexed]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(IndexedReader(folder.path("x")), ContainsSubstring("x.idx: no such file; Megatron indexed data is a pair"));
  folder.file("x.idx", Index{}.bytes());
  CHECK_THROWS_WITH(IndexedReader(folder.path("x")), ContainsSubstring("x.bin: no such file") && ContainsSubstring("only the other one"));
  folder.file("x.bin", std::string(9, '\1'));
  CHECK_THROWS_WITH(IndexedReader(folder.path("x")), ContainsSubstring("x.bin has 9 bytes"));
  folder.file("x.bin", "");
  CHECK_THROWS_WITH(IndexedReader(folder.path("x")), ContainsSubstring("x.bin has 0 bytes"));
  folder.file("x.bin", std::string(12, '\1'));
  CHECK(IndexedReader(folder.path("x")).bytes_behind_last_sequence() == 2);
  for (size_t n = 0; n < Index{}.bytes().size(); ++n) {
    folder.file("y.idx", Index{}.bytes().substr(0, n));
    folder.file("y.bin", std::string(10, '\1'));
    CHECK_THROWS_AS(IndexedReader(folder.path("y")), InputError);
  }
  const IndexedReader reader(folder.path("x"));
  fs::resize_file(folder.path("x.bin"), 4);
  int32_t token = 0;
  CHECK_THROWS_WITH(reader.read(1, 0, 1, &token), ContainsSubstring("has shrunk from 12 to 4 bytes"));
}

TEST_CASE("tokens beyond the vocabulary and below zero are named with their place", "[indexed]") {
  const TemporaryFolder folder;
  IndexedWriter writer(folder.path("x"), IndexedDtype::int16);
  writer.add_document(Tokens{1, 2});
  writer.add_document(Tokens{3, 50, -4});
  writer.finish();
  const IndexedReader reader(folder.path("x"), 50);
  Tokens t(3);
  CHECK_NOTHROW(reader.read(1, 0, 1, t.data()));
  CHECK_THROWS_WITH(reader.read(1, 1, 1, t.data()), ContainsSubstring("x.bin: token 50 at position 1 of sequence 1, expected 0 to 49"));
  CHECK_THROWS_WITH(reader.read(1, 2, 1, t.data()), ContainsSubstring("token -4 at position 2"));
  CHECK_THROWS_AS(reader.read(1, 1, 1, t.data()), InputError);
}

TEST_CASE("any damage to a pair is refused or read within its files", "[indexed]") {
  const Index good;
  std::mt19937 random(20261125);
  const TemporaryFolder folder;
  const std::string prefix = folder.path("m");
  int64_t opened = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string idx = good.bytes();
    const int changes = random() % 2 ? 1 : 1 + static_cast<int>(random() % 4);
    for (int c = 0; c < changes; ++c) {
      const size_t at = random() % idx.size();
      switch (random() % 8) {
        case 0: idx[at] = static_cast<char>(random()); break;
        case 1: idx.resize(at + 1); break;
        case 2: idx.insert(at, 1, static_cast<char>(random())); break;
        default: idx[at] ^= static_cast<char>(1 << random() % 8);
      }
    }
    folder.file("m.idx", idx);
    folder.file("m.bin", std::string(10, '\2'));
    try {
      const IndexedReader reader(prefix);
      for (int64_t s = 0; s < reader.num_sequences(); ++s) (void)all_of(reader, s);
      ++opened;
    } catch (const InputError&) {
      ++refused;
    }
  }
  CHECK(opened > 20);
  CHECK(refused > 1000);
}

}  // namespace mbt::test::indexed_test
