// mbtrain help: the overview, a verb, a section of the config, a field.
#include <iostream>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/environment.h"
#include "apps/mbtrain/verb_help.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "core/base/two_columns.h"
#include "core/config/help.h"
#include "core/config/upstream_names.h"
#include "core/megatron/argument_table.h"
#include "core/megatron/reference.h"

namespace mbt {
namespace {

std::string overview(size_t width) {
  std::vector<std::pair<std::string, std::string>> verb_rows, environment;
  for (const Verb& verb : verbs()) verb_rows.emplace_back(verb.name, verb.doc);
  for (const EnvironmentVariable& v : kEnvironment) environment.emplace_back(v.name, v.doc);
  const std::vector<std::pair<std::string, std::string>> examples{
      {"mbtrain", "Train a small model on built-in data"},
      {"mbtrain --mixed-precision RECIPE", "The same in another precision"},
      {"mbtrain --config FILE --lr 1e-3", "Train what a file describes, with one field changed"},
      {"mpirun -np 4 mbtrain ...", "Train on four ranks; or srun --mpi=pmix -n 4 mbtrain ..."}};
  return wrapped("mbtrain trains transformers in low precision.", width, 0) + "\n\nUsage: mbtrain [VERB] [ARGUMENTS]\n" +
         two_columns(examples, width) + "\nVerbs; without one, train:\n" + two_columns(verb_rows, width) + "\n" +
         wrapped(
             "`mbtrain help VERB` or `mbtrain VERB --help` explains a verb, `mbtrain help FIELD` a field of the config, such as `mbtrain "
             "help --lr`.",
             width, 0) +
         "\n\nEnvironment:\n" + two_columns(environment, width) + "\n" + wrapped("Exit codes: " + std::string(kExitCodes) + ".", width, 0) +
         "\n";
}

const Verb* verb_called(const std::string& name) {
  for (const Verb& verb : verbs())
    if (name == verb.name) return &verb;
  return nullptr;
}

/// A flag that only `mbtrain pretrain_gpt` takes, or that belongs to another trainer.
std::optional<std::string> foreign_flag_help(const std::string& flag, size_t width) {
  if (flag.rfind("--", 0) != 0) return std::nullopt;
  if (const char* here = what_it_is_here(flag.substr(2)))
    return wrapped(flag + " is a flag of other trainers; here " + here, width, 2) + "\n";
  if (const MegatronArgument* a = find_megatron_argument(flag))
    return wrapped(a->flag + " is an argument of Megatron-LM, for `mbtrain pretrain_gpt`: " + what_becomes_of(*a), width, 2) + "\n";
  return std::nullopt;
}

[[noreturn]] void refuse_topic(const std::string& topic) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs()) names.emplace_back(verb.name);
  std::string hint = did_you_mean(topic, names);
  if (hint.empty()) hint = did_you_mean(topic, config_topics());
  if (hint.empty()) hint = "; expected a verb (" + join(names, ", ") + "), a section or a field of the config";
  throw InputError(fmt::format("mbtrain help: there is nothing called {}{}", shown(topic), hint));
}

}  // namespace

int cmd_help(const std::vector<std::string>& args) {
  VerbOptions options("Explain a verb, a section of the config or a field; without a topic, list the verbs", "mbtrain help");
  std::vector<std::string> topic;
  options.add_option("TOPIC", topic, "A verb and its sub-verb (bench gemm), a section (model) or a field (model.num_layers, --lr)");
  const size_t width = help_width();
  if (args == std::vector<std::string>{"--help"} || args == std::vector<std::string>{"-h"}) options.parse(args);
  if (args.empty()) {
    std::cout << overview(width);
    return 0;
  }
  if (const Verb* verb = verb_called(args[0])) {
    std::cout << verb_help_text({help_of(*verb, {args.begin() + 1, args.end()})}, width);
    return 0;
  }
  std::optional<std::string> text = help_about(args[0], width);
  if (!text) text = foreign_flag_help(args[0], width);
  if (!text) refuse_topic(args[0]);
  if (args.size() > 1) throw InputError(fmt::format("mbtrain help: got {} after {}, expected one topic", shown(args[1]), args[0]));
  std::cout << *text;
  return 0;
}

}  // namespace mbt
