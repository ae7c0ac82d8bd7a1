// The cache folder for indices and tokenized text: its lock, its content, and how old entries are removed.
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

/// Locks the folder. The constructor waits until no other process holds the lock; the destructor releases it. On a file system without
/// locks it does nothing: writers rename complete files into place, so at worst some work is done twice.
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

/// Creates the folder. When it cannot be written, throws InputError if the user named the folder, else returns false.
bool prepare_folder(const CacheFolder& folder);

constexpr std::string_view kIndexMagic = "MBTINDEX";
constexpr const char* kIndexSuffix = ".index";

/// Sets the time of a file to now: it is in use.
void mark_used(const std::string& path);

/// Returns PREFIX.source.json, the file beside the tokens of a text that records what they were made from. Its presence shows that this
/// program made PREFIX.*. Once those files are complete, it also records their sizes by ending, such as ".bin", and how many empty texts
/// were left out.
std::string token_source_path(const std::string& prefix);
void write_token_source(const std::string& prefix, const std::vector<std::string>& files, const std::vector<std::string>& endings = {},
                        int64_t empty_texts = 0);
/// Returns how many empty texts were left out of the tokens; 0 when it is not recorded.
int64_t empty_texts_of(const std::string& prefix);
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

/// Returns the entries that this program has written, sorted by name, and ignores all other files. Throws InputError when there is no such
/// folder.
std::vector<CacheEntry> list_cache(const std::string& folder);

/// An index that was not used for so many days is removed when the next one is written.
constexpr double kIndexDays = 30;

/// Removes entries that no run has opened for `unused_days`, and temporary files of killed writers. Tokens of text take long to make again,
/// so they are removed only `with_tokens`. Processes on this machine that have mapped a removed file can still read it. Returns the removed
/// entries.
std::vector<CacheEntry> prune_cache(const FolderLock& held, double unused_days, bool with_tokens);

}  // namespace mbt
