// What all verbs share beside their options (verb_options.h): output, verbs of verbs.
#pragma once

#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

/// The reader of standard output has exited, as `head` does. The program ends without a message, with exit code 1.
struct ReaderWentAway {};

/// To standard output, for verbs that print as long as there is input. WriteError with the reason, or ReaderWentAway.
void print_out(std::string_view text);

/// 2 for bad usage and bad input (InputError), else 1; of an AgreedError its own.
int exit_code_of(const std::exception& error);
/// "mbtrain: error: WHERE and what", a whole line, for stderr.
std::string error_line(const std::exception& error, const std::string& where = "");

/// A verb of a verb, `mbtrain bench gemm`.
struct SubVerb {
  const char* name;
  const char* doc;  ///< one line of the verb's --help
  int (*run)(const std::vector<std::string>& args);
};

/// Runs the sub-verb that args[0] names with the remaining arguments. Throws HelpRequest for --help, InputError for an unknown name.
int run_sub_verb(const std::string& verb, const std::string& description, std::span<const SubVerb> sub_verbs,
                 const std::vector<std::string>& args);

}  // namespace mbt
