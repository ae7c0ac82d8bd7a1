#include "core/data/megatron/indexed_reader.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"

namespace mbt {
namespace {

/// The reader's own message for a pair of which half is missing: a prefix is what people mistype.
const std::string& existing(const std::string& path, const IndexedPaths& paths) {
  std::error_code none;
  if (std::filesystem::exists(path, none)) return path;
  const bool has_other = std::filesystem::exists(path == paths.idx ? paths.bin : paths.idx, none);
  throw InputError(fmt::format("{}: no such file; Megatron indexed data is a pair, {}.bin and {}.idx{}", path, paths.prefix, paths.prefix,
                               has_other ? ", and only the other one is there" : ""));
}

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

template <class T>
T IndexedReader::get(const std::byte* array, int64_t i) const {
  return load<T>(array + i * static_cast<int64_t>(sizeof(T)));
}
template int32_t IndexedReader::get<int32_t>(const std::byte*, int64_t) const;
template int64_t IndexedReader::get<int64_t>(const std::byte*, int64_t) const;

IndexedReader::IndexedReader(const std::string& prefix, int64_t vocab_size)
    : paths_(prefix), idx_(existing(paths_.idx, paths_)), bin_(existing(paths_.bin, paths_)), vocab_size_(vocab_size) {
  bin_.expect_random_reads();
  check_header();
  check_sequences();
  check_documents();
  check_modes();
}

void IndexedReader::check_header() {
  const std::string& file = paths_.idx;
  if (idx_.size() < kIndexedHeaderBytes) {
    throw InputError(
        fmt::format("{}: {} bytes, expected a Megatron index, which takes at least {}", file, idx_.size(), kIndexedHeaderBytes));
  }
  const std::string_view magic(reinterpret_cast<const char*>(idx_.data()), kIndexedMagic.size());
  if (magic != kIndexedMagic)
    throw InputError(
        fmt::format("{}: begins with {}, expected a Megatron index, which begins with \"MMIDIDX\" and two zero bytes", file, shown(magic)));
  const auto version = load<uint64_t>(idx_.data() + 9);
  if (version != kIndexedVersion) throw InputError(fmt::format("{}: version {} at byte 9, expected {}", file, version, kIndexedVersion));
  const auto code = load<uint8_t>(idx_.data() + 17);
  if (code < 1 || code > 8) throw InputError(fmt::format("{}: dtype code {} at byte 17, expected 1 to 8", file, int{code}));
  dtype_ = static_cast<IndexedDtype>(code);
  if (!is_integer(dtype_))
    throw InputError(fmt::format(
        "{}: dtype {}, which holds no tokens; expected an integer type (tokens are read as uint8, int8, int16, uint16, int32 or int64)",
        file, name_of(dtype_)));

  const auto sequences = load<uint64_t>(idx_.data() + 18), boundaries = load<uint64_t>(idx_.data() + 26);
  const auto size = static_cast<uint64_t>(idx_.size());
  if (sequences > size / 12 || boundaries > size / 8) {  // so that nothing below overflows
    throw InputError(fmt::format(
        "{}: the header speaks of {} sequences and {} document boundaries, which {} bytes cannot hold; the file is truncated or damaged",
        file, sequences, boundaries, size));
  }
  const uint64_t expected = kIndexedHeaderBytes + 12 * sequences + 8 * boundaries;
  if (size != expected && size != expected + sequences) {
    throw InputError(fmt::format(
        "{}: {} bytes, expected {} (or {} with modes) for {} sequences and {} document boundaries; the file is truncated or damaged", file,
        size, expected, expected + sequences, sequences, boundaries));
  }
  sequences_ = static_cast<int64_t>(sequences);
  boundaries_ = static_cast<int64_t>(boundaries);
  has_modes_ = sequences > 0 && size == expected + sequences;
  lengths_ = idx_.data() + kIndexedHeaderBytes;
  pointers_ = lengths_ + 4 * sequences_;
  documents_ = pointers_ + 8 * sequences_;
}

void IndexedReader::check_sequences() {
  const int64_t size = size_of(dtype_), bin = bin_.size();
  for (int64_t s = 0; s < sequences_; ++s) {
    const int64_t tokens = length(s), at = pointer(s), bytes = tokens * size;
    if (tokens < 0) throw InputError(fmt::format("{}: sequence {} has length {}, expected 0 or more", paths_.idx, s, tokens));
    if (at < 0 || at > bin || bytes > bin - at) {
      throw InputError(
          fmt::format("{}: sequence {} lies at byte {} and is {} tokens of {} bytes long, but {} has {} bytes; one of the two files is "
                      "truncated, or they do not belong together",
                      paths_.idx, s, at, tokens, size, paths_.bin, bin));
    }
    tokens_ += tokens;  // at most 2^31 times the number of sequences, which 2^59 bytes of index cannot bring to overflow
    longest_ = std::max(longest_, tokens);
    used_bytes_ = std::max(used_bytes_, at + bytes);
  }
}

void IndexedReader::check_documents() {
  if (boundaries_ == 0) throw InputError(fmt::format("{}: no document boundaries, expected at least the first, 0", paths_.idx));
  int64_t before = 0;
  for (int64_t d = 0; d < boundaries_; ++d) {
    const int64_t at = document_begin(d);
    if (d == 0 ? at != 0 : at < before) {
      throw InputError(fmt::format("{}: document boundary {} is {}, expected {}", paths_.idx, d, at,
                                   d == 0 ? "0" : fmt::format("at least the one before, {}", before)));
    }
    before = at;
  }
  if (before != sequences_)
    throw InputError(
        fmt::format("{}: the last document boundary is {}, expected the number of sequences, {}", paths_.idx, before, sequences_));
}

/// Modes tell text (0) from images: a file of text alone may have them too.
void IndexedReader::check_modes() {
  if (!has_modes_) return;
  const std::byte* const modes = documents_ + 8 * boundaries_;
  const std::byte* const other = std::find_if(modes, modes + sequences_, [](std::byte mode) { return mode != std::byte{0}; });
  if (other == modes + sequences_) return;
  throw InputError(fmt::format("{}: sequence {} is of mode {}, not text (0); multimodal data is not supported", paths_.idx, other - modes,
                               std::to_integer<int>(*other)));
}

template <class T>
void IndexedReader::copy(int64_t sequence, int64_t offset, int64_t count, int32_t* out) const {
  const std::byte* from = bin_.data() + pointer(sequence) + offset * static_cast<int64_t>(sizeof(T));
  bool all_fit = true;
  for (int64_t i = 0; i < count; ++i) {
    const auto token = static_cast<int64_t>(load<T>(from + i * static_cast<int64_t>(sizeof(T))));
    out[i] = static_cast<int32_t>(token);
    all_fit &= token >= 0 && token < vocab_size_;
  }
  if (all_fit) return;
  for (int64_t i = 0; i < count; ++i) {
    const auto token = static_cast<int64_t>(load<T>(from + i * static_cast<int64_t>(sizeof(T))));
    if (token < 0 || token >= vocab_size_) refuse_token(sequence, offset + i, token);
  }
}

void IndexedReader::refuse_token(int64_t sequence, int64_t position, int64_t token) const {
  const bool is_none = token < 0 || token > std::numeric_limits<int32_t>::max();  // of any tokenizer
  throw InputError(fmt::format(
      "{}: token {} at position {} of sequence {}, expected 0 to {}{}", paths_.bin, token, position, sequence, vocab_size_ - 1,
      is_none
          ? fmt::format(": {} calls the tokens {}; the two files do not belong together, or one is damaged", paths_.idx, name_of(dtype_))
          : fmt::format(": the data was made with another tokenizer, or model.vocab_size {} is too small", vocab_size_)));
}

void IndexedReader::read(int64_t sequence, int64_t offset, int64_t count, int32_t* out) const {
  MBT_CHECK(sequence >= 0 && sequence < sequences_ && offset >= 0 && count >= 0 && count <= length(sequence) - offset,
            "tokens [{}, +{}) of sequence {} of {}", offset, count, sequence, sequences_);
  if (count == 0) return;
  bin_.check_still_whole();
  bin_.will_read(pointer(sequence) + offset * size_of(dtype_), count * size_of(dtype_));
  switch (dtype_) {
    case IndexedDtype::uint8: return copy<uint8_t>(sequence, offset, count, out);
    case IndexedDtype::int8: return copy<int8_t>(sequence, offset, count, out);
    case IndexedDtype::int16: return copy<int16_t>(sequence, offset, count, out);
    case IndexedDtype::uint16: return copy<uint16_t>(sequence, offset, count, out);
    case IndexedDtype::int32: return copy<int32_t>(sequence, offset, count, out);
    case IndexedDtype::int64: return copy<int64_t>(sequence, offset, count, out);
    case IndexedDtype::float32:
    case IndexedDtype::float64: break;  // refused when it was opened
  }
}

std::string IndexedReader::fingerprint() const {
  constexpr int64_t kPieces = 64, kPieceBytes = 16384;
  XxHash64 hash;
  const int64_t sizes[] = {idx_.size(), bin_.size()};
  hash.add(sizes, sizeof sizes);
  hash.add(idx_.data(), static_cast<size_t>(idx_.size()));
  for (int64_t i = 0; i < kPieces && bin_.size() > 0; ++i) {
    const int64_t at = std::max<int64_t>(0, bin_.size() - kPieceBytes) / (kPieces - 1) * i;
    hash.add(bin_.data() + at, static_cast<size_t>(std::min(kPieceBytes, bin_.size() - at)));
  }
  return hash_text(hash.value());
}

}  // namespace mbt
