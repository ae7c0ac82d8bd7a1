// libFuzzer: any bytes as a safetensors file either open, and then every tensor reads and the file written from them has the same tensors,
// or give an InputError; never a crash, a hang, another exception or memory beyond the file's size.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/io/safetensors.h"

namespace {

/// A file in memory, under a path that can be opened.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", 0)) {}
  std::string fill(const uint8_t* data, size_t size) const {
    if (ftruncate(fd_, 0) != 0 || pwrite(fd_, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
    return "/proc/self/fd/" + std::to_string(fd_);
  }

 private:
  int fd_;
};

void check(bool condition) {
  if (!condition) std::abort();
}

void read_all(const mbt::SafetensorsFile& file, size_t size) {
  int64_t total = 0;
  for (const mbt::SafetensorsEntry& entry : file.entries()) {
    std::vector<char> bytes(static_cast<size_t>(entry.size_bytes()));
    file.read(entry, bytes.data());
    check(file.find(entry.name) == &entry);
    total += entry.size_bytes();
    try {
      check(static_cast<int64_t>(file.read_f32(entry).size()) == entry.size());
    } catch (const mbt::InputError&) {  // not of a floating-point type
    }
  }
  check(total <= static_cast<int64_t>(size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const MemoryFile memory;
  try {
    const mbt::SafetensorsFile file = mbt::SafetensorsFile::open(memory.fill(data, size));
    read_all(file, size);
    const mbt::SafetensorsHeader header{file.entries(), file.metadata()};
    const int64_t data_bytes = file.entries().empty() ? 0 : file.entries().back().end;
    const mbt::SafetensorsHeader again = mbt::parse_safetensors_header(mbt::write_safetensors_header(header), data_bytes, "again");
    check(again.metadata == header.metadata && again.entries.size() == header.entries.size());
    for (size_t i = 0; i < again.entries.size(); ++i)
      check(again.entries[i].name == header.entries[i].name && again.entries[i].shape == header.entries[i].shape);
  } catch (const mbt::InputError&) {
  }
  return 0;
}
