// The folder in which indices and text made into tokens are kept: who writes there, what lies in it, and what may go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

/// Where to keep arrays.
struct CacheFolder {
  std::string path{};
  bool is_wanted = false;  ///< the user named it: failing to write there is an error, and small arrays are kept too
};

/// dataset.path_to_cache, else the folder cache/mbtrain beside `data`.
CacheFolder cache_folder(const std::string& path_to_cache, const std::string& data);

/// Waits until no other process holds the folder; released at the end of its life. Where the file system has no locks it does nothing:
/// whoever writes there renames complete files, so that the worst is work done twice.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  int fd_ = -1;
};

/// Makes the folder. False when it cannot be written and was not wanted; InputError when it was.
bool prepare_folder(const CacheFolder& folder);

constexpr std::string_view kIndexMagic = "MBTINDEX";
constexpr const char* kIndexSuffix = ".index";

/// Sets the time of a file to now: it is in use.
void mark_used(const std::string& path);

/// Beside tokens of text, PREFIX.source.json says what they were made from. It also proves that PREFIX.* are of this program's making, and
/// once these are complete it says their sizes: `endings` are what PREFIX has behind it, such as ".bin".
std::string token_source_path(const std::string& prefix);
void write_token_source(const std::string& prefix, const std::vector<std::string>& files, const std::vector<std::string>& endings = {});
/// Whether the files with all of these endings are there, in the sizes that PREFIX.source.json says.
bool has_tokens(const std::string& prefix, const std::vector<std::string>& endings);

struct CacheEntry {
  enum class Kind { index, tokens };
  Kind kind = Kind::index;
  std::string name;                    ///< of its files, without the folder and what they end in
  std::vector<std::string> files;      ///< paths
  std::vector<std::string> made_from;  ///< of tokens: the user's files
  int64_t bytes = 0;
  double unused_days = 0;  ///< since a run last opened it
};

/// What this program has put there, by name; all else that lies there is none of its business. InputError: no such folder.
std::vector<CacheEntry> list_cache(const std::string& folder);

/// How long an index lies unused before the next one that is written takes it away.
constexpr double kIndexDays = 30;

/// Removes entries that no run has opened for that long (`with_tokens`: tokens of text too, which take long to make again), and what killed
/// writers have left. Files that are mapped stay readable for those who have them open on this machine. Returns what was removed.
std::vector<CacheEntry> prune_cache(const FolderLock& held, double unused_days, bool with_tokens);

}  // namespace mbt
