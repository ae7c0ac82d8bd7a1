// How a run ended, in its run.json: written when it ends by itself, and by a signal handler when a signal ends it.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <string>

namespace mbt {

/// "2026-12-01T15:37:34Z", into 21 bytes. Safe in a signal handler.
void write_utc(std::time_t seconds, char* out);
std::string utc_text(std::time_t seconds);

/// Tells whether a file was replaced meanwhile; 0: there is none.
ino_t inode_of(const char* path);

/// A file's text with a hole, in which stands how the run ended.
struct TextWithHole {
  std::string before, after;
};

/// What fills the hole: `"ended": ..., "exit_code": ..., "ended_by": ...`. `reason`: JSON text.
std::string end_members(const std::string& utc, int exit_code, const std::string& reason);
/// The same of a run that has not ended.
std::string no_end_members();

/// While an object lives, a signal that ends the program first replaces `path` by the text with its end: exit code 128 + its number,
/// ended_by its name. Signals that are ignored stay ignored; SIGKILL cannot be seen. Nothing is written when the file is no longer the one
/// that was there at the beginning: someone has completed it. One object at a time.
class SignalEnd {
 public:
  SignalEnd(const std::string& path, const TextWithHole& text);
  SignalEnd(const SignalEnd&) = delete;
  SignalEnd& operator=(const SignalEnd&) = delete;
  ~SignalEnd();
};

}  // namespace mbt
