// Megatron's indexed data: PREFIX.bin holds tokens back to back, PREFIX.idx says where each sequence lies and which sequences make a
// document.
//
//   .idx, little endian, no padding     bytes
//   "MMIDIDX\0\0"                        9
//   version 1                            8
//   dtype code                           1
//   S sequences, D document boundaries   8 each
//   lengths in tokens                    4 S   int32
//   byte offsets in .bin                 8 S   int64
//   document boundaries                  8 D   int64, counted in sequences: the first is 0, the last S
//   modes (multimodal sets only)         S     int8
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace mbt {

/// The values are the file's codes.
enum class IndexedDtype : uint8_t { uint8 = 1, int8 = 2, int16 = 3, int32 = 4, int64 = 5, float64 = 6, float32 = 7, uint16 = 8 };

constexpr std::string_view kIndexedMagic{"MMIDIDX\0\0", 9};
constexpr int64_t kIndexedVersion = 1, kIndexedHeaderBytes = 34;

/// "uint16", ...
std::string_view name_of(IndexedDtype dtype);
/// Bytes of one token.
int64_t size_of(IndexedDtype dtype);
bool is_integer(IndexedDtype dtype);
/// Whether a token can be stored.
bool holds(IndexedDtype dtype, int64_t token);
/// What Megatron's tools choose: uint16 below 65500 tokens, else int32.
IndexedDtype dtype_for_vocab(int64_t vocab_size);

/// The two files; `prefix` may also be the name of one of them.
struct IndexedPaths {
  explicit IndexedPaths(std::string prefix);
  std::string prefix, bin, idx;
};

}  // namespace mbt
