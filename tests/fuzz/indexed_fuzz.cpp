// libFuzzer: any bytes as an .idx beside a small .bin either open, and then every sequence reads, or give an InputError; never a crash or
// memory beyond the files' sizes.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/megatron/indexed_reader.h"

namespace {

/// A folder of this process.
std::string prefix() {
  static const std::string path = [] {
    std::string name = (std::filesystem::temp_directory_path() / "mbt-fuzz-XXXXXX").string();
    if (!mkdtemp(name.data())) std::abort();
    std::ofstream(name + "/x.bin", std::ios::binary) << std::string(64, '\1');
    return name + "/x";
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::ofstream(prefix() + ".idx", std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const mbt::IndexedReader reader(prefix());
    for (int64_t s = 0; s < reader.num_sequences(); ++s) {
      std::vector<int32_t> tokens(static_cast<size_t>(reader.length(s)));
      reader.read(s, 0, reader.length(s), tokens.data());
    }
  } catch (const mbt::InputError&) {
  }
  return 0;
}
