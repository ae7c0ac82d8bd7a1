// A folder that appears under its name only when everything in it is complete.
#pragma once

#include <string>

namespace mbt {

/// Files are written into path(), a new folder beside the target. commit() makes them durable and renames the folder to the target. Without
/// commit() the folder is removed. A killed program leaves it as TARGET.tmp.<random>, with nothing under the target's own name; the next
/// writer of the same target removes it (leftovers.h).
class AtomicFolder {
 public:
  /// InputError: `target` exists (also as a link to nowhere), or its parent folder cannot be created or written.
  explicit AtomicFolder(const std::string& target);
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder();

  const std::string& path() const { return temporary_; }
  std::string file(const std::string& name) const;
  /// InputError: something has taken the name meanwhile, or the system's reason.
  void commit();

 private:
  void create_temporary();

  std::string target_, temporary_;
  int fd_ = -1;  ///< holds the lock on temporary_
  bool is_committed_ = false;
};

}  // namespace mbt
