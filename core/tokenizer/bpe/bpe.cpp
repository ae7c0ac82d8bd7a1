#include "core/tokenizer/bpe/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

namespace mbt {
namespace {

/// Up to this many tokens a piece is searched from end to end for each merge, which is faster than a queue and quadratic.
constexpr size_t kShortPiece = 48;

uint64_t pair_of(int32_t left, int32_t right) { return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right); }
uint64_t mix(uint64_t x) {
  x *= 0x9E3779B97F4A7C15;
  return x ^ x >> 29;
}

}  // namespace

HashedPiece::HashedPiece(std::string_view piece) : bytes(piece), hash(piece.size()) {
  while (piece.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, piece.data(), 8);
    hash = mix(hash ^ word);
    piece.remove_prefix(8);
  }
  uint64_t word = 0;
  std::memcpy(&word, piece.data(), piece.size());
  hash = mix(hash ^ word) * 0xD6E8FEB86659FD93;
}

TokenTable::TokenTable(size_t capacity) : slots_(std::bit_ceil(std::max<size_t>(16, capacity * 2))) {}

void TokenTable::add(std::string_view bytes, int32_t id) {
  const HashedPiece piece(bytes);
  uint64_t i = piece.hash & (slots_.size() - 1);
  for (; slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].hash == piece.hash && std::string_view(bytes_).substr(slots_[i].begin, slots_[i].size) == bytes) return;
  slots_[i] = {piece.hash, static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(bytes.size()), id};
  bytes_ += bytes;
}

int32_t TokenTable::find(const HashedPiece& piece) const {
  for (uint64_t i = piece.hash & (slots_.size() - 1); slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.hash == piece.hash && slot.size == piece.bytes.size() &&
        std::memcmp(bytes_.data() + slot.begin, piece.bytes.data(), slot.size) == 0)
      return slot.id;
  }
  return -1;
}

Bpe::Bpe(const std::vector<std::pair<std::string, int32_t>>& tokens, const std::vector<Merge>& merges, const Options& options)
    : options_(options), whole_(tokens.size()) {
  byte_ids_.fill(-1);
  for (const auto& [bytes, id] : tokens)
    if (bytes.size() == 1) byte_ids_[static_cast<unsigned char>(bytes[0])] = id;
  slots_.resize(std::bit_ceil(std::max<size_t>(16, merges.size() * 2)));
  mask_ = slots_.size() - 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) add_merge(merges[rank], static_cast<uint32_t>(rank));
  std::vector<int32_t> ids;
  for (const auto& [bytes, id] : tokens) {
    ids.clear();
    if (!options.ignore_merges) merge(bytes, ids);
    if (options.ignore_merges || (ids.size() == 1 && ids[0] == id)) whole_.add(bytes, id);
  }
}

void Bpe::add_merge(const Merge& merge, uint32_t rank) {
  const uint64_t pair = pair_of(merge.left, merge.right);
  uint64_t i = mix(pair) & mask_;
  while (slots_[i].pair != UINT64_MAX && slots_[i].pair != pair) i = (i + 1) & mask_;
  slots_[i] = {pair, rank, merge.result};
}

const Bpe::Slot* Bpe::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  for (uint64_t i = mix(pair) & mask_;; i = (i + 1) & mask_) {
    if (slots_[i].pair == pair) return &slots_[i];
    if (slots_[i].pair == UINT64_MAX) return nullptr;
  }
}

int Bpe::missing_bytes() const { return static_cast<int>(std::count(byte_ids_.begin(), byte_ids_.end(), -1)); }

void Bpe::first_tokens(std::string_view piece, std::vector<int32_t>& ids) const {
  bool was_unknown = false;
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    const bool is_unknown = id < 0;
    if (!is_unknown) ids.push_back(id);
    else if (options_.unk_id >= 0 && !(was_unknown && options_.fuse_unk)) ids.push_back(options_.unk_id);
    was_unknown = is_unknown;
  }
}

