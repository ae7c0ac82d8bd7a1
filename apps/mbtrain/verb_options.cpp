#include "apps/mbtrain/verb_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>

#include "apps/mbtrain/cli.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/config/command_line.h"
#include "core/config/describe.h"

namespace mbt {
namespace {

bool is_flag(const std::string& argument) {
  return argument.size() > 1 && argument[0] == '-' && !(argument[1] >= '0' && argument[1] <= '9') && argument[1] != '.';
}

bool has_positionals(const CLI::App& app) {
  const auto options = app.get_options();
  return std::any_of(options.begin(), options.end(), [](const CLI::Option* option) { return option->get_positional(); });
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  return flags;
}

/// Moves args[at] to `own` when it is one of the verb's options, with its value as "--flag=value": CLI11 takes a value that begins with a
/// dash for a flag. Returns how many arguments that were.
size_t take_own(const CLI::App& app, const std::vector<std::string>& args, size_t at, std::vector<std::string>& own) {
  if (!is_flag(args[at])) return 0;
  const size_t equals = args[at].find('=');
  const CLI::Option* option = app.get_option_no_throw(args[at].substr(0, equals));
  if (!option) return 0;
  const bool takes_next = option->get_items_expected_min() > 0 && equals == std::string::npos && at + 1 < args.size();
  const bool is_long = args[at].rfind("--", 0) == 0;
  // CLI11 would take the flag behind it for the value.
  if (option->get_items_expected_min() > 0 && (takes_next ? args[at + 1].empty() : equals + 1 == args[at].size()))
    throw InputError(fmt::format("command line: {}: got an empty value; see `{} --help`", args[at].substr(0, equals), app.get_name()));
  if (takes_next && is_long) {
    own.push_back(args[at] + "=" + args[at + 1]);
  } else {
    own.push_back(args[at]);
    if (takes_next) own.push_back(args[at + 1]);
  }
  return takes_next ? 2 : 1;
}

void parse_own(CLI::App& app, std::vector<std::string> own, bool with_config) {
  try {
    std::reverse(own.begin(), own.end());  // CLI11 takes them from the back
    app.parse(std::move(own));
  } catch (const CLI::CallForHelp&) {
    throw HelpRequest{app.help() + (with_config ? "\n" + config_help() : "")};
  } catch (const CLI::ParseError& error) {
    throw InputError(fmt::format("command line: {}; see `{} --help`", error.what(), app.get_name()));
  }
}

}  // namespace

VerbOption VerbOption::required() const { return VerbOption(option_->required()); }
VerbOption VerbOption::range(int64_t least, int64_t most) const { return VerbOption(option_->check(CLI::Range(least, most))); }
VerbOption VerbOption::range(double least, double most) const { return VerbOption(option_->check(CLI::Range(least, most))); }
VerbOption VerbOption::positive() const { return VerbOption(option_->check(CLI::PositiveNumber)); }
VerbOption VerbOption::at_least_zero() const { return VerbOption(option_->check(CLI::NonNegativeNumber)); }
VerbOption VerbOption::one_of(const std::vector<std::string>& choices) const { return VerbOption(option_->check(CLI::IsMember(choices))); }
VerbOption VerbOption::excludes(VerbOption other) const { return VerbOption(option_->excludes(other.option_)); }
VerbOption VerbOption::repeatable() const { return VerbOption(option_->allow_extra_args(false)); }
VerbOption VerbOption::separated_by(char c) const { return VerbOption(option_->delimiter(c)); }
VerbOption VerbOption::called(const char* type) const { return VerbOption(option_->type_name(type)); }
VerbOption VerbOption::with_default_shown() const { return VerbOption(option_->capture_default_str()); }
bool VerbOption::is_given() const { return option_->count() > 0; }

VerbOptions::VerbOptions(const std::string& description, const std::string& command)
    : app_(std::make_unique<CLI::App>(description, command)) {}
VerbOptions::~VerbOptions() = default;

template <class T>
VerbOption VerbOptions::add_option(const std::string& names, T& variable, const std::string& doc) {
  return VerbOption(app_->add_option(names, variable, doc));
}

template VerbOption VerbOptions::add_option(const std::string&, std::string&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, bool&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, int&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, int64_t&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, double&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, std::optional<int>&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, std::optional<int64_t>&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, std::optional<double>&, const std::string&);
template VerbOption VerbOptions::add_option(const std::string&, std::vector<std::string>&, const std::string&);

VerbOption VerbOptions::add_flag(const std::string& names, bool& variable, const std::string& doc) {
  return VerbOption(app_->add_flag(names, variable, doc));
}

void VerbOptions::show_defaults() { app_->option_defaults()->always_capture_default(); }

ConfigInput VerbOptions::parse_with_config(const std::vector<std::string>& args) {
  CLI::App& app = *app_;
  ConfigArguments config;
  std::vector<std::string> own;
  const bool takes_positionals = has_positionals(app);
  for (size_t at = 0; at < args.size();) {
    size_t taken = take_own(app, args, at, own);
    if (!taken) taken = config.take(args, at);
    if (!taken && takes_positionals && !is_flag(args[at])) {
      own.push_back(args[at]);
      taken = 1;
    }
    at += taken ? taken : config.refuse(args, at, flags_of(app));
  }
  parse_own(app, std::move(own), true);
  return std::move(config).finish();
}

void VerbOptions::parse(const std::vector<std::string>& args) {
  CLI::App& app = *app_;
  std::vector<std::string> own;
  for (size_t at = 0; at < args.size();) {
    const size_t taken = take_own(app, args, at, own);
    if (!taken && is_flag(args[at]))
      throw InputError(fmt::format("command line: unknown flag {}{}; see `{} --help`", shown(args[at]),
                                   did_you_mean(args[at], flags_of(app)), app.get_name()));
    if (!taken) own.push_back(args[at]);
    at += std::max<size_t>(taken, 1);
  }
  parse_own(app, std::move(own), false);
}

}  // namespace mbt
