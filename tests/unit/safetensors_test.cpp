// Files and safetensors: what is written comes back, what is broken is refused with the tensor's name, nothing blocks.
#include "core/io/safetensors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::safetensors_test {

namespace fs = std::filesystem;

namespace {

/// A safetensors file made of any header text and any data.
std::string raw_file(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string s(8, '\0');
  std::memcpy(s.data(), &length, 8);
  return s + header + std::string(data_bytes, '\1');
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return fmt::format("\"{}{}{}{}{}{}{}}}", name, R"(":{"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets);
}

void refuse(const std::string& content, const std::string& message) {
  const TemporaryFolder folder;
  const std::string path = folder.file("bad.safetensors", content);
  INFO(content.substr(0, 200));
  REQUIRE_THROWS_WITH(SafetensorsFile::open(path), ContainsSubstring(message) && ContainsSubstring(path));
  REQUIRE_THROWS_AS(SafetensorsFile::open(path), InputError);
}

}  // namespace

TEST_CASE("what is written is read back", "[safetensors]") {
  const TemporaryFolder folder;
  const std::vector<float> a{1.5F, -2, 3, 4, 5, 6};
  const std::vector<uint8_t> codes{1, 2, 255};
  const std::vector<uint16_t> halves{0x3c00, 0x8001, 0x7c00, 0x0400};  // 1, -2^-24, inf, 2^-14
  const std::vector<uint16_t> brain{0x3f80, 0xc000, 0x0001};
  const std::vector<int64_t> ids{0, 7, 2147483647};
  const std::string path = folder.path("x.safetensors");
  const std::vector<TensorToWrite> tensors = {
      {"codes", SafetensorsType::U8, {3}, codes.data()},  {"a", SafetensorsType::F32, {2, 3}, a.data()},
      {"half", SafetensorsType::F16, {4}, halves.data()}, {"brain", SafetensorsType::BF16, {3, 1}, brain.data()},
      {"ids", SafetensorsType::I64, {3}, ids.data()},     {"none", SafetensorsType::F32, {0, 5}, nullptr},
      {"scalar", SafetensorsType::F32, {}, a.data()}};
  const FileDigest digest = write_safetensors(path, tensors, {{"format", "pt"}, {"step", "3"}});
  const std::string bytes = read_text_file(path);
  CHECK(digest == FileDigest{static_cast<int64_t>(bytes.size()), xxhash64(bytes)});
  CHECK(digest_of(FileReader(path)) == digest);
  const SafetensorsFile file = SafetensorsFile::open(path);
  CHECK(file.entries().size() == 7);
  CHECK(file.metadata().at("step") == "3");
  CHECK(file.at("a").shape == std::vector<int64_t>{2, 3});
  CHECK(file.read_f32(file.at("a")) == a);
  CHECK(file.read_f32(file.at("half")) == std::vector<float>{1, -0x1p-24F, INFINITY, 0x1p-14F});
  CHECK(file.read_f32(file.at("brain")) == std::vector<float>{1, -2, 0x1p-133F});
  CHECK(file.read_i32(file.at("ids")) == std::vector<int32_t>{0, 7, 2147483647});
  CHECK(file.read_i32(file.at("codes")) == std::vector<int32_t>{1, 2, 255});
  CHECK(file.read_f32(file.at("none")).empty());
  CHECK(file.read_f32(file.at("scalar")) == std::vector<float>{1.5F});
  std::vector<float> some(3);
  file.read_f32(file.at("a"), 2, 3, some.data());
  CHECK(some == std::vector<float>{3, 4, 5});
  file.read_f32(file.at("brain"), 1, 2, some.data());
  CHECK(some == std::vector<float>{-2, 0x1p-133F, 5});
  CHECK_THROWS_AS(file.read_f32(file.at("a"), 4, 3, some.data()), Error);
  CHECK(file.find("b") == nullptr);
  CHECK_THROWS_WITH(file.at("b"), ContainsSubstring("no tensor 'b'"));
  CHECK_THROWS_WITH(file.read_f32(file.at("ids")), ContainsSubstring("'ids' is I64[3], expected F64, F32, F16 or BF16"));
  CHECK_THROWS_WITH(file.read_i32(file.at("a")), ContainsSubstring("'a' is F32[2,3]"));
  for (const SafetensorsEntry& e : file.entries()) CHECK(e.begin % size_of(e.type) == 0);
}

TEST_CASE("integers that 32 bits do not hold are refused", "[safetensors]") {
  const TemporaryFolder folder;
  const int64_t big = int64_t{1} << 31;
  write_safetensors(folder.path("x"), {{"ids", SafetensorsType::I64, {1}, &big}});
  const SafetensorsFile file = SafetensorsFile::open(folder.path("x"));
  CHECK_THROWS_WITH(file.read_i32(file.at("ids")), ContainsSubstring("2147483648"));
}

TEST_CASE("broken framing is refused", "[safetensors]") {
  refuse("", "0 bytes is too short");
  refuse("1234567", "7 bytes is too short");
  refuse(std::string(8, '\xff'), "claims a header of 18446744073709551615 bytes");
  refuse(std::string("\0\0\0\0\0\0\0\x80", 8) + "{}", "claims a header of 9223372036854775808 bytes");
  refuse(std::string("\x10\0\0\0\0\0\0\0", 8) + "{}", "only 2 follow (truncated?)");
  refuse(raw_file("", 0), "no valid JSON");
  refuse(raw_file("[]", 0), "is a list");
  refuse(raw_file("3", 0), "is a number");
  refuse(raw_file("{} {}", 0), "no valid JSON");
  refuse(raw_file("{\"a\":", 0), "no valid JSON");
  refuse(raw_file("{\"\xff\":{}}", 0), "no valid JSON");
  refuse(raw_file(std::string(200000, '['), 0), "the header is a list");
  refuse(raw_file(R"({"a":)" + std::string(200000, '['), 0), "'a' is a list, expected an object");
  refuse(raw_file("{}", 4), "4 bytes follow the header, but its tensors take 0");
}

TEST_CASE("contradictions of a tensor are refused by name", "[safetensors]") {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return raw_file(fmt::format("{{{}}}", tensor("w", dtype, shape, offsets)), 8);
  };
  refuse(one("F33", "[2]", "[0,8]"), "tensor 'w': unknown dtype 'F33'; known are F64, F32");
  refuse(one("F32", "[3]", "[0,8]"), "hold 8 bytes, but F32[3] takes 12");
  refuse(one("F32", "[2]", "[0,16]"), "reach past the end of the file, which holds 8 bytes");
  refuse(one("F32", "[2]", "[0,4611686018427387904]"), "reach past the end");
  refuse(one("F32", "[2]", "[8,0]"), "end before they begin");
  refuse(one("F32", "[2]", "[0]"), "data_offsets holds 1 numbers, expected 2");
  refuse(one("F32", "[2]", "[0,4,8]"), "data_offsets holds 3 numbers, expected 2");
  refuse(one("F32", "[1]", "[4,8]"), "leave a gap: expected 0 as the first");
  refuse(one("F32", "[-2]", "[0,8]"), "shape holds a negative number");
  refuse(one("F32", "[2.0]", "[0,8]"), "shape holds the number 2.0");
  refuse(one("F32", "[99999999999999999999]", "[0,8]"), "shape holds the number 99999999999999999999");
  refuse(one("F32", "[18446744073709551615]", "[0,8]"), "larger than 2^63-1");
  refuse(one("F32", "[4611686018427387904,4]", "[0,8]"), "takes more than 2^63");
  refuse(one("F32", "[[2]]", "[0,8]"), "shape holds a list");
  refuse(one("F32", "{}", "[0,8]"), "shape is an object");
  refuse(one("F32", "null", "[0,8]"), "shape is null");
  refuse(raw_file(R"({"w":{"dtype":"F32","shape":[2]}})", 8), "tensor 'w': has not all of");
  refuse(raw_file(R"({"w":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8), "the key 'shape' occurs twice");
  refuse(raw_file(R"({"w":{"dtype":"F32","shape":[2],"stride":[1]}})", 8), "unknown key 'stride'");
  refuse(raw_file(R"({"__metadata__":{"a":1}})", 0), "the value of 'a' is a number, expected a string");
  refuse(raw_file(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "__metadata__: the key 'a' occurs twice");
}

TEST_CASE("contradictions between tensors are refused", "[safetensors]") {
  const auto two = [](const std::string& second, const std::string& offsets) {
    return raw_file(fmt::format("{{{},{}}}", tensor("a", "F32", "[2]", "[0,8]"), tensor(second, "F32", "[2]", offsets)), 16);
  };
  refuse(two("b", "[4,12]"), "tensor 'b': data_offsets [4, 12] overlap those of 'a'");
  refuse(two("b", "[0,8]"), "overlap those of 'a'");
  refuse(two("a", "[8,16]"), "tensor 'a' is listed twice");
}

TEST_CASE("a file is written completely or not at all", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("x", "old");
  const std::vector<float> big(1 << 16);
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 4096, .rlim_max = limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  CHECK_THROWS_WITH(write_safetensors(path, {{"w", SafetensorsType::F32, {1 << 16}, big.data()}}),
                    ContainsSubstring("cannot write it: File too large"));
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  CHECK(read_text_file(path) == "old");
  CHECK(list_files_recursive(folder.path()).size() == 1);
  CHECK_THROWS_AS(write_file_atomically(folder.path("none/x"), "a"), InputError);
  CHECK_THROWS_WITH(write_file_atomically(folder.path(), "a"), ContainsSubstring("is a folder"));
  CHECK_THROWS_WITH(write_file_atomically("/dev/null", "a"), ContainsSubstring("is a device"));
}

TEST_CASE("writing through a link replaces the file it names", "[safetensors]") {
  const TemporaryFolder folder;
  const std::string target = folder.file("target", "old");
  fs::create_symlink(target, folder.path("link"));
  write_file_atomically(folder.path("link"), "new");
  CHECK(fs::is_symlink(folder.path("link")));
  CHECK(read_text_file(target) == "new");
}

TEST_CASE("only regular files are read, without waiting", "[safetensors]") {
  const TemporaryFolder folder;
  REQUIRE(mkfifo(folder.path("fifo").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_text_file(folder.path("fifo")), ContainsSubstring("is a FIFO, expected a file"));
  CHECK_THROWS_WITH(read_text_file("/dev/zero"), ContainsSubstring("is a device"));
  CHECK_THROWS_WITH(read_text_file(folder.path()), ContainsSubstring("is a folder"));
  CHECK_THROWS_WITH(read_text_file(folder.path("none")), ContainsSubstring("No such file"));
  CHECK_THROWS_WITH(read_text_file(folder.file("x", "12345"), 4), ContainsSubstring("5 bytes, expected at most 4"));
}

TEST_CASE("a file that shrinks while it is open is an error, not a crash", "[safetensors]") {
  const TemporaryFolder folder;
  const std::vector<float> a(64, 1.0F);
  write_safetensors(folder.path("x"), {{"w", SafetensorsType::F32, {64}, a.data()}});
  const SafetensorsFile file = SafetensorsFile::open(folder.path("x"));
  fs::resize_file(folder.path("x"), 100);
  CHECK_THROWS_WITH(file.read_f32(file.at("w")), ContainsSubstring("ends at byte"));
}

TEST_CASE("folders are listed sorted, links followed once", "[safetensors]") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path("b/c"));
  folder.file("b/c/z", "1");
  folder.file("b/a", "1");
  folder.file("x", "1");
  fs::create_directory_symlink(folder.path(), folder.path("b/loop"));
  fs::create_symlink(folder.path("none"), folder.path("dangling"));
  fs::create_symlink(folder.path("x"), folder.path("linked"));
  const std::vector<std::string> expected{folder.path("b/a"), folder.path("b/c/z"), folder.path("linked"), folder.path("x")};
  CHECK(list_files_recursive(folder.path()) == expected);
  CHECK_THROWS_AS(list_files_recursive(folder.path("none")), InputError);
}

}  // namespace mbt::test::safetensors_test