void Bpe::merge_short(std::vector<int32_t>& ids, size_t begin) const {
  int32_t* const id = ids.data() + begin;
  size_t n = ids.size() - begin;
  uint32_t rank[kShortPiece];
  int32_t result[kShortPiece];
  const auto look = [&](size_t i) {
    const Slot* slot = find(id[i], id[i + 1]);
    rank[i] = slot == nullptr ? kNoRank : slot->rank;
    result[i] = slot == nullptr ? 0 : slot->result;
  };
  for (size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    const size_t best = static_cast<size_t>(std::min_element(rank, rank + n - 1) - rank);
    if (rank[best] == kNoRank) break;
    id[best] = result[best];
    --n;
    for (size_t i = best + 1; i < n; ++i) id[i] = id[i + 1];
    for (size_t i = best + 1; i + 1 < n; ++i) rank[i] = rank[i + 1], result[i] = result[i + 1];
    if (best + 1 < n) look(best);
    if (best > 0) look(best - 1);
  }
  ids.resize(begin + n);
}

void Bpe::merge_long(std::vector<int32_t>& ids, size_t begin) const {
  struct Link {
    int32_t id;
    uint32_t previous, next;
  };
  /// A pair that could be merged when it was seen: it can still when neither token has changed, as ids tell.
  struct Candidate {
    uint32_t rank, place;
    int32_t left, right, result;
    bool operator<(const Candidate& o) const { return rank != o.rank ? rank > o.rank : place > o.place; }
  };
  const uint32_t n = static_cast<uint32_t>(ids.size() - begin), none = UINT32_MAX;
  std::vector<Link> links(n);
  std::priority_queue<Candidate> queue;
  const auto look = [&](uint32_t place) {
    const uint32_t next = links[place].next;
    if (next == none) return;
    const Slot* slot = find(links[place].id, links[next].id);
    if (slot != nullptr) queue.push({slot->rank, place, links[place].id, links[next].id, slot->result});
  };
  for (uint32_t i = 0; i < n; ++i) links[i] = {ids[begin + i], i == 0 ? none : i - 1, i + 1 == n ? none : i + 1};
  for (uint32_t i = 0; i < n; ++i) look(i);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    Link& left = links[c.place];
    if (left.id != c.left || left.next == none || links[left.next].id != c.right) continue;
    links[left.next].id = -1;  // taken: no candidate has it
    left.id = c.result;
    left.next = links[left.next].next;
    if (left.next != none) links[left.next].previous = c.place;
    look(c.place);
    if (left.previous != none) look(left.previous);
  }
  size_t out = begin;
  for (uint32_t i = 0; i != none; i = links[i].next) ids[out++] = links[i].id;
  ids.resize(out);
}

void Bpe::merge(std::string_view piece, std::vector<int32_t>& ids) const {
  const size_t begin = ids.size();
  first_tokens(piece, ids);
  const size_t n = ids.size() - begin;
  if (n > kShortPiece) merge_long(ids, begin);
  else if (n > 1) merge_short(ids, begin);
}

void Bpe::encode_new(const HashedPiece& piece, std::vector<int32_t>& ids) const {
  const int32_t whole = whole_.find(piece);
  if (whole >= 0) ids.push_back(whole);
  else merge(piece.bytes, ids);
}

void Bpe::encode(std::string_view bytes, PieceCache& cache, std::vector<int32_t>& ids) const {
  const HashedPiece piece(bytes);
  if (bytes.size() > PieceCache::kMaxBytes || bytes.empty()) return encode_new(piece, ids);
  PieceCache::Entry& entry = cache.at(piece);
  if (entry.size == bytes.size() && std::memcmp(entry.piece, bytes.data(), bytes.size()) == 0) {
    ids.insert(ids.end(), entry.ids, entry.ids + entry.tokens);
    return;
  }
  const size_t begin = ids.size();
  encode_new(piece, ids);
  const size_t n = ids.size() - begin;
  if (n > PieceCache::kMaxTokens) return;
  entry.size = static_cast<uint8_t>(bytes.size());
  entry.tokens = static_cast<uint8_t>(n);
  std::memcpy(entry.piece, bytes.data(), bytes.size());
  std::copy(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.end(), entry.ids);
}

}  // namespace mbt
