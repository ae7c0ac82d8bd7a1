#include "core/data/token_dataset.h"

#include <algorithm>

#include "core/base/error.h"

namespace mbt {

TokenDataset::TokenDataset(const std::vector<std::string>& files, int64_t seq_length, const std::array<double, 3>& split,
                           int64_t vocab_size, TokenLayout layout)
    : seq_length_(seq_length), vocab_size_(vocab_size), first_sample_{0} {
  MBT_CHECK(!files.empty(), "no token files");
  for (const std::string& path : files) {
    files_.emplace_back(path, vocab_size, layout);
    const int64_t tokens = files_.back().num_tokens();
    tokens_ += tokens;
    first_sample_.push_back(first_sample_.back() +
                            std::max<int64_t>(0, (tokens - 1) / seq_length));  // the last target is one token further
  }
  ranges_ = split_ranges(split, first_sample_.back());
  for (const Split s : kSplits) {
    const auto i = static_cast<size_t>(s);
    if (split[i] == 0 || ranges_[i].size > 0) continue;
    throw InputError(
        fmt::format("{}{}: {} tokens are {} samples of {}, of which dataset.split leaves none for {}; give more data, another split or a "
                    "shorter model.seq_length",
                    files.front(), files.size() > 1 ? fmt::format(" and {} more files", files.size() - 1) : "", tokens_,
                    first_sample_.back(), seq_length, name_of(s)));
  }
}

std::string TokenDataset::describe() const {
  return fmt::format("{}{}: {}, {} tokens; {} + {} + {} samples of {} tokens (train + valid + test)", files_.front().path(),
                     files_.size() > 1 ? fmt::format(" to {}, {} files", files_.back().path(), files_.size()) : "", files_.front().format(),
                     tokens_, ranges_[0].size, ranges_[1].size, ranges_[2].size, seq_length_);
}

std::string TokenDataset::fingerprint() const {
  std::string out;
  for (const TokenFile& file : files_) out += file.fingerprint();
  return out;
}

void TokenDataset::sample(Split split, int64_t index, Sample& out) const {
  const SplitRange range = ranges_[static_cast<size_t>(split)];
  MBT_CHECK(index >= 0 && index < range.size, "sample {} of {}", index, range.size);
  const int64_t n = range.begin + index;
  const auto f = static_cast<size_t>(std::upper_bound(first_sample_.begin(), first_sample_.end(), n) - first_sample_.begin() - 1);
  const TokenFile& file = files_[f];
  const int64_t first = (n - first_sample_[f]) * seq_length_;
  file.read(first, seq_length_ + 1, out.tokens.data());
  for (int64_t t = 0; t < seq_length_ && file.has_masks(); ++t)
    out.loss_mask[static_cast<size_t>(t)] = file.is_in_loss(first + t + 1) ? 1.0F : 0.0F;
  out.add_piece({.source = file.path(), .unit = "file", .number = static_cast<int64_t>(f), .offset = first, .tokens = seq_length_ + 1});
}

}  // namespace mbt
