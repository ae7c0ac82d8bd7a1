// console.log in the folder of a run: what the run prints on stdout, and its log on stderr, without progress lines.
#pragma once

#include <string>
#include <string_view>

namespace mbt {

/// From its constructor on lines are kept in memory; open() writes them and all that come later, run after run into one file. A run that is
/// refused before open() leaves none. At most one object at a time; its functions are thread safe.
class ConsoleLog {
 public:
  ConsoleLog();
  ConsoleLog(const ConsoleLog&) = delete;
  ConsoleLog& operator=(const ConsoleLog&) = delete;
  ~ConsoleLog();

  /// Appends to `path`: `title`, the lines so far. Throws InputError when the file cannot be opened.
  void open(const std::string& path, std::string_view title);

  /// A whole line, or several, of the run; dropped where there is no object. Never throws: a full disk loses lines, and the next one that
  /// can be written says how many.
  static void add(std::string_view lines) noexcept;
  /// What first went wrong, once: to be shown as a warning. Empty: nothing.
  static std::string take_problem();
};

}  // namespace mbt
