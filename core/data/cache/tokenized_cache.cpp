#include "core/data/cache/tokenized_cache.h"

#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "core/base/error.h"
#include "core/base/xxhash.h"
#include "core/data/megatron/indexed_writer.h"
#include "core/data/text/tokenize_documents.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

constexpr int kTokenFileVersion = 4;

std::string key_of(const std::vector<std::string>& files, const std::string& settings) {
  XxHash64 hash;
  hash.add(fmt::format("{};{}", kTokenFileVersion, settings));
  for (const std::string& path : files) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) throw InputError(fmt::format("{}: cannot examine it", path));
    std::error_code none;
    hash.add(
        fmt::format(";{};{};{}.{}", fs::weakly_canonical(path, none).string(), info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
  }
  return hash_text(hash.value());
}

/// A text file is one document, and splits go by sequences: it, or each piece of a large one, gets up to a hundred, so that every split can
/// have its share.
void add_in_pieces(IndexedWriter& writer, std::span<const int32_t> tokens) {
  constexpr size_t kPieces = 100, kShortest = 256;
  const size_t length = std::max(kShortest, (tokens.size() + kPieces - 1) / kPieces);
  for (size_t at = 0; at < tokens.size(); at += length) writer.add_sequence(tokens.subspan(at, std::min(length, tokens.size() - at)));
}

}  // namespace

std::string cached_prefix(const std::vector<std::string>& files, const std::string& settings, const CacheFolder& cache,
                          const std::string& name, const std::vector<std::string>& pairs, FunctionRef<int64_t(const std::string&)> make) {
  const std::string prefix = (fs::path(cache.path) / fmt::format("{}-{}", name, key_of(files, settings))).string();
  std::vector<std::string> endings;
  for (const std::string& pair : pairs)
    for (const char* ending : {".bin", ".idx"}) endings.push_back(pair + ending);
  const auto is_found = [&] {
    if (!has_tokens(prefix, endings)) return false;
    mark_used(token_source_path(prefix));
    return true;
  };
  if (is_found()) return prefix;
  if (!prepare_folder(cache)) {
    throw InputError(fmt::format(
        "text is made into tokens once, and they are kept in {}, which cannot be written: name another folder as dataset.path_to_cache",
        cache.path));
  }
  const FolderLock lock(cache.path);
  if (is_found()) return prefix;
  write_token_source(prefix, files);
  const int64_t empty_texts = make(prefix);
  write_token_source(prefix, files, endings, empty_texts);
  return prefix;
}

std::string tokenized_pair(const DataSource& source, const Tokenizer& tokenizer, const TokenizedOptions& options) {
  const bool is_jsonl = source.kind == DataKind::jsonl;
  const std::string settings = fmt::format("pair;{};{};{};{}", is_jsonl ? options.json_key : "", is_jsonl ? 1 : 0,
                                           hash_text(tokenizer.fingerprint()), options.eod.value_or(-1));
  const auto make = [&](const std::string& prefix) {
    DocumentSource documents({.inputs = source.files,
                              .kind = is_jsonl ? DocumentKind::jsonl : DocumentKind::file,
                              .max_document_bytes = options.max_document_bytes,
                              .limit_hint = "raise dataset.max_document_bytes, or cut it into smaller documents",
                              .splits_files = true});
    IndexedWriter writer(prefix, dtype_for_vocab(tokenizer.vocab_size()));
    const TokenizeOptions tokenize{.json_keys = {options.json_key},
                                   .eod = options.eod,
                                   .json_key_option = "dataset.json_key",
                                   .workers = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))};
    const std::atomic<bool> stop = false;
    int64_t texts = 0;
    tokenize_documents(documents, tokenizer, tokenize, stop, [&](const TokenBatch& batch) {
      size_t from = 0;
      for (size_t i = 0; i < batch.ends.size(); ++i) {
        const auto tokens = std::span(batch.ids).subspan(from, batch.ends[i] - from);
        from = batch.ends[i];
        if (is_jsonl && !tokens.empty()) writer.add_sequence(tokens);
        else add_in_pieces(writer, tokens);
        if (batch.continues[i]) continue;
        writer.end_document_if_any();
        ++texts;
      }
    });
    writer.finish();
    return texts - writer.num_documents();
  };
  return cached_prefix(source.files, settings, options.cache, fs::path(source.path).filename().string(), {""}, make);
}

}  // namespace mbt
