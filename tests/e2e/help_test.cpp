// --help, `mbtrain help`, the shells' completion and the man page: all of them know every verb, option and field.
#include <fmt/format.h>

#include <set>

#include "core/base/strings.h"
#include "core/config/field_text.h"
#include "core/megatron/argument_table.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::help_test {

namespace {

std::string out_of(const std::vector<std::string>& args) {
  const TemporaryFolder folder;
  const RunResult result = run_binary(args, folder.path());
  INFO(join(args, " "));
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  return result.out;
}

RunResult refused(const std::vector<std::string>& args) {
  const TemporaryFolder folder;
  RunResult result = run_binary(args, folder.path());
  INFO(join(args, " "));
  CHECK(result.exit_code == 2);
  CHECK(result.out.empty());
  return result;
}

/// The words at the beginning of the lines under a heading.
std::vector<std::string> names_under(const std::string& help, const std::string& heading) {
  std::vector<std::string> names;
  size_t at = help.find("\n" + heading);
  REQUIRE(at != std::string::npos);
  for (at = help.find('\n', at + 1) + 1; at < help.size() && help.compare(at, 2, "  ") == 0; at = help.find('\n', at) + 1)
    if (help[at + 2] != ' ') names.push_back(help.substr(at + 2, help.find_first_of(" ,\n", at + 2) - at - 2));
  return names;
}

/// Every verb, and every sub-verb behind its verb.
const std::vector<std::vector<std::string>>& all_verbs() {
  static std::vector<std::vector<std::string>> all;
  if (!all.empty()) return all;
  for (const std::string& verb : names_under(out_of({"help"}), "Verbs; without one, train:")) {
    all.push_back({verb});
    const std::string help = out_of({"help", verb});
    if (help.find("\nWHAT:\n") == std::string::npos) continue;
    for (const std::string& what : names_under(help, "WHAT:")) all.push_back({verb, what});
  }
  return all;
}

std::vector<std::string> joined(std::vector<std::string> words, const std::string& last) {
  words.push_back(last);
  return words;
}

/// The script, with a function that proposes what Tab would after a line: `propose 'mbtrain pl'`.
std::string bash_script() {
  return out_of({"completion", "bash"}) + R"(
propose() {
  COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=()
  local word
  for word in $1; do  # as readline splits: at blanks and at '='
    while [[ $word == *=* ]]; do
      [[ -n ${word%%=*} ]] && COMP_WORDS+=("${word%%=*}")
      COMP_WORDS+=("=") word=${word#*=}
    done
    [[ -n $word ]] && COMP_WORDS+=("$word")
  done
  [[ $1 == *' ' ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _mbtrain
  printf '%s\n' "[$1]" "${COMPREPLY[@]}"
}
)";
}

/// What bash proposes for each line, in a folder with texts.txt and run/.
std::vector<std::set<std::string>> proposals(const std::vector<std::string>& lines) {
  const TemporaryFolder folder;
  folder.file("texts.txt", "text");
  std::filesystem::create_directory(folder.path() + "/run");
  std::string script = bash_script();
  for (const std::string& line : lines) script += "propose '" + line + "'\n";
  folder.file("complete.bash", script);
  const RunResult result = run_words({"bash", "complete.bash"}, folder.path());
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.err.empty());
  std::vector<std::set<std::string>> all;
  for (const std::string& line : split(result.out, '\n')) {
    if (line.starts_with('[')) all.emplace_back();
    else if (!line.empty()) all.back().insert(line);
  }
  REQUIRE(all.size() == lines.size());
  return all;
}

}  // namespace

TEST_CASE("Every verb explains itself, by help and by --help") {
  const auto& verbs = all_verbs();
  CHECK(verbs.size() > 30);
  for (const std::vector<std::string>& verb : verbs) {
    std::vector<std::string> words{"help"};
    words.insert(words.end(), verb.begin(), verb.end());
    const std::string help = out_of(words);
    CHECK_THAT(help, ContainsSubstring("Usage: mbtrain " + join(verb, " ")));
    CHECK(out_of(joined(verb, "--help")) == help);
    CHECK(out_of(joined(verb, "-h")) == help);
    for (const std::string& line : split(help, '\n')) CHECK(line.size() <= 100);
  }
}

TEST_CASE("A verb's own options come first; --help-all has every field") {
  const std::string help = out_of({"plan", "--help"}), all = out_of({"plan", "--help-all"});
  CHECK(help.find("--ranks N") < help.find("--config FILE|NAME"));
  CHECK(std::count(help.begin(), help.end(), '\n') < 80);
  CHECK_THAT(help, ContainsSubstring("mbtrain plan --help-all") && ContainsSubstring("--train-iters N") && ContainsSubstring("model   "));
  CHECK_THAT(help, !ContainsSubstring("layernorm_epsilon"));
  const DefaultFields defaults;
  for (const Field& field : defaults.table.all()) CHECK_THAT(all, ContainsSubstring(fmt::format("\n  {}", field.info.name)));
  const std::string megatron = out_of({"pretrain_gpt", "--help-all"});
  for (const MegatronArgument& a : megatron_arguments()) CHECK_THAT(megatron, ContainsSubstring("\n  " + a.flag));
}

TEST_CASE("Help is as wide as $COLUMNS, and at most 100") {
  for (const auto& [columns, width] : std::vector<std::pair<std::string, size_t>>{{"70", 70}, {"300", 100}, {"nonsense", 100}}) {
    const TemporaryFolder folder;
    const RunResult result = run_words({"env", "COLUMNS=" + columns, MBT_BINARY, "train", "--help"}, folder.path());
    CHECK(result.exit_code == 0);
    size_t longest = 0;
    for (const std::string& line : split(result.out, '\n')) longest = std::max(longest, line.size());
    CHECK(longest <= width);
    CHECK(longest > width - 10);
  }
}

TEST_CASE("help explains sections, fields and foreign flags, and names the nearest of what it does not know") {
  CHECK_THAT(out_of({"help", "model"}), ContainsSubstring("num_layers") && ContainsSubstring("hidden_size"));
  CHECK_THAT(out_of({"help", "--num-layers"}), ContainsSubstring("model.num_layers") && ContainsSubstring("Default"));
  CHECK_THAT(out_of({"help", "--learning-rate"}), ContainsSubstring("it is --lr"));
  CHECK_THAT(out_of({"help", "--transformer-impl"}), ContainsSubstring("mbtrain pretrain_gpt") && ContainsSubstring("no effect"));
  CHECK_THAT(refused({"help", "plna"}).err, ContainsSubstring("did you mean \"plan\"?"));
  CHECK_THAT(refused({"help", "model.num_layer"}).err, ContainsSubstring("did you mean \"model.num_layers\"?"));
  CHECK_THAT(refused({"help", "xyzzy"}).err, ContainsSubstring("expected a verb (train, "));
  CHECK_THAT(refused({"help", "bench", "gem"}).err, ContainsSubstring("did you mean \"gemm\"?"));
  CHECK_THAT(refused({"help", "plan", "more"}).err, ContainsSubstring("`mbtrain plan` has no \"more\""));
  CHECK_THAT(refused({"help", "--lr", "--save"}).err, ContainsSubstring("expected one topic"));
}

TEST_CASE("bash completes every verb, and the options that its --help shows") {
  const auto& verbs = all_verbs();
  std::vector<std::string> lines{"mbtrain "};
  for (const std::vector<std::string>& verb : verbs) lines.push_back("mbtrain " + join(verb, " ") + " -");
  const auto found = proposals(lines);
  for (size_t i = 0; i < verbs.size(); ++i) {
    if (verbs[i].size() == 1) CHECK(found[0].count(verbs[i][0]) == 1);
    const std::string help = out_of(joined(verbs[i], "--help"));
    if (help.find("\nOptions:\n") == std::string::npos) continue;
    INFO(lines[i + 1]);
    for (const std::string& option : names_under(help, "Options:")) CHECK(found[i + 1].count(option) == 1);
  }
}

TEST_CASE("bash completes every field in each of its spellings") {
  const DefaultFields defaults;
  std::vector<std::string> lines{"mbtrain --", "mbtrain plan "};
  for (const SectionInfo& section : config_sections()) {
    lines.push_back("mbtrain --" + std::string(section.name) + ".");
    lines.push_back("mbtrain plan " + std::string(section.name) + ".");
  }
  const auto found = proposals(lines);
  for (size_t i = 0; i < config_sections().size(); ++i) {
    const std::string section = config_sections()[i].name;
    CHECK(found[0].count("--" + section + ".") == 1);
    CHECK(found[1].count(section + ".") == 1);
    for (const Field* field : defaults.of(section)) {
      if (!field->alias.empty()) CHECK(found[0].count("--" + field->alias) == 1);
      CHECK(found[2 + 2 * i].count("--" + field->path()) == 1);
      CHECK(found[3 + 2 * i].count(field->path() + "=") == 1);
    }
  }
}

TEST_CASE("bash completes values: choices, recipes, shipped configs, files, folders") {
  const std::vector<std::pair<std::string, std::set<std::string>>> cases{
      {"mbtrain pl", {"plan"}},
      {"mbtrain bench s", {"scaling", "step"}},
      {"mbtrain help bench s", {"scaling", "step"}},
      {"mbtrain --device ", {"auto", "cpu", "cuda"}},
      {"mbtrain --device=c", {"cpu", "cuda"}},
      {"mbtrain train.device=c", {"cpu", "cuda"}},
      {"mbtrain --log-throughput=", {"true", "false"}},
      {"mbtrain --mixed-precision bf16_with_nv", {"bf16_with_nvfp4_mixed"}},
      {"mbtrain recipes show bf16_with_nv", {"bf16_with_nvfp4_mixed"}},
      {"mbtrain --config llama3.1_8", {"llama3.1_8b"}},
      {"mbtrain --save ", {"run"}},
      {"mbtrain --data-path te", {"texts.txt"}},
      {"mbtrain --data-path 0.3 texts.txt 0.7 te", {"texts.txt"}},
      {"mbtrain convert to-hf run out --dtype f", {"fp16", "fp32"}},
      {"mbtrain completion ", {"bash", "fish", "zsh"}},
  };
  std::vector<std::string> lines{"mbtrain pretrain_gpt --fp8-f"};
  for (const auto& [line, expected] : cases) lines.push_back(line);
  const auto found = proposals(lines);
  CHECK(found[0].count("--fp8-format") == 1);
  for (size_t i = 0; i < cases.size(); ++i) {
    INFO(cases[i].first);
    CHECK(found[i + 1] == cases[i].second);
  }
}

TEST_CASE("Every verb, option and field is in the scripts and in the man page") {
  const DefaultFields defaults;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const std::string script = out_of({"completion", shell});
    for (const std::vector<std::string>& verb : all_verbs()) {
      const std::string scope = verb.size() == 1 ? "mbtrain" : "mbtrain " + verb[0];
      CHECK_THAT(script, ContainsSubstring(scope + "\t" + verb.back() + "\t@verb"));
    }
    for (const Field& field : defaults.table.all()) CHECK_THAT(script, ContainsSubstring("field\t--" + field.path() + "\t"));
  }
  std::string page = out_of({"man"});
  CHECK_THAT(page, ContainsSubstring(".SH NAME\nmbtrain \\- "));
  for (size_t at = 0; (at = page.find("\\-", at)) != std::string::npos;) page.erase(at, 1);
  for (const std::vector<std::string>& verb : all_verbs()) CHECK_THAT(page, ContainsSubstring(".SS mbtrain " + join(verb, " ")));
  for (const Field& field : defaults.table.all()) CHECK_THAT(page, ContainsSubstring("\n.B " + field.path()));
  for (const std::string& line : split(page, '\n')) {
    if (line.starts_with('.'))
      CHECK((line.substr(0, 2) == ".\\" || line.substr(0, 2) == ".T" || line.substr(0, 2) == ".S" || line.substr(0, 2) == ".B"));
  }
}

