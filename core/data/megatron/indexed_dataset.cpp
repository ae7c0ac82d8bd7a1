#include "core/data/megatron/indexed_dataset.h"

#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "core/base/xxhash.h"
#include "core/data/megatron/megatron_order.h"

namespace mbt {
namespace {

constexpr int kOrderVersion = 2;  // of what build_megatron_index and first_samples_read compute
enum Array : size_t { kSequences, kSampleSequences, kSampleOffsets, kArrays };

int64_t tokens_of(const IndexedReader& reader, SplitRange sequences) {
  int64_t tokens = 0;
  for (int64_t s = sequences.begin; s < sequences.begin + sequences.size; ++s) tokens += reader.length(s);
  return tokens;
}

/// The order depends on the lengths alone, not on where the file lies or when it was written.
std::string hash_of_lengths(const IndexedReader& reader) {
  XxHash64 hash;
  for (int64_t s = 0; s < reader.num_sequences(); ++s) {
    const int32_t length = reader.length(s);
    hash.add(&length, sizeof length);
  }
  return hash_text(hash.value());
}

}  // namespace

IndexedDataset::IndexedDataset(const std::string& prefix, const IndexedOptions& options)
    : reader_(prefix, options.vocab_size), options_(options) {
  if (options.seed < 0 || options.seed > std::numeric_limits<uint32_t>::max()) {
    throw InputError(fmt::format(
        "the seed of the data order is {}, expected 0 to {} for Megatron data (the range of numpy's generator): set dataset.random_seed",
        options.seed, std::numeric_limits<uint32_t>::max()));
  }
  if (reader_.num_sequences() > std::numeric_limits<int32_t>::max()) {
    throw InputError(fmt::format("{}: {} sequences, expected fewer than 2^31", reader_.paths().idx, reader_.num_sequences()));
  }
  const auto ranges = megatron_split_ranges(options.split, reader_.num_sequences());
  const std::string lengths = hash_of_lengths(reader_);
  for (const Split split : kSplits) {
    splits_[static_cast<size_t>(split)].sequences = ranges[static_cast<size_t>(split)];
    if (options.split[static_cast<size_t>(split)] > 0) build(split, lengths);
  }
}

void IndexedDataset::build(Split split, const std::string& lengths) {
  const auto i = static_cast<size_t>(split);
  Samples& s = splits_[i];
  if (options_.samples[i] == 0) return;  // nothing of it will be read
  const std::string& prefix = reader_.paths().prefix;
  s.tokens = tokens_of(reader_, s.sequences);
  const bool is_one_epoch = !options_.samples[i];
  if (s.tokens == 0 || (is_one_epoch && s.tokens <= options_.seq_length)) {
    throw InputError(
        fmt::format("{}: dataset.split leaves {} of {} sequences with {} tokens for {}, but one sample takes {}; give more data, another "
                    "split or a shorter model.seq_length",
                    name(), s.sequences.size, reader_.num_sequences(), s.tokens, name_of(split), options_.seq_length + 1));
  }
  const EpochPlan plan = plan_epochs(s.tokens, s.sequences.size, options_.seq_length, options_.samples[i], prefix);
  s.available = plan.samples;
  s.samples = std::min(plan.samples, options_.samples[i].value_or(plan.samples));
  s.epochs = plan.epochs;
  if (!options_.makes_order) return;
  const std::string key =
      fmt::format("megatron order {}; lengths {}; sequences {}+{}; samples {}; read {}; epochs {}; before final {}; seq_length {}; seed {}",
                  kOrderVersion, lengths, s.sequences.begin, s.sequences.size, plan.samples, s.samples, plan.epochs,
                  plan.separates_final_epoch ? plan.samples_before_final : -1, options_.seq_length, options_.seed);
  const auto build = [&] {
    const auto length = [&](int64_t sequence) { return reader_.length(sequence); };
    SamplesRead read = first_samples_read(build_megatron_index(plan, s.sequences, length, options_.seq_length, options_.seed), s.samples);
    std::vector<IndexArray> arrays;
    arrays.emplace_back(std::move(read.sequences));
    arrays.emplace_back(std::move(read.sample_sequence));
    arrays.emplace_back(std::move(read.sample_offset));
    return arrays;
  };
  const int64_t work = plan.epochs * s.sequences.size * 4 + plan.samples * 16;
  // Tokens in a cache have their index beside them.
  CacheFolder cache = cache_folder(options_.path_to_cache, prefix);
  if (!options_.made_from.empty() && !cache.is_wanted) cache.path = std::filesystem::path(prefix).parent_path().string();
  const std::string file = std::filesystem::path(prefix).filename().string();
  s.index = std::make_shared<IndexArrays>(cached_arrays(cache, file, key, work, build));
  const auto size_of_array = [&](size_t array) { return s.index->get<std::byte>(array).size(); };
  const auto expected = static_cast<size_t>(s.samples) * 4;
  if (s.index->size() != kArrays || size_of_array(kSequences) % 4 != 0 || size_of_array(kSampleSequences) != expected ||
      size_of_array(kSampleOffsets) != expected) {
    refuse_index(split, 0);
  }
}

std::string IndexedDataset::describe() const {
  const std::string left_out = options_.empty_texts > 0
                                   ? fmt::format(" ({} empty text{} left out)", options_.empty_texts, options_.empty_texts == 1 ? "" : "s")
                                   : "";
  std::string out = fmt::format("{}{}{} documents{}, {} tokens of {};", name(),
                                options_.made_from.empty() ? ": Megatron indexed, " : ": as tokens in " + reader_.paths().prefix + ", ",
                                reader_.num_documents(), left_out, reader_.num_tokens(), name_of(reader_.dtype()));
  for (const Split split : kSplits) {
    const Samples& s = splits_[static_cast<size_t>(split)];
    out += fmt::format("{}{}", split == Split::train ? " " : " + ", s.available);
    if (s.epochs > 1) out += fmt::format(" ({} epochs)", s.epochs);
  }
  return out + fmt::format(" samples of {} tokens (train + valid + test)", options_.seq_length);
}

void IndexedDataset::refuse_index(Split split, int64_t index) const {
  throw InputError(
      fmt::format("{}: the cached index of {} points outside the data at sample {}; delete it (dataset.path_to_cache, or the folder "
                  "cache/mbtrain beside the data)",
                  reader_.paths().prefix, name_of(split), index));
}

void IndexedDataset::sample(Split split, int64_t index, Sample& out) const {
  const Samples& s = splits_[static_cast<size_t>(split)];
  MBT_CHECK(s.index && index >= 0 && index < s.samples, "sample {} of {}", index, s.samples);
  const auto sequences = s.index->get<int32_t>(kSequences);
  size_t at = s.index->get<uint32_t>(kSampleSequences)[static_cast<size_t>(index)];
  int64_t offset = s.index->get<int32_t>(kSampleOffsets)[static_cast<size_t>(index)], filled = 0;
  const int64_t wanted = options_.seq_length + 1;
  for (; filled < wanted; ++at, offset = 0) {
    if (at >= sequences.size()) refuse_index(split, index);
    const int64_t sequence = sequences[at];
    if (sequence < 0 || sequence >= reader_.num_sequences() || offset < 0 || offset > reader_.length(sequence)) refuse_index(split, index);
    const int64_t count = std::min(wanted - filled, reader_.length(sequence) - offset);
    if (count == 0) continue;
    reader_.read(sequence, offset, count, out.tokens.data() + filled);
    out.add_piece({.source = name(), .unit = "sequence", .number = sequence, .offset = offset, .position = filled, .tokens = count});
    filled += count;
  }
}

}  // namespace mbt
