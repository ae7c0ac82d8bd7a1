// libFuzzer: any bytes as a token file either open, and then every token and mask reads, or give an InputError.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/token_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("fuzz", 0);
  if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  try {
    const mbt::TokenFile file("/proc/self/fd/" + std::to_string(fd), 1 << 20);
    std::vector<int32_t> tokens(static_cast<size_t>(file.num_tokens()));
    for (int64_t t = 0; t < file.num_tokens(); ++t) static_cast<void>(file.is_in_loss(t));
    file.read(0, file.num_tokens(), tokens.data());
  } catch (const mbt::InputError&) {
  }
  return 0;
}
