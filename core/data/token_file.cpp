#include "core/data/token_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"
#include "core/data/megatron/indexed_format.h"
#include "core/io/files.h"

namespace mbt {
namespace {

constexpr int64_t kHeaderBytes = 1024;
constexpr std::string_view kLlmqMagic = "BIN.TOK\n";
constexpr int32_t kLlmcMagic = 20240520, kLlmcVersion = 1, kLlmcWideMagic = 20240801, kLlmcWideVersion = 7;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

bool is_llmq(const std::byte* header) { return std::memcmp(header, kLlmqMagic.data(), kLlmqMagic.size()) == 0; }

}  // namespace

TokenFile::TokenFile(const std::string& path, int64_t vocab_size, TokenLayout layout) : file_(path), vocab_size_(vocab_size) {
  file_.expect_random_reads();
  if (layout == TokenLayout::nanogpt) {
    check_nanogpt();
    header_bytes_ = 0;
    width_ = 2;
    tokens_ = file_.size() / width_;
    format_ = "nanoGPT uint16";
    return;
  }
  read_header();
  check_size();
}

/// Tokens without a header can be mistaken for many things, and many things for them.
void TokenFile::check_nanogpt() const {
  const auto refuse = [&](const std::string& what) { throw InputError(fmt::format("{}: {}", path(), what)); };
  if (recognizes(path())) refuse("has a header of llm.c or llmq, expected the bare tokens of nanoGPT; take --dataset.kind tokens");
  std::error_code none;
  if (const IndexedPaths pair(path()); std::filesystem::exists(pair.idx, none))
    refuse(fmt::format("{} lies beside it: it is Megatron's; name both by --data-path {}", pair.idx, pair.prefix));
  const std::string_view bytes(reinterpret_cast<const char*>(file_.data()), static_cast<size_t>(file_.size()));
  if (bytes.starts_with("\x93NUMPY")) refuse("is a .npy file, expected bare tokens as nanoGPT's prepare.py writes them with tofile()");
  if (bytes.empty()) refuse("is empty, expected uint16 tokens");
  if (bytes.size() % 2 != 0) refuse(fmt::format("{} bytes, expected an even number: its tokens are uint16", bytes.size()));
  constexpr int64_t kLooked = 4096, kFewest = 256, kHighestHalf = 3;  // vocabularies of up to 2^18
  const int64_t pairs = std::min(kLooked, file_.size() / 4);
  int64_t small_second = 0, small_first = 0;
  for (int64_t i = 0; i < pairs; ++i) {
    small_first += load<uint16_t>(file_.data() + 4 * i) <= kHighestHalf;
    small_second += load<uint16_t>(file_.data() + 4 * i + 2) <= kHighestHalf;
  }
  if (pairs >= kFewest && small_second == pairs && small_first < pairs / 2)
    refuse("every second token is below 4: its tokens seem to be uint32, expected nanoGPT's uint16; write them as Megatron or llm.c data");
}

bool TokenFile::recognizes(const std::string& path) {
  try {
    const FileReader file(path);
    std::array<std::byte, 8> head{};
    if (file.size() < kHeaderBytes) return false;
    file.read_at(0, head.data(), head.size());
    const auto magic = load<int32_t>(head.data());
    return is_llmq(head.data()) || magic == kLlmcMagic || magic == kLlmcWideMagic;
  } catch (const InputError&) {
    return false;
  }
}

void TokenFile::read_header() {
  if (file_.size() < kHeaderBytes)
    throw InputError(
        fmt::format("{}: {} bytes, expected a token file of llm.c or llmq, whose header alone takes {} (nanoGPT's: --dataset.kind nanogpt)",
                    path(), file_.size(), kHeaderBytes));
  const auto word = [&](int64_t i) { return load<int32_t>(file_.data() + 4 * i); };
  const auto expect = [&](const char* what, int64_t at, int64_t expected) {
    if (word(at) != expected)
      throw InputError(fmt::format("{}: {} {} in word {} of the header, expected {}", path(), what, word(at), at, expected));
  };
  if (is_llmq(file_.data())) {
    if (word(2) != 1 && word(2) != 2)
      throw InputError(fmt::format("{}: version {} in word 2 of the llmq header, expected 1 or 2", path(), word(2)));
    expect("bytes a token", 3, 4);
    tokens_ = word(4);
    if (word(2) == 2) {
      header_vocab_ = word(5);
      if (header_vocab_ < 0) throw InputError(fmt::format("{}: a vocabulary of {} in word 5 of the header", path(), header_vocab_));
      if (word(6) != 0 && word(6) != 1)
        throw InputError(fmt::format("{}: {} in word 6 of the header (has masks), expected 0 or 1", path(), word(6)));
      has_masks_ = word(6) == 1;
    }
    width_ = 4;
    is_signed_ = true;
    format_ = has_masks_ ? "llmq int32 with masks" : "llmq int32";
  } else if (word(0) == kLlmcMagic) {
    expect("version", 1, kLlmcVersion);
    tokens_ = word(2);
    width_ = 2;
    format_ = "llm.c uint16";
  } else if (word(0) == kLlmcWideMagic) {
    expect("version", 1, kLlmcWideVersion);
    tokens_ = word(2);
    width_ = 4;
    format_ = "llm.c uint32";
  } else {
    throw InputError(
        fmt::format("{}: begins with {}, expected a token file of llm.c (magic {} or {}) or llmq (\"BIN.TOK\"); Megatron's .bin is used "
                    "with its .idx, by their common prefix, and nanoGPT's train.bin with --dataset.kind nanogpt",
                    path(), shown({reinterpret_cast<const char*>(file_.data()), 8}), kLlmcMagic, kLlmcWideMagic));
  }
}

void TokenFile::check_size() {
  if (tokens_ < 0) throw InputError(fmt::format("{}: {} tokens in the header, expected 0 to 2147483647", path(), tokens_));
  const int64_t expected = kHeaderBytes + tokens_ * width_ + (has_masks_ ? (tokens_ + 7) / 8 : 0);
  if (file_.size() != expected) {
    throw InputError(fmt::format("{}: {} bytes, expected {} for a header and {} tokens ({}); the file is {}", path(), file_.size(),
                                 expected, tokens_, format_,
                                 file_.size() < expected ? "truncated" : "damaged, or holds more than its header says"));
  }
  if (header_vocab_ > vocab_size_) {
    throw InputError(fmt::format("{}: made for a vocabulary of {} tokens, but model.vocab_size is {}", path(), header_vocab_, vocab_size_));
  }
}

template <class T>
void TokenFile::copy(int64_t first, int64_t count, int32_t* out) const {
  const std::byte* const from = file_.data() + header_bytes_ + first * static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < count; ++i) {
    const auto token = static_cast<int64_t>(load<T>(from + i * static_cast<int64_t>(sizeof(T))));
    if (token < 0 || token >= vocab_size_) {
      throw InputError(fmt::format(
          "{}: token {} at position {}, expected 0 to {}: the data was made with another tokenizer, or model.vocab_size {} is too small",
          path(), token, first + i, vocab_size_ - 1, vocab_size_));
    }
    out[i] = static_cast<int32_t>(token);
  }
}

