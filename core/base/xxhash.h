// XXH64 with seed 0: the checksum of checkpoint files, and the hash with which ranks compare their data. `xxhsum -H1 FILE` prints the same
// number. Only xxhash.cpp includes libxxhash's header of 6,000 lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace mbt {

/// Takes any number of pieces; the hash is that of their concatenation.
class XxHash64 {
 public:
  XxHash64();

  void add(const void* data, size_t bytes);
  void add(std::string_view bytes) { add(bytes.data(), bytes.size()); }
  uint64_t value() const;

 private:
  struct State;
  struct Free {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Free> state_;
};

uint64_t xxhash64(std::string_view bytes);

/// 16 hexadecimal digits.
std::string hash_text(uint64_t hash);

}  // namespace mbt
