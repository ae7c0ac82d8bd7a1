// What a verb says about itself: its usage, options and sub-verbs, as data. --help, `mbtrain help`, the shells' completion and the man page
// are made from it. A verb is asked by --help: VerbOptions and run_sub_verb() answer by throwing HelpRequest, before the verb does
// anything.
#pragma once

#include <string>
#include <vector>

namespace mbt {

struct Verb;

struct OptionHelp {
  std::vector<std::string> names;    ///< "--load", "-h"; of a positional its word, "DIR"
  std::string value;                 ///< what stands for its value: "FILE", "N"; empty: it takes none
  std::vector<std::string> choices;  ///< the values that it accepts; empty: any
  std::string doc;
  std::vector<std::string> limits;  ///< "default 5", "1 to 100"
  bool is_positional = false;
  bool is_required = false;
  bool takes_many = false;  ///< several values may follow it

  /// The value as usage shows it: the choices where they are few, else `value`.
  std::string shown_value() const;
  /// The doc with the choices and limits behind it.
  std::string full_doc() const;
};

struct SubVerbHelp {
  std::string name, doc;
};

struct VerbHelp {
  std::string command;  ///< "mbtrain bench gemm"
  std::string description;
  std::vector<OptionHelp> options;
  std::vector<SubVerbHelp> sub_verbs;
  bool needs_sub_verb = false;
  bool takes_config = false;    ///< config fields may be set among the options
  bool takes_megatron = false;  ///< Megatron-LM's arguments may be given among the options

  std::string usage() const;
};

/// --help was among the arguments; main() prints the text and exits with 0.
struct HelpRequest {
  VerbHelp help;
  bool wants_all = false;  ///< --help-all
};

/// The columns to print help in: those of the terminal or of $COLUMNS, at least 40 and at most 100.
size_t help_width();

/// The page of --help, or of --help-all with every config field.
std::string verb_help_text(const HelpRequest& request, size_t width);

/// Asks a verb, or one of its sub-verbs, for its --help. Throws InputError when there is no such sub-verb.
VerbHelp help_of(const Verb& verb, const std::vector<std::string>& sub_verbs = {});

}  // namespace mbt
