#include "core/data/text/text_dataset.h"

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/xxhash.h"
#include "core/io/files.h"

namespace mbt {
namespace {

std::vector<std::string> parse_suffixes(const std::string& list) {
  std::vector<std::string> suffixes;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const size_t first = list.find_first_not_of(' ', begin), last = list.find_last_not_of(' ', end == 0 ? 0 : end - 1);
    if (first < end) suffixes.push_back(list.substr(first, last + 1 - first));
    begin = end + 1;
  }
  return suffixes;
}

bool wanted(const std::string& path, const std::vector<std::string>& suffixes) {
  return suffixes.empty() || std::any_of(suffixes.begin(), suffixes.end(), [&](const std::string& s) { return path.ends_with(s); });
}

std::string split_text(const std::array<double, 3>& weights) {
  return fmt::format("{},{},{}", to_text(weights[0]), to_text(weights[1]), to_text(weights[2]));
}

/// As git tells binary files from text.
bool is_binary(const FileReader& file) {
  std::string head(static_cast<size_t>(std::min<int64_t>(file.size(), 8192)), ' ');
  file.read_at(0, head.data(), static_cast<int64_t>(head.size()));
  return head.find('\0') != head.npos;
}

}  // namespace

std::vector<std::string> usable_text_files(const std::vector<std::string>& files, const std::string& suffixes, int64_t& left_out) {
  const auto endings = parse_suffixes(suffixes);
  std::vector<std::string> usable;
  for (const std::string& path : files) {
    if (!wanted(path, endings)) continue;
    const FileReader file(path);
    if (file.size() == 0 || is_binary(file)) ++left_out;
    else usable.push_back(path);
  }
  return usable;
}

TextDataset::TextDataset(const std::string& path, const std::string& wanted_suffixes, int64_t seq_length,
                         const std::array<double, 3>& split)
    : path_(path), seq_length_(seq_length), weights_(split) {
  if (std::error_code error; std::filesystem::is_directory(path_, error)) {
    const auto suffixes = parse_suffixes(wanted_suffixes);
    for (const std::string& file : list_files_recursive(path_)) {
      if (wanted(file, suffixes)) add(file, true);
    }
    if (files_.empty()) {
      const std::string kind = suffixes.empty() ? "" : fmt::format(" that ends in {}", wanted_suffixes);
      throw InputError(fmt::format("dataset.path {}: the folder holds no text file{} ({} empty or binary)", path_, kind, left_out_));
    }
  } else {
    add(path_, false);
  }
  ranges_ = split_ranges(weights_, size_);
  check_lengths();
}

void TextDataset::add(const std::string& path, bool skip_unusable) {
  const FileReader file(path);
  const bool empty = file.size() == 0;
  if (empty || is_binary(file)) {
    if (!skip_unusable)
      throw InputError(fmt::format("dataset.path {}: is {}, expected text", path, empty ? "empty" : "binary (holds zero bytes)"));
    ++left_out_;
    return;
  }
  files_.push_back({path, size_});
  size_ += file.size();
}

void TextDataset::check_lengths() const {
  for (Split split : kSplits) {
    const size_t i = static_cast<size_t>(split);
    if (weights_[i] == 0 || num_samples(split) > 0) continue;
    throw InputError(fmt::format(
        "dataset.path {}: {} tokens split {} leave {} for {}, but one sample takes {}: give more text, a shorter model.seq_length{}", path_,
        size_, split_text(weights_), ranges_[i].size, name_of(split), seq_length_ + 1,
        split == Split::train ? "" : ", or dataset.split 1,0,0 to train without evaluation"));
  }
}

int64_t TextDataset::num_samples(Split split) const {
  return std::max<int64_t>(0, (ranges_[static_cast<size_t>(split)].size - 1) / seq_length_);  // the last target is one token further
}

std::string TextDataset::describe() const {
  std::string s = fmt::format("{}: {}{}{} bytes", path_, files_.size(), files_.size() == 1 ? " file, " : " files, ", size_);
  if (left_out_ > 0) s += fmt::format(" ({} empty or binary files left out)", left_out_);
  return s + fmt::format("; {} + {} + {} samples of {} bytes (train + valid + test)", num_samples(Split::train), num_samples(Split::valid),
                         num_samples(Split::test), seq_length_);
}

std::string TextDataset::fingerprint() const {
  constexpr int64_t kLong = int64_t{1} << 30, kEnd = 1 << 20;
  XxHash64 hash;
  std::vector<char> buffer(kEnd);
  const auto add = [&](const FileReader& file, int64_t first, int64_t end) {
    for (int64_t at = first; at < end; at += kEnd) {
      const int64_t count = std::min(kEnd, end - at);
      file.read_at(at, buffer.data(), count);
      hash.add(buffer.data(), static_cast<size_t>(count));
    }
  };
  for (const File& f : files_) {
    const FileReader file(f.path);
    const int64_t size = file.size();
    hash.add(&size, sizeof size);
    if (size_ <= kLong) add(file, 0, size);
    else add(file, 0, std::min(kEnd, size)), add(file, std::max(int64_t{0}, size - kEnd), size);
  }
  return hash_text(hash.value());
}

void TextDataset::sample(Split split, int64_t index, Sample& out) const {
  int64_t position = ranges_[static_cast<size_t>(split)].begin + index * seq_length_, missing = seq_length_ + 1;
  std::vector<unsigned char> bytes;
  auto tokens = out.tokens.begin();
  auto file = std::upper_bound(files_.begin(), files_.end(), position, [](int64_t p, const File& f) { return p < f.begin; }) - 1;
  for (; missing > 0; ++file) {
    const int64_t end = file + 1 == files_.end() ? size_ : (file + 1)->begin;
    const int64_t count = std::min(missing, end - position);
    bytes.resize(static_cast<size_t>(count));
    FileReader(file->path).read_at(position - file->begin, bytes.data(), count);
    out.add_piece({.source = file->path,
                   .unit = "file",
                   .number = file - files_.begin(),
                   .offset = position - file->begin,
                   .position = tokens - out.tokens.begin(),
                   .tokens = count});
    tokens = std::copy(bytes.begin(), bytes.end(), tokens);
    position += count;
    missing -= count;
  }
}

}  // namespace mbt
