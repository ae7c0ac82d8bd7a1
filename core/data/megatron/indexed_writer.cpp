#include "core/data/megatron/indexed_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little endian, and files are written as memory is");

constexpr size_t kBufferBytes = 1 << 20;

std::string checked_prefix(const std::string& prefix) {
  if (prefix.empty() || prefix.back() == '/')
    throw InputError(
        fmt::format("{}: names a folder; expected a prefix, as data/train of data/train.bin and data/train.idx", shown(prefix)));
  return prefix;
}

IndexedDtype checked(IndexedDtype dtype, const std::string& prefix) {
  if (!is_integer(dtype)) throw InputError(fmt::format("{}: dtype {} holds no tokens, expected an integer type", prefix, name_of(dtype)));
  return dtype;
}

template <class T>
void put(std::vector<char>& out, std::span<const int32_t> tokens) {
  const size_t at = out.size();
  out.resize(at + tokens.size() * sizeof(T));
  char* to = out.data() + at;
  for (const int32_t token : tokens) {
    const T value = static_cast<T>(token);
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
  }
}

void put(std::vector<char>& out, IndexedDtype dtype, std::span<const int32_t> tokens) {
  switch (dtype) {
    case IndexedDtype::uint8: return put<uint8_t>(out, tokens);
    case IndexedDtype::int8: return put<int8_t>(out, tokens);
    case IndexedDtype::int16: return put<int16_t>(out, tokens);
    case IndexedDtype::uint16: return put<uint16_t>(out, tokens);
    case IndexedDtype::int32: return put<int32_t>(out, tokens);
    case IndexedDtype::int64: return put<int64_t>(out, tokens);
    case IndexedDtype::float32:
    case IndexedDtype::float64: break;
  }
  MBT_CHECK(false, "dtype {}", name_of(dtype));
}

/// An array of the index, through a buffer: none is held twice.
template <class T>
class ArrayWriter {
 public:
  explicit ArrayWriter(AtomicFile& file) : file_(file) { buffer_.reserve(kBufferBytes / sizeof(T)); }
  void add(T value) {
    buffer_.push_back(value);
    if (buffer_.size() == buffer_.capacity()) flush();
  }
  void flush() {
    file_.write(buffer_.data(), static_cast<int64_t>(buffer_.size() * sizeof(T)));
    buffer_.clear();
  }

 private:
  AtomicFile& file_;
  std::vector<T> buffer_;
};

template <class T>
void write_value(AtomicFile& file, T value) {
  file.write(&value, sizeof value);
}

}  // namespace

IndexedWriter::IndexedWriter(const std::string& prefix, IndexedDtype dtype)
    : paths_(checked_prefix(prefix)), dtype_(checked(dtype, prefix)), bin_(paths_.bin), idx_(paths_.idx) {
  buffer_.reserve(kBufferBytes + (kBufferBytes >> 2));
}

void IndexedWriter::add_document(std::span<const int32_t> tokens) {
  add_sequence(tokens);
  end_document();
}

void IndexedWriter::add_sequence(std::span<const int32_t> tokens) {
  if (tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw InputError(
        fmt::format("{}: a sequence of {} tokens, expected at most {}", paths_.prefix, tokens.size(), std::numeric_limits<int32_t>::max()));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (holds(dtype_, tokens[i])) continue;
    throw InputError(fmt::format("{}: token {} at position {} of sequence {} does not fit into {}; write it with a wider type",
                                 paths_.prefix, tokens[i], i, num_sequences(), name_of(dtype_)));
  }
  constexpr size_t kPiece = kBufferBytes / 8;  // tokens: a long document does not grow the buffer
  for (size_t at = 0; at < tokens.size(); at += kPiece) {
    put(buffer_, dtype_, tokens.subspan(at, std::min(kPiece, tokens.size() - at)));
    if (buffer_.size() >= kBufferBytes) flush();
  }
  lengths_.push_back(static_cast<int32_t>(tokens.size()));
  tokens_ += static_cast<int64_t>(tokens.size());
}

void IndexedWriter::end_document() { documents_.push_back(num_sequences()); }

void IndexedWriter::end_document_if_any() {
  if (documents_.back() != num_sequences()) end_document();
}

void IndexedWriter::flush() {
  bin_.write(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  buffer_.clear();
}

void IndexedWriter::finish() {
  flush();
  end_document_if_any();
  write_index();
  std::error_code none;
  std::filesystem::remove(std::filesystem::weakly_canonical(paths_.idx, none), none);  // an old index never stands beside new tokens
  bin_.commit();
  idx_.commit();
}

void IndexedWriter::write_index() {
  idx_.write(kIndexedMagic);
  write_value(idx_, kIndexedVersion);
  write_value(idx_, dtype_);
  write_value(idx_, num_sequences());
  write_value(idx_, static_cast<int64_t>(documents_.size()));
  idx_.write(lengths_.data(), static_cast<int64_t>(lengths_.size() * sizeof(int32_t)));
  ArrayWriter<int64_t> pointers(idx_);
  int64_t pointer = 0;
  for (const int32_t length : lengths_) {
    pointers.add(pointer);
    pointer += length * size_of(dtype_);
  }
  pointers.flush();
  idx_.write(documents_.data(), static_cast<int64_t>(documents_.size() * sizeof(int64_t)));
}

}  // namespace mbt
