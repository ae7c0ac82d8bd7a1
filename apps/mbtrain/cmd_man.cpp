// mbtrain man: the man page, made from what --help is made from.
#include <iostream>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/environment.h"
#include "apps/mbtrain/verb_help.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/command_line.h"
#include "core/config/field_text.h"

namespace mbt {
namespace {

/// Text in roff: a backslash begins an escape, and some characters are printed as typographic ones.
std::string roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') escaped += "\\e";
    else if (c == '-') escaped += "\\-";
    else if (c == '\'') escaped += "\\(aq";
    else if (c == '"') escaped += "\\(dq";
    else if (c == '^') escaped += "\\(ha";
    else if (c == '`') escaped += "\\(ga";
    else if (c == '~') escaped += "\\(ti";
    else escaped += c;
  }
  return escaped;
}

/// Lines of text; one that begins with a dot would be a request.
std::string paragraph(const std::string& text) {
  std::string lines;
  for (const std::string& line : split(wrapped(roff(text), 78, 0), '\n')) lines += (line.starts_with('.') ? "\\&" : "") + line + "\n";
  return lines;
}

std::string sentence(const std::string& text) { return paragraph(text.ends_with('.') ? text : text + "."); }

std::string item(const std::string& name, const std::string& text) { return ".TP\n.B " + roff(name) + "\n" + paragraph(text); }

std::string option_items(const VerbHelp& help) {
  std::string page;
  for (const OptionHelp& option : help.options) {
    const std::string value = option.is_positional ? "" : option.shown_value();
    page += item(join(option.names, ", ") + (value.empty() ? "" : " " + value), option.full_doc());
  }
  return page;
}

std::string verb_part(const Verb& verb, const std::vector<std::string>& sub_verbs) {
  const VerbHelp help = help_of(verb, sub_verbs);
  std::string page = ".SS " + roff(help.usage()) + "\n" + sentence(help.description) + option_items(help);
  for (const SubVerbHelp& s : help.sub_verbs) page += verb_part(verb, {s.name});
  return page;
}

std::string config_part() {
  std::string page = paragraph(
      "The verbs whose usage ends in [RUN CONFIG] take these. The command line wins over files. '-' and '_' are equal in names; "
      "null unsets an optional field; a flag of true/false without a value means true.");
  for (const ConfigFlag& flag : config_flags())
    page += item(std::string(flag.name) + (*flag.value ? std::string(" ") + flag.value : ""), flag.doc);
  page += item("--SECTION.FIELD VALUE", "Any field below; also SECTION.FIELD=VALUE.");
  const DefaultFields defaults;
  for (const SectionInfo& section : config_sections()) {
    page += ".SS " + roff(std::string("Section ") + section.name) + "\n" + sentence(section.doc);
    for (const Field* field : defaults.of(section.name)) {
      const std::vector<std::string> flags = flags_of(*field);
      page += item(field->path() + (flags.empty() ? "" : ", " + join(flags, ", ")),
                   meaning(*field) + " (default " + default_text(*field) + "; " + field->expected() + ")");
    }
  }
  return page;
}

std::string man_page() {
  std::string page = fmt::format(".\\\" Made by `mbtrain man`.\n.TH MBTRAIN 1 {} \"mbtrain {}\"\n", MBT_VERSION_DATE, MBT_VERSION);
  page +=
      ".SH NAME\nmbtrain \\- train language models in low precision\n"
      ".SH SYNOPSIS\n.B mbtrain\n[\\fIVERB\\fR] [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n";
  page += paragraph(
      "mbtrain trains transformer language models in bf16, fp16, FP8, MXFP8 and NVFP4, on CPUs and NVIDIA GPUs. Without a "
      "verb it trains; without arguments, a small model on built-in data. `mbtrain help VERB` and `mbtrain help FIELD` "
      "explain a verb and a field.");
  page += ".SH VERBS\n";
  for (const Verb& verb : verbs()) page += verb_part(verb, {});
  page += ".SH RUN CONFIG\n" + config_part() + ".SH ENVIRONMENT\n";
  for (const EnvironmentVariable& v : kEnvironment) page += item(v.name, v.doc);
  page += ".SH EXIT STATUS\n" + sentence(kExitCodes);
  page += ".SH EXAMPLES\n";
  page += item("mbtrain --mixed-precision bf16_with_fp8_current_scaling_mixed", "Train a small model in FP8.");
  page += item("mbtrain plan --config run.json --ranks 64", "Show what a run on 64 ranks needs.");
  page += item("mpirun -np 4 mbtrain --config run.json --checkpoint.save out/run", "Train on four ranks, with checkpoints.");
  return page + ".SH SEE ALSO\n.BR mpirun (1)\n";
}

}  // namespace

int cmd_man(const std::vector<std::string>& args) {
  VerbOptions options("Print the man page: `mbtrain man | man -l -` shows it", "mbtrain man");
  options.parse(args);
  std::cout << man_page();
  return 0;
}

}  // namespace mbt