void TokenFile::read(int64_t first, int64_t count, int32_t* out) const {
  MBT_CHECK(first >= 0 && count >= 0 && count <= tokens_ - first, "tokens [{}, +{}) of {}", first, count, tokens_);
  file_.check_still_whole();
  file_.will_read(header_bytes_ + first * width_, count * width_);
  if (width_ == 2) return copy<uint16_t>(first, count, out);
  if (is_signed_) return copy<int32_t>(first, count, out);
  copy<uint32_t>(first, count, out);
}

bool TokenFile::is_in_loss(int64_t token) const {
  if (!has_masks_) return true;
  const auto byte = load<uint8_t>(file_.data() + kHeaderBytes + tokens_ * width_ + token / 8);
  return (byte >> (token % 8) & 1) != 0;
}

std::string TokenFile::fingerprint() const {
  constexpr int64_t kPieces = 64, kPieceBytes = 16384;
  XxHash64 hash;
  const int64_t size = file_.size();
  hash.add(&size, sizeof size);
  for (int64_t i = 0; i < kPieces; ++i) {
    const int64_t at = std::max<int64_t>(0, size - kPieceBytes) / (kPieces - 1) * i;
    hash.add(file_.data() + at, static_cast<size_t>(std::min(kPieceBytes, size - at)));
  }
  return hash_text(hash.value());
}

}  // namespace mbt
