#include "apps/mbtrain/cli.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

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
    throw InputError(text("command line: ", args[at].substr(0, equals), ": got an empty value; see `", app.get_name(), " --help`"));
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
    throw InputError(text("command line: ", error.what(), "; see `", app.get_name(), " --help`"));
  }
}

}  // namespace

void print_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size()) return;
  if (errno == EPIPE) throw ReaderWentAway{};
  throw WriteError(mbt::text("cannot write to standard output: ", std::strerror(errno)));
}

ConfigInput parse_config_args(CLI::App& app, const std::vector<std::string>& args) {
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

void parse_args(CLI::App& app, const std::vector<std::string>& args) {
  std::vector<std::string> own;
  for (size_t at = 0; at < args.size();) {
    const size_t taken = take_own(app, args, at, own);
    if (!taken && is_flag(args[at]))
      throw InputError(text("command line: unknown flag ", shown(args[at]), did_you_mean(args[at], flags_of(app)), "; see `",
                            app.get_name(), " --help`"));
    if (!taken) own.push_back(args[at]);
    at += std::max<size_t>(taken, 1);
  }
  parse_own(app, std::move(own), false);
}

int run_sub_verb(const std::string& verb, const std::string& description, std::span<const SubVerb> sub_verbs,
                 const std::vector<std::string>& args) {
  const std::string command = "mbtrain " + verb;
  const std::string word = args.empty() ? "" : args[0];
  std::vector<std::string> names;
  std::string help = description + "\n\nUsage: " + command + " WHAT [ARGUMENTS]\n\nWHAT:\n";
  for (const SubVerb& s : sub_verbs) {
    if (word == s.name) return s.run({args.begin() + 1, args.end()});
    names.emplace_back(s.name);
    help += "  " + names.back() + std::string(std::max<size_t>(14, names.back().size() + 2) - names.back().size(), ' ') + s.doc + "\n";
  }
  if (word == "--help" || word == "-h" || word == "help") throw HelpRequest{help + "\nEach has its own --help.\n"};
  const std::string problem = args.empty() ? "WHAT is missing" : "got " + shown(word);
  throw InputError(
      text(command, ": ", problem, ", expected one of ", join(names, ", "), "; see `", command, " --help`", did_you_mean(word, names)));
}

}  // namespace mbt
