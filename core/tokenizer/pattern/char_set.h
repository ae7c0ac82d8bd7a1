// A set of code points, as a character class of a pattern.
#pragma once

#include <vector>

#include "core/tokenizer/unicode/unicode.h"

namespace mbt {

class CharSet {
 public:
  CharSet() : words_(kCodePoints / 64) {}

  bool has(uint32_t c) const { return (words_[c / 64] >> (c % 64) & 1) != 0; }
  void add(uint32_t c) { words_[c / 64] |= uint64_t{1} << (c % 64); }
  void add(uint32_t first, uint32_t last) {
    for (uint32_t c = first; c <= last; ++c) add(c);
  }
  void add(const CharSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  void keep(const CharSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  }
  void invert() {
    for (uint64_t& w : words_) w = ~w;
  }
  template <class Predicate>
  void add_if(Predicate&& is_member) {
    for (uint32_t c = 0; c < kCodePoints; ++c)
      if (is_member(c)) add(c);
  }
  bool operator==(const CharSet&) const = default;

 private:
  std::vector<uint64_t> words_;
};

}  // namespace mbt