TEST_CASE("The shells accept the scripts") {
  const TemporaryFolder folder;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    folder.file("script", out_of({"completion", shell}));
    if (shell != "bash" && run_words({shell, "-c", "true"}, folder.path()).exit_code != 0) continue;  // not installed
    CHECK(run_words({shell, "-n", "script"}, folder.path()).exit_code == 0);
  }
}

TEST_CASE("What a newcomer types is answered with ours") {
  const auto answers = [](const std::vector<std::string>& args, const std::string& expected) {
    CHECK_THAT(refused(args).err, ContainsSubstring(expected));
  };
  answers({"run.json"}, "a run config is given as --config run.json");
  answers({"plan", "run.json"}, "a run config is given as --config run.json");
  answers({"plan", "llama3.1_8b"}, "a run config is given as --config llama3.1_8b");
  answers({"run.yaml"}, "run configs are JSON, not YAML");
  answers({"plan", "run.yml"}, "run configs are JSON, not YAML");
  answers({"--config", "run.yaml"}, "run configs are JSON, not YAML");
  answers({"--config", "run.toml"}, "run configs are JSON, not TOML");
  answers({"plan", "--ranks"}, "--ranks needs a value behind it");
  answers({"plan", "--ranks", "many"}, "--ranks: got \"many\", expected an integer");
  answers({"plan", "--ranks", "0"}, "--ranks: got \"0\", expected an integer from 1 to 1000000");
  answers({"plan", "--json=3"}, "--json takes no value, got \"3\"");
  answers({"generate", "--load", "x", "--temperature", "hot"}, "--temperature: got \"hot\", expected a number");
  answers({"tokenizer", "show", "a", "b"}, "more arguments than expected: b");
  answers({"completion", "bsh"}, "expected one of bash, zsh, fish; did you mean \"bash\"?");
  answers({"quantize", "in", "out", "--rol", "weight"}, "\"--rol\": unknown flag; did you mean \"--role\"?");
}

}  // namespace mbt::test::help_test
