// Section "dataset": what to train on.
#pragma once

#include "core/base/fields.h"

namespace mbt {

enum class DatasetKind : uint8_t { automatic, synthetic, text, jsonl, megatron, tokens, nanogpt, sft };
template <>
struct EnumNames<DatasetKind> {
  using enum DatasetKind;
  static constexpr EnumName all[] = {{automatic, "auto"},    {synthetic, "synthetic"}, {text, "text"},       {jsonl, "jsonl"},
                                     {megatron, "megatron"}, {tokens, "tokens"},       {nanogpt, "nanogpt"}, {sft, "sft"}};
  static constexpr EnumName others[] = {{synthetic, "mock"}, {megatron, "indexed"},  {megatron, "megatron-indexed"},
                                        {tokens, "llmc"},    {tokens, "llm.c"},      {tokens, "llmq"},
                                        {jsonl, "json"},     {jsonl, "local-jsonl"}, {sft, "chat"}};
};

/// chat_template.
enum class ChatFormat : uint8_t { chatml, llama3, plain };
template <>
struct EnumNames<ChatFormat> {
  using enum ChatFormat;
  static constexpr EnumName all[] = {{chatml, "chatml"}, {llama3, "llama3"}, {plain, "plain"}};
};

enum class LongExamples : uint8_t { truncate, drop };
template <>
struct EnumNames<LongExamples> {
  using enum LongExamples;
  static constexpr EnumName all[] = {{truncate, "truncate"}, {drop, "drop"}};
};

enum class PackingOrder : uint8_t { first_fit, sequential };
template <>
struct EnumNames<PackingOrder> {
  using enum PackingOrder;
  static constexpr EnumName all[] = {{first_fit, "first_fit"}, {sequential, "sequential"}};
};

struct DatasetConfig {
  DatasetKind kind = DatasetKind::automatic;
  std::string path;
  std::vector<std::string> blend, train_data_path, valid_data_path, test_data_path;
  std::optional<int64_t> seq_length;
  std::string split = "9,1,0";
  std::optional<int64_t> random_seed;
  std::string path_to_cache;
  std::optional<std::string> json_key;
  int64_t max_document_bytes = 256 << 20;
  std::string text_suffixes;
  std::optional<int64_t> eod_token_id;
  bool eod_mask_loss = false;
  bool reset_position_ids = false;
  bool reset_attention_mask = false;
  ChatFormat chat_template = ChatFormat::chatml;
  LongExamples long_examples = LongExamples::truncate;
  PackingOrder packing = PackingOrder::first_fit;
  int64_t synthetic_tokens = 4194304;

  /// Whether batches carry where documents begin, and positions that start again with them.
  bool uses_document_mask() const { return reset_attention_mask || kind == DatasetKind::sft; }
  bool uses_positions() const { return reset_position_ids || kind == DatasetKind::sft; }
  bool is_per_split() const { return !train_data_path.empty() || !valid_data_path.empty() || !test_data_path.empty(); }

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.kind,
      FieldInfo{.name = "kind",
                .doc = "auto: from the files at the path (text and JSON Lines through the tokenizer, Megatron .bin/.idx by their "
                       "prefix, token files of llm.c and llmq); "
                       "without a path, the built-in synthetic language. nanogpt: a folder with train.bin and val.bin of uint16 "
                       "tokens, or one such file. sft: JSON Lines of prompt and completion, of messages, or in the form of Alpaca or "
                       "ShareGPT, packed, with loss on answers only",
                .alias = kNoAlias});
    v(s.path, FieldInfo{.name = "path",
                        .doc = "File, prefix of a .bin/.idx pair, or folder read recursively in sorted order",
                        .alias = kNoAlias,
                        .holds = Holds::path});
    v(s.blend, FieldInfo{.name = "blend",
                         .doc = "Several paths: [path, path] in proportion to their sizes, or [weight, path, weight, path]; upstream's "
                                "[[paths], [weights]] is accepted too",
                         .alias = "data-path",
                         .holds = Holds::path});
    v(s.train_data_path, FieldInfo{.name = "train_data_path",
                                   .doc = "As blend, for training only; split is then not used. Upstream's blend_per_split, [train, "
                                          "valid, test], sets this and the next two",
                                   .holds = Holds::path});
    v(s.valid_data_path, FieldInfo{.name = "valid_data_path", .doc = "As blend, for validation only", .holds = Holds::path});
    v(s.test_data_path, FieldInfo{.name = "test_data_path", .doc = "As blend, for the test split only", .holds = Holds::path});
    v(s.seq_length,
      FieldInfo{.name = "seq_length", .doc = "Must equal model.seq_length when given", .unit = "tokens", .min = 1, .alias = kNoAlias});
    v(s.split, FieldInfo{.name = "split", .doc = "Weights of train, validation and test"});
    v(s.random_seed, FieldInfo{.name = "random_seed", .doc = "Seed of the data order; null: rng.seed", .min = 0, .alias = kNoAlias});
    v(s.path_to_cache, FieldInfo{.name = "path_to_cache",
                                 .doc = "Folder for indices and tokenized text; empty: cache/mbtrain beside the data",
                                 .alias = "data-cache-path",
                                 .holds = Holds::folder});
    v(s.json_key, FieldInfo{.name = "json_key",
                            .doc = "Key of the text in each object of JSON Lines; null: text. When it is set, files that would be read as "
                                   "text are JSON Lines, whatever their names"});
    v(s.max_document_bytes, FieldInfo{.name = "max_document_bytes",
                                      .doc = "Longest line of JSON Lines, and longest text for a tokenizer other than bytes, that is read",
                                      .unit = "bytes",
                                      .min = 1024,
                                      .max = 2147483647});
    v(s.text_suffixes,
      FieldInfo{.name = "text_suffixes", .doc = "Comma list such as .h,.cpp: only these files of a folder; empty: all", .alias = kNoAlias});
    v(s.eod_token_id, FieldInfo{.name = "eod_token_id",
                                .doc = "Token that ends a document; null: the tokenizer's",
                                .min = 0,
                                .max = 2147483647,
                                .alias = kNoAlias});
    v(s.eod_mask_loss, FieldInfo{.name = "eod_mask_loss", .doc = "Leave what follows an end-of-document token out of the loss"});
    v(s.reset_position_ids, FieldInfo{.name = "reset_position_ids", .doc = "Positions restart after an end-of-document token"});
    v(s.reset_attention_mask, FieldInfo{.name = "reset_attention_mask", .doc = "Tokens attend only to their own document"});
    v(s.chat_template, FieldInfo{.name = "chat_template", .doc = "sft: how messages become text; see docs/data.md", .alias = kNoAlias});
    v(s.long_examples,
      FieldInfo{.name = "long_examples", .doc = "sft: what to do with examples longer than seq_length", .alias = kNoAlias});
    v(s.packing, FieldInfo{.name = "packing",
                           .doc = "sft: how examples are packed into sequences: first_fit (fullest sequences) or sequential (file order)",
                           .alias = kNoAlias});
    v(s.synthetic_tokens, FieldInfo{.name = "synthetic_tokens",
                                    .doc = "Size of the synthetic corpus",
                                    .unit = "tokens",
                                    .min = 1024,
                                    .max = 1e12,
                                    .alias = kNoAlias});
  }
};

}  // namespace mbt
