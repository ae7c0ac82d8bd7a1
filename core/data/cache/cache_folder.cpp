#include "core/data/cache/cache_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/io/files.h"
#include "core/io/leftovers.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kSourceSuffix = ".source.json";
constexpr const char* kSourceFormat = "mbtrain tokens of text";

bool is_index(const std::string& path) {
  try {
    const FileReader file(path);
    std::string head(kIndexMagic.size(), '\0');
    if (file.size() < static_cast<int64_t>(head.size())) return false;
    file.read_at(0, head.data(), static_cast<int64_t>(head.size()));
    return head == kIndexMagic;
  } catch (const InputError&) {
    return false;
  }
}

/// False when the file is none of ours.
bool read_token_source(const std::string& path, std::vector<std::string>& files) {
  try {
    const json source = parse_json_or_discard(read_text_file(path));
    if (!source.is_object() || source.value("format", "") != kSourceFormat) return false;
    for (const json& file : source.at("made_from")) files.push_back(file.get<std::string>());
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void measure(CacheEntry& entry) {
  double newest = 0;
  for (const std::string& path : entry.files) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) continue;
    entry.bytes += info.st_size;
    newest = std::max(newest, static_cast<double>(info.st_mtim.tv_sec));
  }
  entry.unused_days = std::max(0.0, (static_cast<double>(std::time(nullptr)) - newest) / 86400.0);
}

std::vector<fs::path> files_in(const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (std::error_code none; fs::is_regular_file(it->symlink_status(none))) files.push_back(it->path());
  if (error) throw InputError(fmt::format("{}: cannot list it: {}", folder, error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

CacheFolder cache_folder(const std::string& path_to_cache, const std::string& data) {
  if (!path_to_cache.empty()) return {path_to_cache, true};
  return {(fs::path(data).parent_path() / "cache" / "mbtrain").string(), false};
}

FolderLock::FolderLock(const std::string& folder) : folder_(folder) {
  fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) return;
  while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
  }
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

bool prepare_folder(const CacheFolder& folder) {
  std::error_code error;
  fs::create_directories(folder.path, error);
  if (!error && ::access(folder.path.c_str(), R_OK | W_OK | X_OK) == 0) return true;
  const std::string reason = error ? error.message() : std::strerror(errno);
  if (folder.is_wanted) throw InputError(fmt::format("dataset.path_to_cache {}: cannot write there: {}", folder.path, reason));
  return false;
}

void mark_used(const std::string& path) { ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }

std::string token_source_path(const std::string& prefix) { return prefix + kSourceSuffix; }

void write_token_source(const std::string& prefix, const std::vector<std::string>& files, const std::vector<std::string>& endings,
                        int64_t empty_texts) {
  std::vector<std::string> absolute;
  for (const std::string& file : files) absolute.push_back(fs::absolute(file).lexically_normal().string());
  json sizes = json::object();
  for (const std::string& ending : endings) sizes[ending] = FileReader(prefix + ending).size();
  const json source = {{"format", kSourceFormat}, {"made_from", absolute}, {"sizes", sizes}, {"empty_texts", empty_texts}};
  write_file_atomically(token_source_path(prefix), json_text(source, {.indent = 2, .replaces_invalid = true}) + "\n");
}

int64_t empty_texts_of(const std::string& prefix) {
  const json source = parse_json_or_discard(read_text_file(token_source_path(prefix)));
  const bool is_known = source.is_object() && source.contains("empty_texts") && source["empty_texts"].is_number_integer();
  return is_known ? source["empty_texts"].get<int64_t>() : 0;
}

bool has_tokens(const std::string& prefix, const std::vector<std::string>& endings) {
  std::error_code error;
  if (!fs::exists(token_source_path(prefix), error)) return false;
  try {
    const json source = parse_json(read_text_file(token_source_path(prefix)));
    const json& sizes = source.at("sizes");
    for (const std::string& ending : endings)
      if (const uint64_t size = fs::file_size(prefix + ending, error); error || sizes.at(ending) != size) return false;
    return true;
  } catch (const std::exception&) {
    return false;  // damaged, or of another making: it is written again, with the tokens
  }
}

std::vector<CacheEntry> list_cache(const std::string& folder) {
  std::vector<CacheEntry> entries;
  const std::vector<fs::path> files = files_in(folder);
  for (const fs::path& path : files) {
    const std::string name = path.filename().string();
    CacheEntry entry;
    if (name.ends_with(kIndexSuffix) && is_index(path.string())) {
      entry.name = name.substr(0, name.size() - std::strlen(kIndexSuffix));
      entry.files = {path.string()};
    } else if (name.ends_with(kSourceSuffix) && read_token_source(path.string(), entry.made_from)) {
      entry.kind = CacheEntry::Kind::tokens;
      entry.name = name.substr(0, name.size() - std::strlen(kSourceSuffix));
      for (const fs::path& other : files) {
        const std::string own = other.filename().string();
        if (own.starts_with(entry.name + ".") && (own.ends_with(".bin") || own.ends_with(".idx"))) entry.files.push_back(other.string());
      }
      entry.files.push_back(path.string());
    } else {
      continue;
    }
    measure(entry);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<CacheEntry> prune_cache(const FolderLock& held, double unused_days, bool with_tokens) {
  remove_leftovers_in(held.folder());
  std::vector<CacheEntry> removed;
  for (CacheEntry& entry : list_cache(held.folder())) {
    if (entry.unused_days < unused_days || (entry.kind == CacheEntry::Kind::tokens && !with_tokens)) continue;
    std::error_code error;
    for (const std::string& file : entry.files) fs::remove(file, error);  // what says that they are ours goes last
    if (!error) removed.push_back(std::move(entry));
  }
  return removed;
}

}  // namespace mbt
