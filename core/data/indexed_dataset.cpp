#include "core/data/indexed_dataset.h"

#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "core/base/xxhash.h"
#include "core/data/megatron_order.h"

namespace mbt {
namespace {

constexpr int kOrderVersion = 1;  // of what build_megatron_index computes
enum Array : size_t { kDocuments, kSampleDocuments, kSampleOffsets, kShuffle };

int64_t tokens_of(const IndexedReader& reader, Range sequences) {
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
    throw InputError(text("the seed of the data order is ", options.seed, ", expected 0 to ", std::numeric_limits<uint32_t>::max(),
                          " for Megatron data (numpy's generator takes no other): set dataset.random_seed"));
  }
  if (reader_.num_sequences() > std::numeric_limits<int32_t>::max()) {
    throw InputError(text(reader_.paths().idx, ": ", reader_.num_sequences(), " sequences, expected fewer than 2^31"));
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
    throw InputError(text(prefix, ": dataset.split leaves ", s.sequences.size, " of ", reader_.num_sequences(), " sequences with ",
                          s.tokens, " tokens for ", name_of(split), ", but one sample takes ", options_.seq_length + 1,
                          "; give more data, another split or a shorter model.seq_length"));
  }
  const EpochPlan plan = plan_epochs(s.tokens, s.sequences.size, options_.seq_length, options_.samples[i], prefix);
  const std::string key =
      text("megatron order ", kOrderVersion, "; lengths ", lengths, "; sequences ", s.sequences.begin, "+", s.sequences.size, "; samples ",
           plan.samples, "; epochs ", plan.epochs, "; before final ", plan.separates_final_epoch ? plan.samples_before_final : -1,
           "; seq_length ", options_.seq_length, "; seed ", options_.seed);
  const auto build = [&] {
    MegatronIndex index = build_megatron_index(
        plan, s.sequences, [&](int64_t sequence) { return reader_.length(sequence); }, options_.seq_length, options_.seed);
    std::vector<IndexArray> arrays;
    arrays.emplace_back(std::move(index.document_index));
    arrays.emplace_back(std::move(index.sample_document));
    arrays.emplace_back(std::move(index.sample_offset));
    arrays.emplace_back(std::move(index.shuffle_index));
    return arrays;
  };
  const std::string name = std::filesystem::path(prefix).filename().string();
  s.index = std::make_shared<IndexArrays>(cached_arrays(cache_folder(options_.path_to_cache, prefix), name, key,
                                                        plan.epochs * s.sequences.size * 4 + plan.samples * 16, build));
  const auto elements = [&](size_t array, size_t size) { return s.index->size() > array && s.index->get<std::byte>(array).size() == size; };
  const auto samples = static_cast<size_t>(plan.samples);
  if (!elements(kDocuments, static_cast<size_t>(plan.epochs * s.sequences.size) * 4) || !elements(kSampleDocuments, (samples + 1) * 8) ||
      !elements(kSampleOffsets, (samples + 1) * 4) || !elements(kShuffle, samples * 4)) {
    refuse_index(split, 0);
  }
  s.samples = plan.samples;
  s.epochs = plan.epochs;
}

std::string IndexedDataset::describe() const {
  std::string out = text(reader_.paths().prefix, ": Megatron indexed, ", reader_.num_documents(), " documents, ", reader_.num_tokens(),
                         " tokens of ", name_of(reader_.dtype()), ";");
  for (const Split split : kSplits) {
    const Samples& s = splits_[static_cast<size_t>(split)];
    out += text(split == Split::train ? " " : " + ", s.samples);
    if (s.epochs > 1) out += text(" (", s.epochs, " epochs)");
  }
  return out + text(" samples of ", options_.seq_length, " tokens (train + valid + test)");
}

void IndexedDataset::refuse_index(Split split, int64_t index) const {
  throw InputError(text(reader_.paths().prefix, ": the cached index of ", name_of(split), " points outside the data at sample ", index,
                        "; delete it (dataset.path_to_cache, or the folder cache/mbtrain beside the data)"));
}

void IndexedDataset::sample(Split split, int64_t index, Sample& out) const {
  const Samples& s = splits_[static_cast<size_t>(split)];
  MBT_CHECK(s.index && index >= 0 && index < s.samples, "sample ", index, " of ", s.samples);
  const auto documents = s.index->get<int32_t>(kDocuments);
  const auto first_document = s.index->get<int64_t>(kSampleDocuments);
  const auto first_offset = s.index->get<int32_t>(kSampleOffsets);
  const auto n = static_cast<size_t>(s.index->get<uint32_t>(kShuffle)[static_cast<size_t>(index)]);
  if (n >= static_cast<size_t>(s.samples)) refuse_index(split, index);
  int64_t document = first_document[n], offset = first_offset[n], filled = 0;
  const int64_t wanted = options_.seq_length + 1;
  for (; filled < wanted; ++document, offset = 0) {
    if (document < 0 || document >= static_cast<int64_t>(documents.size())) refuse_index(split, index);
    const int64_t sequence = documents[static_cast<size_t>(document)];
    if (sequence < 0 || sequence >= reader_.num_sequences() || offset < 0 || offset > reader_.length(sequence)) refuse_index(split, index);
    const int64_t count = std::min(wanted - filled, reader_.length(sequence) - offset);
    if (count == 0) continue;
    reader_.read(sequence, offset, count, out.tokens.data() + filled);
    out.add_piece(
        {.source = reader_.paths().prefix, .unit = "sequence", .number = sequence, .offset = offset, .position = filled, .tokens = count});
    filled += count;
  }
}

}  // namespace mbt
