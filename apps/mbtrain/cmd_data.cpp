// mbtrain data: what training data really is, pairs as one, and what is kept of it in a cache.
#include <cstdio>
#include <filesystem>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/cmd_data.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/data/cache/cache_folder.h"
#include "core/data/megatron/indexed_reader.h"
#include "core/data/megatron/indexed_writer.h"

namespace mbt {
namespace {

constexpr const char* kDescription =
    "Look at training data\n\n"
    "  mbtrain data inspect FILE                   what a file is: Megatron .bin/.idx (by prefix), llm.c and llmq .bin, text, JSON Lines\n"
    "  mbtrain data inspect --config run.json      a batch as the run sees it: sources, documents, text, loss mask, positions\n"
    "  mbtrain data merge --input A B --output C   Megatron pairs, one after the other, as one\n"
    "  mbtrain data cache FOLDER [--prune]         indices and text made into tokens that runs have left in a cache";

int show_cache(const std::vector<std::string>& args) {
  VerbOptions options(
      "List what runs keep in a cache (dataset.path_to_cache, or cache/mbtrain beside the data): indices of Megatron data, and text made "
      "into\n"
      "tokens. All of it is made again when it is needed. Other files are left alone. A run that has a file open on this machine goes on "
      "when\n"
      "it is removed; for runs on other machines, keep --unused-days above the length of a run.",
      "mbtrain data cache");
  std::string folder;
  bool prune = false;
  double days = kIndexDays;
  options.add_option("FOLDER", folder, "The cache folder, or the data that it belongs to").required().called("PATH");
  options.add_flag("--prune", prune, "Remove entries that no run has opened for --unused-days, and leftovers of killed programs");
  options.add_option("--unused-days", days, "Days since a run last opened it; 0: everything; default: 30").range(0.0, 1e6);
  options.parse(args);
  std::error_code none;
  const std::string beside = std::filesystem::is_directory(folder, none) ? (std::filesystem::path(folder) / "cache/mbtrain").string()
                                                                         : cache_folder("", folder).path;
  if (std::filesystem::is_directory(beside, none)) folder = beside;
  if (!std::filesystem::is_directory(folder, none))
    throw InputError(fmt::format("{}: no such folder, and no cache/mbtrain beside it", folder));
  const std::vector<CacheEntry> entries = prune ? prune_cache(FolderLock(folder), days, true) : list_cache(folder);
  int64_t bytes = 0;
  TextTable table("llrrl");
  if (!entries.empty()) table.add({"name", "kind", "size", "unused", "made from"});
  for (const CacheEntry& e : entries) {
    bytes += e.bytes;
    const std::string more = e.made_from.size() > 1 ? fmt::format(" and {} more", e.made_from.size() - 1) : "";
    table.add({e.name, e.kind == CacheEntry::Kind::index ? "index" : "tokens", human_bytes(e.bytes), formatted("%.1f days", e.unused_days),
               e.made_from.empty() ? "" : e.made_from.front() + more});
  }
  std::printf("%s%s: %zu entries, %s%s\n", table.str("").c_str(), folder.c_str(), entries.size(), human_bytes(bytes).c_str(),
              prune ? ", removed" : "");
  return 0;
}

int merge(const std::vector<std::string>& args) {
  VerbOptions options("Megatron pairs, one after the other, as one", "mbtrain data merge");
  std::vector<std::string> inputs;
  std::string output;
  options.add_option("--input", inputs, "Prefixes, in order").required().called("PREFIX");
  options.add_option("--output", output, "Prefix of the new pair").required().called("PREFIX");
  options.parse(args);
  std::vector<IndexedReader> readers;
  for (const std::string& path : inputs) {
    readers.emplace_back(path);
    std::error_code none;
    if (std::filesystem::equivalent(IndexedPaths(path).bin, IndexedPaths(output).bin, none))
      throw InputError(fmt::format("--output {}: is also an input; name a new pair", output));
    if (readers.back().dtype() != readers.front().dtype())
      throw InputError(fmt::format("{}: tokens of {}, but {} has {}; pairs to merge have one dtype", path, name_of(readers.back().dtype()),
                                   inputs.front(), name_of(readers.front().dtype())));
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
      {"inspect", "what a file is, or what a batch of a run really contains", data_inspect},
      {"merge", "Megatron pairs, one after the other, as one", merge},
      {"cache", "indices and text made into tokens that runs have left in a cache", show_cache},
  };
  return run_sub_verb("data", kDescription, kActions, args);
}

}  // namespace mbt
