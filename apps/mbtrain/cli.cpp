#include "apps/mbtrain/cli.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "apps/mbtrain/verb_help.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"

namespace mbt {

void print_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size()) return;
  if (errno == EPIPE) throw ReaderWentAway{};
  throw WriteError(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
}

int exit_code_of(const std::exception& error) {
  if (const auto* agreed = dynamic_cast<const AgreedError*>(&error)) return agreed->exit_code;
  return dynamic_cast<const InputError*>(&error) != nullptr ? 2 : 1;
}

std::string error_line(const std::exception& error, const std::string& where) {
  const bool is_out_of_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  return fmt::format("mbtrain: error: {}{}\n", where, is_out_of_memory ? "out of memory" : error.what());
}

int run_sub_verb(const std::string& verb, const std::string& description, std::span<const SubVerb> sub_verbs,
                 const std::vector<std::string>& args) {
  const std::string command = "mbtrain " + verb;
  const std::string word = args.empty() ? "" : args[0];
  std::vector<std::string> names;
  VerbHelp help{.command = command, .description = description, .options = {}, .sub_verbs = {}, .needs_sub_verb = true};
  for (const SubVerb& s : sub_verbs) {
    if (word == s.name) return s.run({args.begin() + 1, args.end()});
    names.emplace_back(s.name);
    help.sub_verbs.push_back({s.name, s.doc});
  }
  if (word == "--help" || word == "-h" || word == "--help-all" || word == "help") throw HelpRequest{std::move(help)};
  const std::string problem = args.empty() ? "WHAT is missing" : "got " + shown(word);
  throw InputError(fmt::format("{}: {}, expected one of {}; see `{} --help`{}", command, problem, join(names, ", "), command,
                               did_you_mean(word, names)));
}

}  // namespace mbt
