#include "apps/mbtrain/verb_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <optional>
#include <type_traits>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/config/command_line.h"

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
  if (option->get_items_expected_max() == 0 && equals != std::string::npos)
    throw InputError(fmt::format("command line: {} takes no value, got {}; see `{} --help`", args[at].substr(0, equals),
                                 shown(args[at].substr(equals + 1)), app.get_name()));
  if (option->get_items_expected_min() > 0 && equals == std::string::npos && at + 1 == args.size())
    throw InputError(fmt::format("command line: {} needs a value behind it; see `{} --help`", args[at], app.get_name()));
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

/// What stands for a value of this type in usage.
template <class T>
const char* value_name_of() {
  if constexpr (std::is_same_v<T, bool>) return "true|false";
  else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>>) return "X";
  else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<std::string>>) return "TEXT";
  else return "N";
}

template <class T>
std::string range_text(T least, T most) {
  constexpr auto kNoLimit = static_cast<T>(1LL << 30);  // from here on a limit only guards the arithmetic
  return most >= kNoLimit ? fmt::format("at least {}", least) : fmt::format("{} to {}", least, most);
}

/// Restricts the values of a number. CLI11's own checks answer in its words, with the types of C++. T: int64_t or double.
template <class T>
void accept_numbers(CLI::Option* option, T least, T most, const std::string& range) {
  const auto problem = [=](const std::string& text) -> std::string {
    T value{};
    bool is_number = false;
    if constexpr (std::is_same_v<T, double>) is_number = parse_number(text, value) == ParseResult::ok;
    else is_number = parse_integer(text, value) == ParseResult::ok;
    if (is_number && value >= least && value <= most) return "";
    return fmt::format("got {}, expected {}{}", shown(text), std::is_same_v<T, double> ? "a number" : "an integer", range);
  };
  option->check(CLI::Validator(problem, ""));
}

template <class T>
struct InnerOf {
  using type = T;
};
template <class T>
struct InnerOf<std::optional<T>> {
  using type = T;
};

/// Numbers are refused in our words whether or not they have a range.
template <class T>
void accept_type(CLI::Option* option) {
  using Inner = typename InnerOf<T>::type;
  using Limits = std::numeric_limits<Inner>;
  if constexpr (std::is_same_v<Inner, double>) accept_numbers(option, Limits::lowest(), Limits::max(), "");
  else if constexpr (std::is_integral_v<Inner> && !std::is_same_v<Inner, bool>)
    accept_numbers(option, int64_t{Limits::min()}, int64_t{Limits::max()}, "");
}

OptionHelp help_option(bool with_config) {
  OptionHelp help;
  help.names = {"-h", "--help"};
  help.doc = with_config ? "Show this help; --help-all also lists every config field" : "Show this help";
  return help;
}

}  // namespace

VerbOption VerbOption::required() const {
  option_->required();
  help_->is_required = true;
  return *this;
}

VerbOption VerbOption::range(int64_t least, int64_t most) const {
  const std::string range = range_text(least, most);
  accept_numbers(option_, least, most, (range.starts_with("at least") ? " of " : " from ") + range);
  help_->limits.push_back(range);
  return *this;
}

VerbOption VerbOption::range(double least, double most) const {
  const std::string range = range_text(least, most);
  accept_numbers(option_, least, most, (range.starts_with("at least") ? " of " : " from ") + range);
  help_->limits.push_back(range);
  return *this;
}

VerbOption VerbOption::positive() const {
  accept_numbers(option_, std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max(), " above 0");
  help_->limits.emplace_back("above 0");
  return *this;
}

VerbOption VerbOption::at_least_zero() const {
  accept_numbers(option_, 0.0, std::numeric_limits<double>::max(), " of at least 0");
  help_->limits.emplace_back("at least 0");
  return *this;
}

VerbOption VerbOption::one_of(const std::vector<std::string>& choices) const {
  option_->check(CLI::Validator(
      [choices](const std::string& value) {
        if (std::find(choices.begin(), choices.end(), value) != choices.end()) return std::string();
        return fmt::format("got {}, expected one of {}{}", shown(value), join(choices, ", "), did_you_mean(value, choices));
      },
      ""));
  help_->choices = choices;
  if (help_->value == "TEXT") help_->value = "CHOICE";
  return *this;
}

VerbOption VerbOption::excludes(VerbOption other) const {
  option_->excludes(other.option_);
  return *this;
}

VerbOption VerbOption::repeatable() const {
  option_->allow_extra_args(false);
  help_->takes_many = false;
  return *this;
}

