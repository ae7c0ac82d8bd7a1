// mbtrain data: what training data really is: a file's header, and the batches of a run.
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/text_table.h"
#include "core/base/strings.h"
#include "core/data/indexed_writer.h"
#include "core/data/loader.h"
#include "core/data/make_dataset.h"
#include "core/data/token_file.h"
#include "core/recipe/resolve.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {
namespace {

using nlohmann::ordered_json;

constexpr const char* kDescription =
    "Look at training data\n\n"
    "  mbtrain data inspect FILE                   what the header says: Megatron .bin/.idx (by prefix), llm.c and llmq .bin\n"
    "  mbtrain data inspect --config run.json      a batch as the run sees it: sources, documents, text, loss mask, positions\n"
    "  mbtrain data merge --input A B --output C   Megatron pairs, one after the other, as one";

struct InspectOptions {
  std::string path, split = "train";
  int64_t first = 0, rows = 2, tokens = 64;
  bool as_json = false;
};

ordered_json facts_of_pair(const std::string& path) {
  const IndexedReader r(path);
  const int64_t sequences = r.num_sequences();
  ordered_json facts = {{"format", "Megatron indexed"},
                        {"prefix", r.paths().prefix},
                        {"dtype", name_of(r.dtype())},
                        {"documents", r.num_documents()},
                        {"sequences", sequences},
                        {"tokens", r.num_tokens()},
                        {"longest_sequence", r.longest_sequence()},
                        {"mean_sequence", sequences > 0 ? static_cast<double>(r.num_tokens()) / static_cast<double>(sequences) : 0.0},
                        {"bin_bytes", r.bin_bytes()},
                        {"bytes_behind_last_sequence", r.bytes_behind_last_sequence()},
                        {"modes", r.has_modes()}};
  int32_t largest = -1;
  std::vector<int32_t> buffer;
  for (int64_t s = 0; s < sequences; ++s) {  // all of it: this is the look that training does not take before it begins
    buffer.resize(static_cast<size_t>(r.length(s)));
    r.read(s, 0, r.length(s), buffer.data());
    for (const int32_t t : buffer) largest = std::max(largest, t);
  }
  facts["largest_token"] = largest;
  return facts;
}

ordered_json facts_of_tokens(const std::string& path) {
  const TokenFile f(path, int64_t{1} << 31);
  constexpr int64_t kPiece = 1 << 20;
  int32_t largest = -1;
  int64_t in_loss = 0;
  std::vector<int32_t> buffer(kPiece);
  for (int64_t at = 0; at < f.num_tokens(); at += kPiece) {
    const int64_t count = std::min(kPiece, f.num_tokens() - at);
    f.read(at, count, buffer.data());
    largest = std::max(largest, *std::max_element(buffer.begin(), buffer.begin() + count));
    for (int64_t t = 0; t < count; ++t) in_loss += f.is_in_loss(at + t);
  }
  return {{"format", f.format()},      {"path", f.path()},        {"tokens", f.num_tokens()}, {"vocab_size", f.header_vocab_size()},
          {"tokens_in_loss", in_loss}, {"largest_token", largest}};
}

int show_facts(const InspectOptions& o) {
  const ordered_json facts = TokenFile::recognises(o.path) ? facts_of_tokens(o.path) : facts_of_pair(o.path);
  if (o.as_json) {
    std::printf("%s\n", facts.dump(2).c_str());
    return 0;
  }
  TextTable table("ll");
  for (const auto& [name, value] : facts.items())
    table.add({name, value.is_string()           ? value.get<std::string>()
                     : value.is_number_integer() ? with_commas(value.get<int64_t>())
                                                 : value.dump()});
  std::printf("%s", table.str("").c_str());
  return 0;
}

/// A view of one row of a batch.
struct Row {
  const Batch& batch;
  int64_t row;
  template <class T>
  std::vector<T> of(const std::vector<T>& values) const {
    if (values.empty()) return {};
    return {values.begin() + row * batch.seq, values.begin() + (row + 1) * batch.seq};
  }
};

ordered_json to_json(const Row& r, int64_t sample, const std::vector<SamplePiece>& pieces, const std::string& decoded) {
  ordered_json j = {{"sample", sample},
                    {"pieces", ordered_json::array()},
                    {"text", decoded},
                    {"tokens", r.of(r.batch.tokens)},
                    {"targets", r.of(r.batch.targets)},
                    {"loss_mask", r.of(r.batch.loss_mask)}};
  if (!r.batch.document_start.empty()) j["document_start"] = r.of(r.batch.document_start);
  if (!r.batch.positions.empty()) j["positions"] = r.of(r.batch.positions);
  for (const SamplePiece& p : pieces)
    j["pieces"].push_back({{"source", p.source},
                           {"unit", p.unit},
                           {"number", p.number},
                           {"offset", p.offset},
                           {"position", p.position},
                           {"tokens", p.tokens}});
  return j;
}

void print_row(const Row& r, int64_t sample, const std::vector<SamplePiece>& pieces, const Tokenizer* tokenizer, int64_t shown_tokens) {
  const std::vector<float> mask = r.of(r.batch.loss_mask);
  const std::vector<int32_t> tokens = r.of(r.batch.tokens), targets = r.of(r.batch.targets), starts = r.of(r.batch.document_start),
                             positions = r.of(r.batch.positions);
  const double in_loss = std::accumulate(mask.begin(), mask.end(), 0.0);
  std::printf("sample %lld: %.0f of %lld targets in the loss\n", static_cast<long long>(sample), in_loss,
              static_cast<long long>(r.batch.seq));
  for (const SamplePiece& p : pieces)
    std::printf("  from position %lld: %lld tokens of %s, %s %lld from token %lld on\n", static_cast<long long>(p.position),
                static_cast<long long>(p.tokens), p.source.c_str(), p.unit.c_str(), static_cast<long long>(p.number),
                static_cast<long long>(p.offset));
  TextTable table("rrlrlrr");
  table.add({"t", "token", "text", "target", "in loss", starts.empty() ? "" : "document", positions.empty() ? "" : "position"});
  for (size_t t = 0; t < static_cast<size_t>(std::min(shown_tokens, r.batch.seq)); ++t)
    table.add({std::to_string(t), std::to_string(tokens[t]), tokenizer ? shown(tokenizer->decode_bytes(std::span(&tokens[t], 1), false), 24) : "",
               std::to_string(targets[t]), mask[t] > 0 ? "yes" : "no", starts.empty() ? "" : std::to_string(starts[t]),
               positions.empty() ? "" : std::to_string(positions[t])});
  std::printf("%s\n", table.str().c_str());
}

/// Of the run, where it can name the tokens of the data.
std::unique_ptr<Tokenizer> tokenizer_of(const RunConfig& config) {
  if (config.tokenizer.tokenizer_type == "none") return nullptr;
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(config.tokenizer);
  return tokenizer->vocab_size() >= config.model.vocab_size ? std::move(tokenizer) : nullptr;
}

int show_batch(const InspectOptions& o, const ConfigInput& input) {
  const ResolvedRun run = resolve_run(input, 1);
  const std::unique_ptr<Dataset> data = make_dataset(run.config);
  const Split split = o.split == "train" ? Split::train : o.split == "valid" ? Split::valid : Split::test;
  const int64_t seed = data_seed(run.config.dataset, run.config.rng.seed);
  const BatchLoader loader(*data, split, o.rows, seed);
  std::vector<std::vector<SamplePiece>> pieces;
  const Batch batch = loader.get(o.first, &pieces);
  const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(run.config);
  if (!o.as_json)
    std::printf("%s\nsplit %s: %lld samples; an epoch's order is %s\n\n", data->describe().c_str(), o.split.c_str(),
                static_cast<long long>(loader.samples_per_epoch()),
                data->order(split) == SampleOrder::own ? "the data's own (Megatron's)" : "a permutation by seed and epoch");
  ordered_json rows = ordered_json::array();
  for (int64_t r = 0; r < o.rows; ++r) {
    const Row row{batch, r};
    const auto& of_row = pieces[static_cast<size_t>(r)];
    if (o.as_json)
      rows.push_back(to_json(row, o.first + r, of_row, tokenizer ? tokenizer->decode(row.of(batch.tokens), false) : ""));
    else
      print_row(row, o.first + r, of_row, tokenizer.get(), o.tokens);
  }
  if (o.as_json) {
    const ordered_json all = {
        {"data", data->describe()},         {"split", o.split}, {"samples", loader.samples_per_epoch()}, {"vocab_size", data->vocab_size()},
        {"seq_length", data->seq_length()}, {"rows", rows}};
    std::printf("%s\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  }
  return 0;
}

int inspect(const std::vector<std::string>& args) {
  CLI::App app("Show what a data file is, or what a batch of a run really contains", "mbtrain data inspect");
  InspectOptions o;
  app.add_option("FILE", o.path, "Megatron pair (prefix, .bin or .idx) or token file; not given: the run that the config fields describe");
  app.add_option("--of", o.split, "Split of the run")->check(CLI::IsMember({"train", "valid", "test"}));
  app.add_option("--first", o.first, "First sample, counted as the run consumes them")->check(CLI::Range(int64_t{0}, int64_t{1} << 60));
  app.add_option("--rows", o.rows, "Samples to show")->check(CLI::Range(int64_t{1}, int64_t{4096}));
  app.add_option("--tokens", o.tokens, "Tokens of each to list (not with --json, which has all)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  app.add_flag("--json", o.as_json, "Print JSON");
  const ConfigInput input = parse_config_args(app, args);
  return o.path.empty() ? show_batch(o, input) : show_facts(o);
}

int merge(const std::vector<std::string>& args) {
  CLI::App app("Megatron pairs, one after the other, as one", "mbtrain data merge");
  std::vector<std::string> inputs;
  std::string output;
  app.add_option("--input", inputs, "Prefixes, in order")->required();
  app.add_option("--output", output, "Prefix of the new pair")->required();
  parse_args(app, args);
  std::vector<IndexedReader> readers;
  for (const std::string& path : inputs) {
    readers.emplace_back(path);
    std::error_code none;
    if (std::filesystem::equivalent(IndexedPaths(path).bin, IndexedPaths(output).bin, none))
      throw InputError(text("--output ", output, ": is also an input; name a new pair"));
    if (readers.back().dtype() != readers.front().dtype())
      throw InputError(text(path, ": tokens of ", name_of(readers.back().dtype()), ", but ", inputs.front(), " has ",
                            name_of(readers.front().dtype()), "; pairs to merge have one dtype"));
  }
  IndexedWriter writer(output, readers.front().dtype());
  std::vector<int32_t> tokens;
  for (const IndexedReader& r : readers)
    for (int64_t d = 0; d < r.num_documents(); ++d) {
      for (int64_t s = r.document_begin(d); s < r.document_begin(d + 1); ++s) {
        tokens.resize(static_cast<size_t>(r.length(s)));
        r.read(s, 0, r.length(s), tokens.data());
        writer.add_sequence(tokens);
      }
      writer.end_document();
    }
  writer.finish();
  std::printf("%s: %lld documents, %lld tokens\n", output.c_str(), static_cast<long long>(writer.num_documents()),
              static_cast<long long>(writer.num_tokens()));
  return 0;
}

}  // namespace

int cmd_data(const std::vector<std::string>& args) {
  constexpr SubVerb kActions[] = {
      {"inspect", "a file's header, or what a batch of a run really contains", inspect},
      {"merge", "Megatron pairs, one after the other, as one", merge},
  };
  return run_sub_verb("data", kDescription, kActions, args);
}

}  // namespace mbt
