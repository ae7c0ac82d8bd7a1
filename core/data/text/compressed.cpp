#include "core/data/text/compressed.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/io/files.h"

namespace mbt {
namespace {

using namespace std::string_view_literals;

struct Compression {
  std::string_view magic, name;
  const char* command;  ///< writes the text to standard output; nullptr: there is no such program
};

constexpr Compression kCompressions[] = {
    {"\x1f\x8b"sv, "gzip", "zcat"},        {"\x28\xb5\x2f\xfd"sv, "zstd", "zstdcat"},  {"\xfd\x37zXZ\0"sv, "xz", "xzcat"},
    {"BZh"sv, "bzip2", "bzcat"},           {"PK\x03\x04"sv, "zip", "unzip -p"},        {"\x04\x22\x4d\x18"sv, "lz4", "lz4cat"},
    {"PAR1"sv, "a Parquet file", nullptr}, {"ARROW1\0\0"sv, "an Arrow file", nullptr},
};
constexpr size_t kLongestMagic = 8;

}  // namespace

void refuse_compressed(std::string_view head, const std::string& path) {
  const auto* const found =
      std::find_if(std::begin(kCompressions), std::end(kCompressions), [&](const Compression& c) { return head.starts_with(c.magic); });
  if (found == std::end(kCompressions)) return;
  if (found->command == nullptr)
    throw InputError(fmt::format("{}: is {}, expected text or JSON Lines; write its rows as JSON Lines first", path, found->name));
  const std::string of = path == "-" ? "FILE" : path;
  throw InputError(
      fmt::format("{}: is compressed ({}); decompress it first: {} {} > TEXT, or without a copy: {} {} | mbtrain tokenize --input - ...",
                  path == "-" ? "standard input" : path, found->name, found->command, of, found->command, of));
}

void refuse_compressed(const std::string& path) {
  std::string head(kLongestMagic, '\0');
  try {
    const FileReader file(path);
    head.resize(std::min(kLongestMagic, static_cast<size_t>(file.size())));
    file.read_at(0, head.data(), static_cast<int64_t>(head.size()));
  } catch (const InputError&) {
    return;  // whoever opens it says why
  }
  refuse_compressed(head, path);
}

}  // namespace mbt
