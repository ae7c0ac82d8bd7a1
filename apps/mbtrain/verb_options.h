// The options and positional arguments of a verb. Only verb_options.cpp includes CLI11, because its header costs seven seconds of compile
// time per file.
//
//   VerbOptions options("Show what a run will do", "mbtrain plan");
//   bool as_json = false;
//   options.add_flag("--json", as_json, "Print JSON");
//   const ConfigInput input = options.parse_with_config(args);
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "apps/mbtrain/verb_help.h"
#include "core/config/config_input.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace mbt {

class ConfigArguments;

/// A declared option. Each function restricts the values that it accepts and returns the option again.
class VerbOption {
 public:
  VerbOption(CLI::Option* option, OptionHelp& help) : option_(option), help_(&help) {}
  VerbOption required() const;
  VerbOption range(int64_t least, int64_t most) const;
  VerbOption range(int least, int most) const { return range(int64_t{least}, int64_t{most}); }
  VerbOption range(double least, double most) const;
  VerbOption positive() const;
  VerbOption at_least_zero() const;
  VerbOption one_of(const std::vector<std::string>& choices) const;
  VerbOption excludes(VerbOption other) const;
  VerbOption repeatable() const;          ///< a list that takes one value each time it is given
  VerbOption separated_by(char c) const;  ///< a list in one value
  /// What --help calls its value. FILE, FOLDER, PATH (either), PREFIX, TOKENIZER and RECIPE also say how shells complete it.
  VerbOption called(const char* type) const;
  VerbOption with_default_shown() const;  ///< --help shows what the variable holds now

  bool is_given() const;  ///< after parsing

 private:
  CLI::Option* option_;
  OptionHelp* help_;
};

/// The variables are written while parsing and must live until then; what they hold before is the default.
class VerbOptions {
 public:
  VerbOptions(const std::string& description, const std::string& command);
  ~VerbOptions();

  /// `names` as in CLI11: "--flag,--alias", or a word for a positional. T: std::string, bool, int, int64_t, double, std::optional of a
  /// number, or std::vector<std::string>.
  template <class T>
  VerbOption add_option(const std::string& names, T& variable, const std::string& doc);
  VerbOption add_flag(const std::string& names, bool& variable, const std::string& doc);
  /// --help shows the defaults of all options declared from here on.
  void show_defaults();

  /// A word that may stand first in place of the options, of a verb that calls another function then.
  void add_sub_verb(const std::string& name, const std::string& doc) { sub_verbs_.push_back({name, doc}); }

  /// For verbs without a run configuration. Throws InputError for unknown flags, naming the nearest one, and for all that an option
  /// refuses; HelpRequest for --help.
  void parse(const std::vector<std::string>& args);
  /// For verbs that take a run configuration beside their own options. Throws InputError for everything that the verb's own options
  /// refuse; an unknown flag or a bad config file is noted in ConfigInput::problems, to be reported together with the problems of the
  /// values. Throws HelpRequest for --help and --help-all.
  ConfigInput parse_with_config(const std::vector<std::string>& args);
  /// Throws HelpRequest where parse_with_config() (or without `with_config` parse()) would. For verbs that connect ranks before they parse:
  /// whoever wants help has no other ranks to wait for.
  void answer_help(const std::vector<std::string>& args, bool with_config = true);

 private:
  VerbOption add(CLI::Option* option, std::string value, const std::string& doc);
  HelpRequest help_request(bool with_config, bool wants_all) const;
  void parse_own(std::vector<std::string> own, bool with_config);
  ConfigInput finish_with(std::vector<std::string> own, ConfigArguments&& config);

  std::unique_ptr<CLI::App> app_;
  std::deque<OptionHelp> help_;  ///< a deque: VerbOption keeps pointers
  std::vector<SubVerbHelp> sub_verbs_;
  bool shows_defaults_ = false;
};

}  // namespace mbt
