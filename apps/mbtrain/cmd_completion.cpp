// mbtrain completion: scripts with which shells complete its command line.
#include <iostream>

#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/completion_table.h"
#include "apps/mbtrain/verb_options.h"

namespace mbt {

extern const char* const embedded_completion_bash;  // apps/mbtrain/shell
extern const char* const embedded_completion_zsh;
extern const char* const embedded_completion_fish;

namespace {

/// In single quotes: bash and zsh have no escapes there, fish has two.
std::string single_quoted(const std::string& text, bool is_fish) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += is_fish ? "\\'" : "'\\''";
    else if (c == '\\' && is_fish) quoted += "\\\\";
    else quoted += c;
  }
  return quoted + "'";
}

/// Bash shows no docs.
std::string table_text(bool with_docs) {
  std::string text;
  for (const CompletionRow& row : completion_table())
    text += row.scope + "\t" + row.word + "\t" + row.values + (with_docs ? "\t" + row.doc : "") + "\n";
  return text;
}

std::string filled(std::string script, const std::string& table) {
  const std::string mark = "@TABLE@";
  return script.replace(script.find(mark), mark.size(), table);
}

}  // namespace

int cmd_completion(const std::vector<std::string>& args) {
  VerbOptions options(
      "Print the completion of mbtrain for a shell. bash: `source <(mbtrain completion bash)`; zsh: write it to a file _mbtrain in a "
      "folder "
      "of $fpath; fish: write it to ~/.config/fish/completions/mbtrain.fish. An installed package has all three in place",
      "mbtrain completion");
  std::string shell;
  options.add_option("SHELL", shell, "The shell").required().one_of({"bash", "zsh", "fish"});
  options.parse(args);
  const bool is_fish = shell == "fish";
  const char* const script = shell == "bash" ? embedded_completion_bash : is_fish ? embedded_completion_fish : embedded_completion_zsh;
  std::cout << filled(script, single_quoted(table_text(shell != "bash"), is_fish));
  return 0;
}

}  // namespace mbt
