#include "core/base/xxhash.h"

#include <algorithm>
#include <bit>
#include <cstdio>

namespace mbt {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F, kPrime3 = 0x165667B19E3779F9, kPrime4 = 0x85EBCA77C2B2AE63,
                   kPrime5 = 0x27D4EB2F165667C5;

template <class Word>
Word read(const unsigned char* at) {  // little endian, as every machine this runs on
  Word w;
  std::memcpy(&w, at, sizeof w);
  return w;
}

uint64_t round(uint64_t lane, uint64_t input) { return std::rotl(lane + input * kPrime2, 31) * kPrime1; }

}  // namespace

void XxHash64::take_stripe(const unsigned char* at) {
  for (size_t i = 0; i < 4; ++i) lanes_[i] = round(lanes_[i], read<uint64_t>(at + 8 * i));
}

void XxHash64::add(const void* data, size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(data);
  total_ += bytes;
  if (rest_size_ > 0) {
    const size_t taken = std::min(bytes, kStripe - rest_size_);
    std::memcpy(rest_.data() + rest_size_, at, taken);
    rest_size_ += taken, at += taken, bytes -= taken;
    if (rest_size_ < kStripe) return;
    take_stripe(rest_.data());
    rest_size_ = 0;
  }
  for (; bytes >= kStripe; at += kStripe, bytes -= kStripe) take_stripe(at);
  if (bytes > 0) std::memcpy(rest_.data(), at, bytes);
  rest_size_ = bytes;
}

uint64_t XxHash64::value() const {
  uint64_t h = kPrime5;
  if (total_ >= kStripe) {
    h = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) h = (h ^ round(0, lane)) * kPrime1 + kPrime4;
  }
  h += total_;
  size_t at = 0;
  for (; at + 8 <= rest_size_; at += 8) h = std::rotl(h ^ round(0, read<uint64_t>(rest_.data() + at)), 27) * kPrime1 + kPrime4;
  if (at + 4 <= rest_size_) {
    h = std::rotl(h ^ read<uint32_t>(rest_.data() + at) * kPrime1, 23) * kPrime2 + kPrime3;
    at += 4;
  }
  for (; at < rest_size_; ++at) h = std::rotl(h ^ rest_[at] * kPrime5, 11) * kPrime1;
  h = (h ^ h >> 33) * kPrime2;
  h = (h ^ h >> 29) * kPrime3;
  return h ^ h >> 32;
}

std::string hash_text(uint64_t hash) {
  char s[17];
  std::snprintf(s, sizeof s, "%016llx", static_cast<unsigned long long>(hash));
  return s;
}

}  // namespace mbt
