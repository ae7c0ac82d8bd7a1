#include "core/data/sft/sft_dataset.h"

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/data/megatron/indexed_writer.h"
#include "core/data/sft/chat_template.h"
#include "core/data/sft/example_forms.h"
#include "core/data/text/document_source.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

ChatExample encode_line(const RawDocument& line, const ChatTemplate& chat) {
  const JsonDocument document = object_of(line);
  try {
    return chat.encode(chat_example(document));
  } catch (const InputError& e) {
    const std::string what = e.what();
    if (what.starts_with(line.where())) throw;
    throw InputError(fmt::format("{}: {}", line.where(), what));
  }
}

/// PREFIX.tokens and PREFIX.mask, a sequence for each example; the tokens' index comes last.
void write_examples(const std::vector<std::string>& files, const Tokenizer& tokenizer, const SftOptions& options,
                    const std::string& prefix) {
  const ChatTemplate chat(options.chat_template, tokenizer, options.end_of_text);
  DocumentSource lines({.inputs = files,
                        .kind = DocumentKind::jsonl,
                        .max_document_bytes = options.max_document_bytes,
                        .limit_hint = "raise dataset.max_document_bytes, or shorten it"});
  IndexedWriter tokens(prefix + ".tokens", dtype_for_vocab(tokenizer.vocab_size())), masks(prefix + ".mask", IndexedDtype::uint8);
  while (const auto line = lines.next()) {
    const ChatExample example = encode_line(*line, chat);
    tokens.add_document(example.tokens);
    masks.add_document(example.in_loss);
  }
  masks.finish();
  tokens.finish();
}

}  // namespace

SftDataset::SftDataset(const std::vector<std::string>& files, const Tokenizer& tokenizer, const SftOptions& options)
    : options_(options),
      source_(files.front() + (files.size() > 1 ? fmt::format(" and {} more", files.size() - 1) : "")),
      filler_(options.end_of_text.value_or(0)) {
  const std::string settings =
      fmt::format("sft 4;{};{};{}", name_of(options.chat_template), options.end_of_text.value_or(-1), hash_text(tokenizer.fingerprint()));
  const std::string prefix = cached_prefix(files, settings, options.cache, fs::path(files.front()).filename().string(),
                                           {".tokens", ".mask"}, [&](const std::string& to) {
                                             write_examples(files, tokenizer, options, to);
                                             return 0;
                                           });
  tokens_ = std::make_unique<IndexedReader>(prefix + ".tokens", options.vocab_size);
  masks_ = std::make_unique<IndexedReader>(prefix + ".mask", 2);
  const int64_t examples = tokens_->num_sequences();
  bool agrees = masks_->num_sequences() == examples;
  for (int64_t e = 0; e < examples && agrees; ++e) agrees = masks_->length(e) == tokens_->length(e);
  if (!agrees) throw InputError(fmt::format("{}: tokens and masks in the cache do not belong together; delete them", prefix));
  const auto ranges = split_ranges(options.split, examples);
  for (const Split split : kSplits) {
    splits_[static_cast<size_t>(split)].examples = ranges[static_cast<size_t>(split)];
    pack(split);
  }
}

/// Tokens of the example that go into a row; 0: it is left out.
int32_t SftDataset::used_length(int64_t example) {
  const int64_t length = tokens_->length(example), most = options_.seq_length + 1;
  if (length <= most) return static_cast<int32_t>(length);
  std::vector<int32_t> mask(static_cast<size_t>(most));
  masks_->read(example, 0, most, mask.data());
  const bool has_answer = std::any_of(mask.begin() + 1, mask.end(), [](int32_t m) { return m != 0; });
  const bool is_kept = options_.long_examples == LongExamples::truncate && has_answer;
  ++(is_kept ? truncated_ : dropped_);
  return is_kept ? static_cast<int32_t>(most) : 0;
}

void SftDataset::pack(Split split) {
  Rows& rows = splits_[static_cast<size_t>(split)];
  std::vector<int32_t> lengths;
  for (int64_t e = 0; e < rows.examples.size; ++e) lengths.push_back(used_length(rows.examples.begin + e));
  const int64_t capacity = options_.seq_length + 1;
  rows.packing = options_.packing == PackingOrder::sequential ? pack_sequentially(lengths, capacity) : pack_first_fit(lengths, capacity);
  for (const int32_t length : lengths) rows.tokens += length;
  if (options_.split[static_cast<size_t>(split)] == 0 || rows.packing.rows() > 0) return;
  throw InputError(
      fmt::format("{}: dataset.split leaves {} of {} examples for {}{}, which make no sample; give more examples, another split or a "
                  "longer model.seq_length",
                  source_, rows.examples.size, tokens_->num_sequences(), name_of(split),
                  dropped_ > 0 ? fmt::format(" ({} are too long)", dropped_) : ""));
}

std::string SftDataset::describe() const {
  int64_t rows = 0, tokens = 0;
  for (const Rows& r : splits_) rows += r.packing.rows(), tokens += r.tokens;
  const double fill = rows > 0 ? 100.0 * static_cast<double>(tokens) / static_cast<double>(rows * (options_.seq_length + 1)) : 0.0;
  return fmt::format(
      "{}: {} examples ({}), {} tokens, {} too long and truncated, {} too long and dropped; packed into {} + {} + {} samples of {} tokens "
      "(train + valid + test), {} % full",
      source_, tokens_->num_sequences(), name_of(options_.chat_template), tokens_->num_tokens(), truncated_, dropped_,
      num_samples(Split::train), num_samples(Split::valid), num_samples(Split::test), options_.seq_length, static_cast<int>(fill + 0.5));
}

void SftDataset::sample(Split split, int64_t index, Sample& out) const {
  const Rows& rows = splits_[static_cast<size_t>(split)];
  MBT_CHECK(index >= 0 && index < rows.packing.rows(), "sample {} of {}", index, rows.packing.rows());
  const int64_t seq = options_.seq_length, capacity = seq + 1;
  std::fill(out.tokens.begin(), out.tokens.end(), filler_);
  std::fill(out.loss_mask.begin(), out.loss_mask.end(), 0.0F);
  out.document_start.resize(static_cast<size_t>(seq));
  for (int64_t t = 0; t < seq; ++t) out.document_start[static_cast<size_t>(t)] = static_cast<int32_t>(t);  // a filler is alone
  std::vector<int32_t> mask(static_cast<size_t>(capacity));
  int64_t at = 0;
  for (int64_t i = rows.packing.first[static_cast<size_t>(index)]; i < rows.packing.first[static_cast<size_t>(index) + 1]; ++i) {
    const int64_t example = rows.examples.begin + rows.packing.items[static_cast<size_t>(i)];
    const int64_t length = std::min(tokens_->length(example) + int64_t{0}, capacity);
    tokens_->read(example, 0, length, out.tokens.data() + at);
    masks_->read(example, 0, length, mask.data());
    for (int64_t t = 0; t < length; ++t) {
      if (at + t < seq) out.document_start[static_cast<size_t>(at + t)] = static_cast<int32_t>(at);
      if (t > 0) out.loss_mask[static_cast<size_t>(at + t - 1)] = static_cast<float>(mask[static_cast<size_t>(t)]);  // of the target
    }
    out.add_piece({.source = source_, .unit = "example", .number = example, .position = at, .tokens = length});
    at += length;
  }
}

}  // namespace mbt
