// mbtrain tokenizer: what a tokenizer is, and a new one from texts.
#include <algorithm>
#include <cstdio>
#include <thread>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/xxhash.h"
#include "core/data/text/document_source.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/tokenizer/sentencepiece_trainer.h"
#include "core/tokenizer/unicode/unicode.h"

namespace mbt {
namespace {

std::string shown_id(const std::optional<int32_t>& id) { return id ? std::to_string(*id) : "none"; }

int show_tokenizer(const std::vector<std::string>& args) {
  VerbOptions options("Show a tokenizer: vocabulary, special tokens, fingerprint", "mbtrain tokenizer show");
  std::string path;
  options.add_option("TOKENIZER", path, "tokenizer.json, SentencePiece model, folder with one of them, or `bytes`")
      .required()
      .called("TOKENIZER");
  options.parse(args);
  const auto tokenizer = path == "bytes" ? make_byte_tokenizer() : open_tokenizer(path);
  std::printf("%s\nbos %s, eos %s, end of document %s\nfingerprint %s\n", tokenizer->describe().c_str(),
              shown_id(tokenizer->bos_id()).c_str(), shown_id(tokenizer->eos_id()).c_str(), shown_id(tokenizer->eod_id()).c_str(),
              hash_text(tokenizer->fingerprint()).c_str());
  return 0;
}

/// Lines of the texts of all documents.
class LineSource {
 public:
  LineSource(const DocumentSourceOptions& options, std::string json_key) : source_(options), json_key_(std::move(json_key)) {}

  std::optional<std::string> next() {
    while (begin_ > text_.size()) {
      auto document = source_.next();
      if (!document) return std::nullopt;
      text_ = document->kind == DocumentKind::jsonl ? text_under(object_of(*document), json_key_, *document, "--json-key")
                                                    : std::move(document->bytes);
      const size_t wrong = find_invalid_utf8(text_);
      if (wrong != std::string::npos) throw InputError(fmt::format("{}: byte {} is not UTF-8", document->where(), wrong));
      begin_ = 0;
    }
    const size_t end = std::min(text_.find('\n', begin_), text_.size());
    std::string line = text_.substr(begin_, end - begin_);
    begin_ = end + 1;
    return line;
  }

 private:
  DocumentSource source_;
  std::string json_key_, text_;
  size_t begin_ = 1;  ///< of the next line in text_; beyond its end: there is none
};

int train(const std::vector<std::string>& args) {
  VerbOptions options(
      "Train a SentencePiece model on files and folders\n\n"
      "  mbtrain tokenizer train --input ~/texts --vocab-size 8000 --output tokenizer.model\n\n"
      "Defaults are those of Llama 2's tokenizer: BPE, digits one by one, bytes for rare characters, no normalization.",
      "mbtrain tokenizer train");
  SentencePieceTraining t;
  t.num_threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  DocumentSourceOptions source{.inputs = {}, .kind = {}, .plain = DocumentKind::line, .limit_hint = "cut it into smaller ones"};
  std::string output, json_key = "text";
  options
      .add_option("--input", source.inputs,
                  "Files and folders; - is standard input: lines, or with --json-key JSON Lines, whatever they are called")
      .required()
      .called("PATH");
  options.add_option("--output", output, "Model file to write").required().called("FILE");
  options.add_option("--vocab-size", t.vocab_size, "Size of the vocabulary, the special tokens included")
      .range(int64_t{2}, int64_t{1} << 24)
      .with_default_shown();
  options.add_option("--model-type", t.model_type, "How pieces are chosen").one_of({"bpe", "unigram", "char", "word"}).with_default_shown();
  options.add_option("--character-coverage", t.character_coverage, "Share of the characters that get a piece of their own")
      .range(0.5, 1.0)
      .with_default_shown();
  options.add_option("--byte-fallback", t.byte_fallback, "Pieces for all bytes, used for rare characters").with_default_shown();
  options.add_option("--split-digits", t.split_digits, "Split numbers into single digits").with_default_shown();
  options
      .add_option("--normalization-rule-name", t.normalization_rule_name,
                  "How texts are normalized: identity (not at all) or Unicode NFKC (nmt_: normalizes blanks too; _cf: to lower case)")
      .one_of({"identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"})
      .with_default_shown();
  options.add_option("--user-defined-symbols", t.user_defined_symbols, "Comma-separated texts that are always one piece").separated_by(',');
  options
      .add_option("--input-sentence-size", t.input_sentence_size,
                  "Number of lines to train on, chosen at random; bounds memory; 0: all lines")
      .at_least_zero()
      .with_default_shown();
  options.add_option("--max-sentence-length", t.max_sentence_length, "Longest line in bytes; longer lines are left out")
      .range(int64_t{1}, int64_t{1} << 30)
      .with_default_shown();
  const VerbOption key = options.add_option("--json-key", json_key, "Key of JSONL whose strings are the texts; default: text");
  options.add_option("--workers", t.num_threads, "Threads; default: one a processor").range(1, 1024);
  options.add_flag("--log", t.log, "Print the library's own messages");
  options.parse(args);
  source.takes_streams = true;
  source.stream_kind = DocumentKind::line;
  if (key.is_given()) source.kind = DocumentKind::jsonl;
  LineSource lines(source, json_key);
  const std::string model = train_sentencepiece(t, [&] { return lines.next(); });
  write_file_atomically(output, model);
  return show_tokenizer({output});
}

}  // namespace

int cmd_tokenizer(const std::vector<std::string>& args) {
  constexpr SubVerb kActions[] = {
      {"show", "vocabulary, special tokens, fingerprint", show_tokenizer},
      {"train", "a SentencePiece model, from texts", train},
  };
  return run_sub_verb("tokenizer", "Show a tokenizer, or train one", kActions, args);
}

}  // namespace mbt
