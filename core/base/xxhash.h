// XXH64 with seed 0: the hash by which checkpoints prove their files and ranks compare what they hold. `xxhsum -H1 FILE` gives the same
// number. Source: the specification of XXH64 (xxHash fast digest algorithm, version 0.1.1).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace mbt {

/// Takes any number of pieces; the hash is that of their concatenation.
class XxHash64 {
 public:
  void add(const void* data, size_t bytes);
  void add(std::string_view bytes) { add(bytes.data(), bytes.size()); }
  uint64_t value() const;

 private:
  static constexpr size_t kStripe = 32;
  static constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F;

  void take_stripe(const unsigned char* at);

  std::array<uint64_t, 4> lanes_{kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
  std::array<unsigned char, kStripe> rest_{};
  size_t rest_size_ = 0;
  uint64_t total_ = 0;
};

inline uint64_t xxhash64(std::string_view bytes) {
  XxHash64 h;
  h.add(bytes);
  return h.value();
}

/// 16 hexadecimal digits.
std::string hash_text(uint64_t hash);

}  // namespace mbt
