// mbtrain tokenize: text to tokens, on stdout or as training data, and back.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/progress_line.h"
#include "apps/mbtrain/stop_signals.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/data/megatron/indexed_writer.h"
#include "core/data/text/tokenize_documents.h"
#include "core/tokenizer/open_tokenizer.h"

namespace mbt {
namespace {

constexpr const char* kTokenizeDescription =
    "Turn text into tokens\n\n"
    "  mbtrain tokenize --tokenizer DIR --input docs.jsonl --json-key text --output data/train --append-eod\n"
    "  mbtrain tokenize --tokenizer tokenizer.json --input cases.jsonl --print-ids\n"
    "  mbtrain tokenize --tokenizer tokenizer.json --input ids.jsonl --decode\n"
    "  zcat docs.jsonl.gz | mbtrain tokenize --tokenizer DIR --input - --json-key text --output data/train --append-eod\n\n"
    "Writes PREFIX.bin and PREFIX.idx, Megatron's indexed data (with several keys a pair for each, PREFIX_KEY.bin), which appear when they "
    "are\n"
    "complete; uint16 when the vocabulary has less than 65500 tokens, else int32. Documents keep the order of the input. Texts must be "
    "UTF-8,\n"
    "but for the tokenizer `bytes`. An empty text is no document: it is left out, and counted.";

using Clock = std::chrono::steady_clock;

struct TokenizeArguments {
  std::string tokenizer, output, kind = "auto", eod_token;
  DocumentSourceOptions source;
  TokenizeOptions tokenize;
  bool append_eod = false, print_ids = false, decode = false, keep_special_tokens = false, quiet = false;
};

void show(ProgressLine& line, int64_t done, std::optional<int64_t> total, int64_t tokens) {
  if (!line.is_due()) return;
  const double rate = static_cast<double>(done) / line.seconds(),
               left = rate > 0 ? static_cast<double>(total.value_or(0) - done) / rate : 0;
  const double share = total && *total > 0 ? static_cast<double>(done) / static_cast<double>(*total) : 1.0;
  line.show(fmt::format("{}{}{}MB  {}{}{}", total ? fmt::format("{}{}", progress_bar(share), formatted(" %5.1f %%  ", 100 * share)) : "",
                        formatted("%.1f ", static_cast<double>(done) * 1e-6),
                        total ? formatted("of %.1f ", static_cast<double>(*total) * 1e-6) : "",
                        formatted("%.1f M tokens  ", static_cast<double>(tokens) * 1e-6), formatted("%.1f MB/s", rate * 1e-6),
                        total ? "  " + time_left(left) : ""));
}

/// --json-key was given: the input is JSON Lines, whatever it is called.
void use_json_keys(TokenizeArguments& o) {
  const std::vector<std::string>& keys = o.tokenize.json_keys;
  if (o.kind == "file" || o.kind == "line")
    throw InputError(fmt::format("--json-key {} and --document {} contradict each other: a key is that of JSON objects, --document jsonl",
                                 shown(keys.front()), o.kind));
  for (auto key = keys.begin(); key != keys.end(); ++key)
    if (std::find(keys.begin(), key, *key) != key)
      throw InputError(fmt::format("--json-key: {} is given twice; name each key once", shown(*key)));
  o.kind = "jsonl";
}

TokenizeArguments parse_tokenize(const std::vector<std::string>& args) {
  VerbOptions options(kTokenizeDescription, "mbtrain tokenize");
  TokenizeArguments o;
  o.tokenize.workers = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options
      .add_option("--tokenizer,--tokenizer-model", o.tokenizer, "tokenizer.json, SentencePiece model, folder with one of them, or `bytes`")
      .required()
      .called("TOKENIZER");
  options.add_option("--input", o.source.inputs, "Files, folders (read in byte order of the paths), pipes; - reads standard input")
      .required()
      .called("PATH");
  options.add_option("--output,--output-prefix", o.output, "Write PREFIX.bin and PREFIX.idx: Megatron's indexed data").called("PREFIX");
  options.add_flag("--print-ids", o.print_ids, "Print each text's tokens as a JSON array on a line");
  options.add_flag("--decode", o.decode,
                   "Tokens to text: each line is a JSON array of tokens, or an object with one under --json-key; prints JSON strings");
  options
      .add_option("--document", o.kind,
                  "What a document is: file, line, jsonl (a JSON object a line), or auto: jsonl with --json-key, whatever the files are "
                  "called, and "
                  "for .jsonl and .ndjson; else file")
      .one_of({"auto", "file", "line", "jsonl"});
  const VerbOption keys = options.add_option("--json-key,--json-keys", o.tokenize.json_keys,
                                             "Keys of JSON objects whose strings are the texts, an object a line; default: text");
  options.add_flag("--append-eod", o.append_eod, "End each document with the tokenizer's end-of-document token");
  options.add_option("--eod-token", o.eod_token, "End each document with this token: its id, or its name in the vocabulary");
  options.add_flag("--add-special-tokens", o.tokenize.add_special_tokens,
                   "Add the special tokens that the tokenizer puts around a text (Llama 3: <|begin_of_text|> at the start)");
  options.add_flag("--keep-special-tokens", o.keep_special_tokens, "With --decode: keep special tokens in the text");
  options.add_option("--workers", o.tokenize.workers, "Threads that tokenize; default: one per processor").range(1, 1024);
  options
      .add_option("--max-document-bytes", o.source.max_document_bytes,
                  "Bounds memory: longer lines are rejected; larger files are read in pieces, or rejected when their tokens "
                  "must be in one piece (--print-ids, --add-special-tokens)")
      .range(int64_t{1}, int64_t{1} << 40)
      .with_default_shown();
  options.add_flag("--quiet", o.quiet, "No progress and no summary");
  options.parse(args);
  if ((o.print_ids ? 1 : 0) + (o.decode ? 1 : 0) + (o.output.empty() ? 0 : 1) != 1)
    throw InputError("tokenize: expected one of --output PREFIX, --print-ids and --decode");
  o.source.takes_streams = true;
  o.tokenize.leaves_out_empty = !o.print_ids;
  if (keys.is_given()) use_json_keys(o);
  o.source.splits_files = !o.print_ids && !o.tokenize.add_special_tokens;
  o.source.stop = &StopSignals::came();
  if (o.kind != "auto") o.source.kind = o.kind == "file" ? DocumentKind::file : o.kind == "line" ? DocumentKind::line : DocumentKind::jsonl;
  return o;
}

void print_ids(std::span<const int32_t> ids) {
  std::string line = "[";
  char digits[16];
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) line += ", ";
    line.append(digits, std::to_chars(digits, digits + sizeof digits, ids[i]).ptr);
  }
  line += "]\n";
  print_out(line);
}

