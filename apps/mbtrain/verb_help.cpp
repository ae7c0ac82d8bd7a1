#include "apps/mbtrain/verb_help.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "apps/mbtrain/commands.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/base/two_columns.h"
#include "core/config/help.h"
#include "core/megatron/argument_table.h"
#include "core/megatron/reference.h"

namespace mbt {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kShownChoices = 24;  ///< longer lists of choices stand in the doc

std::string in_usage(const OptionHelp& option) {
  const std::string words = option.names[0] + (option.takes_many ? "..." : "");
  if (option.is_positional) return option.is_required ? words : "[" + words + "]";
  return option.names[0] + " " + option.shown_value();
}

Rows rows_of(const std::vector<OptionHelp>& options, bool positional) {
  Rows rows;
  for (const OptionHelp& option : options) {
    if (option.is_positional != positional) continue;
    const std::string value = positional ? "" : option.shown_value();
    rows.emplace_back(join(option.names, ", ") + (value.empty() ? "" : " " + value), option.full_doc());
  }
  return rows;
}

std::string headed(const std::string& heading, const Rows& rows, size_t width) {
  return rows.empty() ? "" : "\n" + heading + ":\n" + two_columns(rows, width);
}

std::string megatron_help(bool wants_all, size_t width) {
  if (!wants_all)
    return "\n" +
           wrapped("`mbtrain pretrain_gpt --help-all` lists Megatron-LM's arguments, and docs/megatron.md explains them.", width, 0) + "\n";
  Rows rows;
  for (const MegatronArgument& a : megatron_arguments()) rows.emplace_back(a.flag, what_becomes_of(a));
  return headed("Megatron-LM's arguments", rows, width);
}

std::string config_part(const HelpRequest& request, size_t width) {
  if (request.wants_all) return "\n" + config_help(width) + "\n" + config_fields_help(width);
  return "\n" + config_help(width) + "\n" +
         wrapped(
             fmt::format("`mbtrain help SECTION` lists the fields of a section, `mbtrain help FIELD` explains one, such as `mbtrain help "
                         "--lr`, and `{} --help-all` lists all fields.",
                         request.help.command),
             width, 0) +
         "\n";
}

}  // namespace

std::string OptionHelp::shown_value() const {
  const std::string all = join(choices, "|");
  return !all.empty() && all.size() <= kShownChoices ? all : value;
}

std::string OptionHelp::full_doc() const {
  std::vector<std::string> notes = limits;
  if (is_required && !is_positional) notes.emplace_back("required");
  if (!choices.empty() && shown_value() == value) notes.push_back("one of " + join(choices, ", "));
  return notes.empty() ? doc : doc + " (" + join(notes, "; ") + ")";
}

std::string VerbHelp::usage() const {
  std::string line = command;
  if (!sub_verbs.empty()) line += needs_sub_verb ? " WHAT" : " [WHAT]";
  for (const OptionHelp& option : options)
    if (option.is_positional || option.is_required) line += " " + in_usage(option);
  const bool has_options =
      needs_sub_verb || std::any_of(options.begin(), options.end(), [](const OptionHelp& option) { return !option.is_positional; });
  if (has_options) line += " [OPTIONS]";
  if (takes_megatron) line += " [ARGUMENTS]";
  if (takes_config) line += " [RUN CONFIG]";
  return line;
}

size_t help_width() {
  constexpr int64_t kLeast = 40, kMost = 100;
  int64_t columns = 0;
  const char* const wanted = std::getenv("COLUMNS");
  if (!wanted || parse_integer(wanted, columns) != ParseResult::ok || columns <= 0) {
    winsize size{};
    columns = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kMost;
  }
  return static_cast<size_t>(std::clamp(columns, kLeast, kMost));
}

std::string verb_help_text(const HelpRequest& request, size_t width) {
  const VerbHelp& help = request.help;
  std::string text = wrapped(help.description, width, 0) + "\n\nUsage: " + wrapped(help.usage(), width - 7, 7) + "\n";
  Rows sub_verbs;
  for (const SubVerbHelp& s : help.sub_verbs) sub_verbs.emplace_back(s.name, s.doc);
  text += headed("WHAT", sub_verbs, width);
  if (help.needs_sub_verb)
    return text + "\n" + wrapped(fmt::format("`mbtrain help {} WHAT` explains one.", help.command.substr(8)), width, 0) + "\n";
  text += headed("Arguments", rows_of(help.options, true), width) + headed("Options", rows_of(help.options, false), width);
  if (help.takes_megatron) text += megatron_help(request.wants_all, width);
  if (help.takes_config) text += config_part(request, width);
  return text;
}

VerbHelp help_of(const Verb& verb, const std::vector<std::string>& sub_verbs) {
  std::string asked = std::string("mbtrain ") + verb.name;
  for (const std::string& word : sub_verbs) asked += " " + word;
  std::vector<std::string> args = sub_verbs;
  args.emplace_back("--help");
  try {
    verb.run(args);
  } catch (const HelpRequest& request) {
    if (request.help.command != asked) throw InputError(fmt::format("`{}` has no {}", request.help.command, shown(sub_verbs.back())));
    return request.help;
  }
  MBT_CHECK(false, "{} does not answer --help", verb.name);
}

}  // namespace mbt
