// mbtrain data inspect: what a data file is, and what a batch of a run really contains.
#include <cstdio>
#include <numeric>

#include "apps/mbtrain/cmd_data.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/data/loader.h"
#include "core/data/make_dataset.h"
#include "core/tokenizer/tokenizer.h"
#include "core/train/resolve_loading.h"

namespace mbt {
namespace {

using nlohmann::ordered_json;

struct InspectOptions {
  std::string path, split = "train";
  int64_t first = 0, rows = 2, tokens = 64;
  bool as_json = false;
};

int show_facts(const InspectOptions& o, const DatasetConfig& config) {
  const ordered_json facts = data_facts(o.path, config);
  if (o.as_json) {
    std::printf("%s\n", json_text(facts, {.indent = 2}).c_str());
    return 0;
  }
  TextTable table("ll");
  for (const auto& [name, value] : facts.items())
    table.add({name, value.is_string()           ? value.get<std::string>()
                     : value.is_number_integer() ? with_commas(value.get<int64_t>())
                                                 : json_text(value)});
  std::printf("%s", table.str("").c_str());
  return 0;
}

/// A view of one row of a batch.
struct InspectRow {
  const Batch& batch;
  int64_t row;
  template <class T>
  std::vector<T> of(const std::vector<T>& values) const {
    if (values.empty()) return {};
    return {values.begin() + row * batch.seq, values.begin() + (row + 1) * batch.seq};
  }
};

ordered_json to_json(const InspectRow& r, int64_t sample, const std::vector<SamplePiece>& pieces, const std::string& decoded) {
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

void print_row(const InspectRow& r, int64_t sample, const std::vector<SamplePiece>& pieces, const Tokenizer* tokenizer,
               int64_t shown_tokens) {
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
    table.add({std::to_string(t), std::to_string(tokens[t]),
               tokenizer ? shown(tokenizer->decode_bytes(std::span(&tokens[t], 1), false), 24) : "", std::to_string(targets[t]),
               mask[t] > 0 ? "yes" : "no", starts.empty() ? "" : std::to_string(starts[t]),
               positions.empty() ? "" : std::to_string(positions[t])});
  std::printf("%s\n", table.str().c_str());
}

/// Of the run, where it can name the tokens of the data.
std::unique_ptr<Tokenizer> tokenizer_of(const RunConfig& config) {
  if (config.tokenizer.tokenizer_type == TokenizerType::none) return nullptr;
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(config.tokenizer);
  return tokenizer->vocab_size() >= config.model.vocab_size ? std::move(tokenizer) : nullptr;
}

int show_batch(const InspectOptions& o, const ConfigInput& input) {
  const ResolvedRun run = resolve_loading(input, 1);
  const std::unique_ptr<Dataset> data = make_dataset(run.config);
  const Split split = o.split == "train" ? Split::train : o.split == "valid" ? Split::valid : Split::test;
  const int64_t seed = data_seed(run.config.dataset, run.config.rng.seed);
  const BatchLoader loader(*data, split, o.rows, seed);
  if (data->order(split) == SampleOrder::own && o.first + o.rows > loader.samples_per_epoch()) {
    throw InputError(
        fmt::format("--first {} --rows {}: the run reads {} samples of {}; ask for fewer, or for a longer run (train.train_iters, "
                    "validation.eval_iters)",
                    o.first, o.rows, loader.samples_per_epoch(), o.split));
  }
  std::vector<std::vector<SamplePiece>> pieces;
  const Batch batch = loader.get(o.first, &pieces);
  const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(run.config);
  if (!o.as_json)
    std::printf("%s\nsplit %s: %lld samples; an epoch's order is %s\n\n", data->describe().c_str(), o.split.c_str(),
                static_cast<long long>(loader.samples_per_epoch()),
                data->order(split) == SampleOrder::own ? "the data's own (Megatron's)" : "a permutation by seed and epoch");
  ordered_json rows = ordered_json::array();
  for (int64_t r = 0; r < o.rows; ++r) {
    const InspectRow row{batch, r};
    const auto& of_row = pieces[static_cast<size_t>(r)];
    if (o.as_json) rows.push_back(to_json(row, o.first + r, of_row, tokenizer ? tokenizer->decode(row.of(batch.tokens), false) : ""));
    else print_row(row, o.first + r, of_row, tokenizer.get(), o.tokens);
  }
  if (o.as_json) {
    const ordered_json all = {
        {"data", data->describe()},         {"split", o.split}, {"samples", loader.samples_per_epoch()}, {"vocab_size", data->vocab_size()},
        {"seq_length", data->seq_length()}, {"rows", rows}};
    std::printf("%s\n", json_text(all, {.indent = 2, .replaces_invalid = true}).c_str());
  }
  return 0;
}

}  // namespace

int data_inspect(const std::vector<std::string>& args) {
  VerbOptions options("Show what a data file is, or what a batch of a run really contains", "mbtrain data inspect");
  InspectOptions o;
  options
      .add_option("FILE", o.path,
                  "Megatron pair (prefix, .bin or .idx), token file, text or JSON Lines (--dataset.kind says what it is, where its name "
                  "does not); not "
                  "given: the run that the config fields describe")
      .called("PATH");
  options.add_option("--of", o.split, "Split of the run").one_of({"train", "valid", "test"}).with_default_shown();
  options.add_option("--first", o.first, "First sample, counted as the run consumes them")
      .range(int64_t{0}, int64_t{1} << 60)
      .with_default_shown();
  options.add_option("--rows", o.rows, "Samples to show").range(int64_t{1}, int64_t{4096}).with_default_shown();
  options.add_option("--tokens", o.tokens, "Tokens of each to list (not with --json, which has all)")
      .range(int64_t{1}, int64_t{1} << 30)
      .with_default_shown();
  options.add_flag("--json", o.as_json, "Print JSON");
  const ConfigInput input = options.parse_with_config(args);
  return o.path.empty() ? show_batch(o, input) : show_facts(o, resolve_loading(input, 1).config.dataset);
}

}  // namespace mbt
