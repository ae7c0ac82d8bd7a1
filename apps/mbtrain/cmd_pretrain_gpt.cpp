// mbtrain pretrain_gpt: Megatron-LM's command line.
#include <algorithm>
#include <iostream>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_help.h"
#include "core/base/strings.h"
#include "core/megatron/pretrain_gpt.h"
#include "kernels/launch.h"

namespace mbt {
namespace {

OptionHelp option_of(std::vector<std::string> names, const std::string& doc) {
  OptionHelp option;
  option.names = std::move(names);
  option.doc = doc;
  return option;
}

VerbHelp pretrain_gpt_help() {
  VerbHelp help;
  help.command = "mbtrain pretrain_gpt";
  help.description =
      "Train with Megatron-LM's command line: for torchrun ... pretrain_gpt.py ARGS write mpirun ... mbtrain pretrain_gpt ARGS. "
      "Megatron-LM's own defaults hold. Each of its arguments is a field here, has no effect, or is refused with what to do. "
      "section.field=value of mbtrain may follow and wins.";
  help.options = {option_of({"--plan"}, "Show what each argument became, and the plan; train nothing"),
                  option_of({"--json"}, "With --plan: print the plan alone, as JSON"),
                  option_of({"-h", "--help"}, "Show this help; --help-all also lists Megatron-LM's arguments")};
  help.takes_megatron = true;
  return help;
}

bool take_flag(std::vector<std::string>& args, const char* flag) { return std::erase(args, flag) > 0; }

void print_translation(const MegatronTranslation& t) {
  std::cout << "Megatron-LM's arguments\n";
  for (const TranslatedArgument& a : t.given) std::cout << "  " << wrapped(a.argument + "  ->  " + a.became, 116, 6) << "\n";
  std::cout << "\nMegatron-LM's defaults\n  " << wrapped(join(t.defaults, " "), 116, 2) << "\n\n";
}

}  // namespace

int cmd_pretrain_gpt(const std::vector<std::string>& args) {
  std::vector<std::string> theirs = args;
  if (take_flag(theirs, "--help-all")) throw HelpRequest{pretrain_gpt_help(), true};
  if (take_flag(theirs, "--help") || take_flag(theirs, "-h")) throw HelpRequest{pretrain_gpt_help()};
  const bool plans = take_flag(theirs, "--plan"), as_json = plans && take_flag(theirs, "--json");
  const MegatronTranslation t = translate_pretrain_gpt(theirs, launched_as().processes);
  if (!plans) return cmd_train(t.arguments, t.defaults);
  if (launched_as().rank > 0) return 0;
  std::vector<std::string> ours = t.arguments;
  if (as_json) ours.emplace_back("--json");
  else print_translation(t);
  return cmd_plan(ours, t.defaults);
}

}  // namespace mbt
