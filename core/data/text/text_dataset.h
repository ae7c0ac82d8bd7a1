// Text files as bytes: one file, or all text files of a folder one after another.
#pragma once

#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/split.h"

namespace mbt {

/// Returns the `files` that hold text and end in one of `suffixes` (comma-separated; empty: any). left_out counts empty and binary files.
std::vector<std::string> usable_text_files(const std::vector<std::string>& files, const std::string& suffixes, int64_t& left_out);

/// Files are opened when a sample needs them: memory holds their names only, and neither their number nor their size has a limit.
class TextDataset final : public Dataset {
 public:
  /// InputError: no such path, not a file or folder, empty, binary (a zero byte in the first 8 KiB), too short for `seq_length`.
  /// In a folder, empty and binary files are left out, and all whose suffix `suffixes` (dataset.text_suffixes) does not list.
  TextDataset(const std::string& path, const std::string& suffixes, int64_t seq_length, const std::array<double, 3>& split);

  int64_t vocab_size() const override { return 256; }
  int64_t seq_length() const override { return seq_length_; }
  int64_t num_samples(Split split) const override;
  std::string describe() const override;
  /// Of the whole text; of a long one, of the beginning and the end of each file.
  std::string fingerprint() const override;
  void sample(Split split, int64_t index, Sample& out) const override;

 private:
  struct File {
    std::string path;
    int64_t begin;  ///< position of its first byte in the text
  };

  void add(const std::string& path, bool skip_unusable);
  void check_lengths() const;

  std::string path_;
  int64_t seq_length_;
  std::vector<File> files_;
  int64_t size_ = 0, left_out_ = 0;
  std::array<double, 3> weights_;
  std::array<SplitRange, 3> ranges_;
};

}  // namespace mbt