/// InputError: no such token.
std::optional<int32_t> eod_of(const TokenizeArguments& o, const Tokenizer& tokenizer) {
  if (o.eod_token.empty()) {
    if (o.append_eod && !tokenizer.eod_id())
      throw InputError(
          fmt::format("--append-eod: the tokenizer has no token that ends documents ({}); name one with --eod-token, by its id or by what "
                      "the vocabulary calls it",
                      tokenizer.describe()));
    return o.append_eod ? tokenizer.eod_id() : std::nullopt;
  }
  int64_t id = 0;
  if (parse_integer(o.eod_token, id) == ParseResult::malformed) {
    if (const auto found = tokenizer.token_id(o.eod_token)) return found;
    throw InputError(fmt::format("--eod-token {}: no token of {} has that name", shown(o.eod_token), tokenizer.describe()));
  }
  if (id < 0 || id >= tokenizer.vocab_size())
    throw InputError(
        fmt::format("--eod-token {}: expected an id from 0 to {}, of {}", o.eod_token, tokenizer.vocab_size() - 1, tokenizer.describe()));
  static_cast<void>(tokenizer.decode_bytes(std::array{static_cast<int32_t>(id)}, false));  // refuses a gap in the vocabulary
  return static_cast<int32_t>(id);
}

/// Where the tokens go: a pair of files for each key.
class Output {
 public:
  Output(const TokenizeArguments& o, const Tokenizer& tokenizer) {
    const IndexedDtype dtype = dtype_for_vocab(tokenizer.vocab_size());
    const auto& keys = o.tokenize.json_keys;
    for (const std::string& key : keys)
      writers_.push_back(std::make_unique<IndexedWriter>(keys.size() == 1 ? o.output : o.output + "_" + key, dtype));
  }
  /// continues: what comes next for the key belongs to the same document.
  void add(size_t key, std::span<const int32_t> ids, bool continues) {
    if (!ids.empty()) writers_[key]->add_sequence(ids);
    if (continues) return;
    const int64_t before = writers_[key]->num_documents();
    writers_[key]->end_document_if_any();
    if (writers_[key]->num_documents() == before) ++empty_;
  }
  void finish() {
    for (auto& writer : writers_) writer->finish();
  }
  int64_t empty() const { return empty_; }

