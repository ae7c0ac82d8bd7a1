// Byte-pair encoding: in a piece of text, repeatedly merges the pair of neighbors that comes first in the list of
// merges.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

/// A piece of text with its hash.
struct HashedPiece {
  explicit HashedPiece(std::string_view piece);
  std::string_view bytes;
  uint64_t hash;
};

/// Tokens of pieces seen before. Of fixed size: a new piece takes the place of another. 2 MB, a cache line for each piece.
class PieceCache {
 public:
  static constexpr size_t kMaxBytes = 30, kMaxTokens = 8;
  struct alignas(64) Entry {
    int32_t ids[kMaxTokens] = {};
    uint8_t size = 0, tokens = 0;
    char piece[kMaxBytes] = {};
  };
  PieceCache() : entries_(kEntries) {}
  Entry& at(const HashedPiece& piece) { return entries_[piece.hash >> (64 - kEntriesLog2)]; }

 private:
  static constexpr int kEntriesLog2 = 15;
  static constexpr size_t kEntries = size_t{1} << kEntriesLog2;
  std::vector<Entry> entries_;
};

/// Strings with an id each, to be found fast.
class TokenTable {
 public:
  explicit TokenTable(size_t capacity);
  /// The first of equal strings counts.
  void add(std::string_view bytes, int32_t id);
  /// -1: is not there.
  int32_t find(const HashedPiece& piece) const;

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t begin = 0, size = 0;
    int32_t id = -1;
  };
  std::string bytes_;
  std::vector<Slot> slots_;  ///< open addressing, a power of two
};

class Bpe {
 public:
  struct Merge {
    int32_t left, right, result;
  };
  struct Options {
    bool ignore_merges = false;  ///< a piece that is a token is taken whole, even if merges would not get there
    int32_t unk_id = -1;         ///< token of bytes without one; -1: such bytes are left out
    bool fuse_unk = false;       ///< one for several in a row
  };
  /// `tokens` are (bytes, id); of equal pairs in `merges` the last counts.
  Bpe(const std::vector<std::pair<std::string, int32_t>>& tokens, const std::vector<Merge>& merges, const Options& options);

  /// Appends the tokens of one piece. The cache may be used by one thread at a time.
  void encode(std::string_view piece, PieceCache& cache, std::vector<int32_t>& ids) const;
  /// Bytes that have no token of their own.
  int missing_bytes() const;

 private:
  struct Slot {
    uint64_t pair = UINT64_MAX;
    uint32_t rank = 0;
    int32_t result = 0;
  };
  static constexpr uint32_t kNoRank = UINT32_MAX;

  const Slot* find(int32_t left, int32_t right) const;
  void add_merge(const Merge& merge, uint32_t rank);
  void first_tokens(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_short(std::vector<int32_t>& ids, size_t begin) const;
  void merge_long(std::vector<int32_t>& ids, size_t begin) const;
  void merge(std::string_view piece, std::vector<int32_t>& ids) const;
  void encode_new(const HashedPiece& piece, std::vector<int32_t>& ids) const;

  Options options_;
  std::array<int32_t, 256> byte_ids_;
  std::vector<Slot> slots_;  ///< open addressing, a power of two
  uint64_t mask_ = 0;
  TokenTable whole_;  ///< tokens that a piece of the same bytes becomes: all with ignore_merges, else those that merges come to
};

}  // namespace mbt
