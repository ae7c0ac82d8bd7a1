// What the verbs share: their arguments. A verb declares its own options and positionals on a CLI::App and calls one of the two functions:
//
//   CLI::App app("Show what a run will do", "mbtrain plan");
//   bool as_json = false;
//   app.add_flag("--json", as_json, "Print JSON");
//   const ConfigInput input = parse_config_args(app, args);
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/config/config_input.h"

namespace mbt {

/// Whoever read standard output has ended, as `head` does: the program ends without a word, with exit code 1.
struct ReaderWentAway {};

/// To standard output, for verbs that print as long as there is input. WriteError with the reason, or ReaderWentAway.
void print_out(std::string_view text);

/// --help was among the arguments; main() prints the text and exits with 0.
struct HelpRequest {
  std::string text;
};

/// For verbs that take a run configuration beside their own options. Throws InputError for everything that the verb's own options refuse;
/// an unknown flag or a bad config file is noted in ConfigInput::problems, to be reported together with the problems of the values.
/// Throws HelpRequest for --help: the verb's options, then how to set fields, then the fields of every section.
ConfigInput parse_config_args(CLI::App& app, const std::vector<std::string>& args);

/// For verbs without a run configuration. Unknown flags throw InputError naming the nearest one.
void parse_args(CLI::App& app, const std::vector<std::string>& args);

/// A verb of a verb, `mbtrain bench gemm`.
struct SubVerb {
  const char* name;
  const char* doc;  ///< one line of the verb's --help
  int (*run)(const std::vector<std::string>& args);
};

/// Runs the one that args[0] names, with the arguments behind it. HelpRequest for --help; InputError when it is none of them.
int run_sub_verb(const std::string& verb, const std::string& description, std::span<const SubVerb> sub_verbs,
                 const std::vector<std::string>& args);

}  // namespace mbt