 private:
  std::vector<std::unique_ptr<IndexedWriter>> writers_;
  int64_t empty_ = 0;
};

int encode(const TokenizeArguments& o, const Tokenizer& tokenizer) {
  const StopSignals stops;
  TokenizeOptions tokenize = o.tokenize;
  tokenize.eod = eod_of(o, tokenizer);
  DocumentSource source(o.source);
  ProgressLine progress(o.quiet || o.print_ids ? ProgressLine::Where::nowhere : ProgressLine::Where::terminal);
  std::optional<Output> output;
  if (!o.print_ids) output.emplace(o, tokenizer);
  const size_t keys = o.tokenize.json_keys.size();
  int64_t texts = 0, tokens = 0, bytes = 0;
  const auto begin = Clock::now();
  const std::clock_t cpu_begin = std::clock();
  tokenize_documents(source, tokenizer, tokenize, StopSignals::came(), [&](const TokenBatch& batch) {
    size_t from = 0;
    for (size_t i = 0; i < batch.ends.size(); ++i) {
      const std::span<const int32_t> ids(batch.ids.data() + from, batch.ends[i] - from);
      if (output) output->add(i % keys, ids, batch.continues[i]);
      else print_ids(ids);
      from = batch.ends[i];
      texts += batch.continues[i] ? 0 : 1;
    }
    tokens += static_cast<int64_t>(batch.ids.size());
    bytes += batch.text_bytes;
    show(progress, source.bytes_read(), source.total_bytes(), tokens);
  });
  if (output) output->finish();
  progress.clear();
  if (o.quiet || o.print_ids) return 0;
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count(), rate = static_cast<double>(bytes) * 1e-6 / seconds;
  std::printf("%s\n%lld texts (%lld without tokens, left out) of %zu files, %.3f MB, %lld tokens, %.3f bytes a token\n",
              tokenizer.describe().c_str(), static_cast<long long>(texts), static_cast<long long>(output->empty()), source.num_files(),
              static_cast<double>(bytes) * 1e-6, static_cast<long long>(tokens),
              tokens > 0 ? static_cast<double>(bytes) / static_cast<double>(tokens) : 0.0);
  const double cpu_seconds = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC;
  std::printf("%.2f s on %d threads: %.1f MB/s; %.2f s of processor time: %.1f MB/s a core\n", seconds, o.tokenize.workers, rate,
              cpu_seconds, static_cast<double>(bytes) * 1e-6 / cpu_seconds);
  return 0;
}

std::vector<int32_t> ids_of(const JsonDocument& line, const TokenizeArguments& o, const RawDocument& document) {
  const nlohmann::json* ids = &line.root;
  if (ids->is_object()) {
    const std::string& key = o.tokenize.json_keys[0];
    if (!ids->contains(key)) throw InputError(fmt::format("{}: has no key {}; give --json-key", document.where(), shown(key)));
    line.refuse_flaws("/" + json_pointer_member(key));
    ids = &ids->at(key);
  }
  std::vector<int32_t> result;
  if (!ids->is_array()) throw InputError(document.where() + ": expected an array of tokens");
  for (const auto& id : *ids) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
      throw InputError(fmt::format("{}: {} is no token; expected integers", document.where(), json_text(id)));
    result.push_back(id);
  }
  return result;
}

int decode(TokenizeArguments o, const Tokenizer& tokenizer) {
  o.source.kind = DocumentKind::jsonl;
  DocumentSource source(o.source);
  while (const auto document = source.next()) {
    const std::vector<int32_t> ids = ids_of(json_of(*document), o, *document);
    try {
      print_out(json_text(nlohmann::json(tokenizer.decode(ids, !o.keep_special_tokens)), {.is_ascii = true}) + "\n");
    } catch (const InputError& error) {
      throw InputError(fmt::format("{}: {}", document->where(), error.what()));
    }
  }
  return 0;
}

}  // namespace

int cmd_tokenize(const std::vector<std::string>& args) {
  const TokenizeArguments o = parse_tokenize(args);
  const auto tokenizer = o.tokenizer == "bytes" ? make_byte_tokenizer() : open_tokenizer(o.tokenizer);
  return o.decode ? decode(o, *tokenizer) : encode(o, *tokenizer);
}

}  // namespace mbt