VerbOption VerbOption::separated_by(char c) const {
  option_->delimiter(c);
  help_->takes_many = false;
  return *this;
}

VerbOption VerbOption::called(const char* type) const {
  option_->type_name(type);
  help_->value = type;
  return *this;
}

VerbOption VerbOption::with_default_shown() const {
  option_->capture_default_str();
  const std::string text = option_->get_default_str();
  if (!text.empty() && text != "[]" && text != "{}") help_->limits.insert(help_->limits.begin(), "default " + text);
  return *this;
}

bool VerbOption::is_given() const { return option_->count() > 0; }

VerbOptions::VerbOptions(const std::string& description, const std::string& command)
    : app_(std::make_unique<CLI::App>(description, command)) {
  app_->set_help_all_flag("--help-all");
}
VerbOptions::~VerbOptions() = default;

VerbOption VerbOptions::add(CLI::Option* option, std::string value, const std::string& doc) {
  OptionHelp& help = help_.emplace_back();
  help.is_positional = option->get_positional();
  if (help.is_positional) help.names = {option->get_name(true)};
  for (const std::string& name : option->get_snames()) help.names.push_back("-" + name);
  for (const std::string& name : option->get_lnames()) help.names.push_back("--" + name);
  if (value == "true|false") help.choices = {"true", "false"};
  help.value = std::move(value);
  help.doc = doc;
  help.takes_many = option->get_items_expected_max() > 1;
  const VerbOption added(option, help);
  return shows_defaults_ && !help.value.empty() ? added.with_default_shown() : added;
}

template <class T>
VerbOption VerbOptions::add_option(const std::string& names, T& variable, const std::string& doc) {
  CLI::Option* const option = app_->add_option(names, variable, doc);
  accept_type<T>(option);
  return add(option, value_name_of<T>(), doc);
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
  return add(app_->add_flag(names, variable, doc), "", doc);
}

void VerbOptions::show_defaults() { shows_defaults_ = true; }

HelpRequest VerbOptions::help_request(bool with_config, bool wants_all) const {
  VerbHelp help{.command = app_->get_name(),
                .description = app_->get_description(),
                .options = {help_.begin(), help_.end()},
                .sub_verbs = sub_verbs_,
                .needs_sub_verb = false,
                .takes_config = with_config};
  help.options.push_back(help_option(with_config));
  return {std::move(help), wants_all};
}

void VerbOptions::parse_own(std::vector<std::string> own, bool with_config) {
  try {
    std::reverse(own.begin(), own.end());  // CLI11 takes them from the back
    app_->parse(std::move(own));
  } catch (const CLI::CallForAllHelp&) {
    throw help_request(with_config, true);
  } catch (const CLI::CallForHelp&) {
    throw help_request(with_config, false);
  } catch (const CLI::ExtrasError&) {
    throw InputError(fmt::format("command line: there are more arguments than expected: {}; see `{} --help`", join(app_->remaining(), " "),
                                 app_->get_name()));
  } catch (const CLI::ParseError& error) {
    throw InputError(fmt::format("command line: {}; see `{} --help`", error.what(), app_->get_name()));
  }
}

void VerbOptions::answer_help(const std::vector<std::string>& args, bool with_config) {
  for (size_t at = 0; at < args.size(); ++at) {
    const std::string& word = args[at];
    const CLI::Option* option = is_flag(word) ? app_->get_option_no_throw(word) : nullptr;
    const bool may_be_value = word == "-h" && at > 0 && args[at - 1].rfind("--", 0) == 0;  // of a config field
    if (option == app_->get_help_all_ptr() && option) throw help_request(with_config, true);
    if (option == app_->get_help_ptr() && option && !may_be_value) throw help_request(with_config, false);
    if (option && option->get_items_expected_min() > 0) ++at;
  }
}

/// What the verb's own options refuse hides no unknown flag: that is often the reason, as a misspelled --role is for "--role is required".
ConfigInput VerbOptions::finish_with(std::vector<std::string> own, ConfigArguments&& config) {
  std::string problem;
  try {
    parse_own(std::move(own), true);
  } catch (const InputError& error) {
    problem = error.what();
  }
  ConfigInput input = std::move(config).finish();
  if (problem.empty()) return input;
  for (const Problem& other : input.problems) problem += "\n  " + other.where + ": " + other.what;
  throw InputError(problem);
}

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
    at += taken ? taken : config.refuse(args, at, flags_of(app), takes_positionals);
  }
  return finish_with(std::move(own), std::move(config));
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
  parse_own(std::move(own), false);
}

}  // namespace mbt
