// mbtrain: finds the verb, runs it, and turns errors into messages and exit codes: 0 done, 1 the run failed, 2 bad usage or bad input.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/program.h"
#include "apps/mbtrain/verb_help.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/strings.h"
#include "kernels/launch.h"

namespace mbt {
namespace {

const Verb& find_verb(const std::string& name) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs()) {
    if (name == verb.name) return verb;
    names.emplace_back(verb.name);
  }
  if (name.ends_with(".json")) throw InputError(fmt::format("{} is no verb; a run config is given as --config {}", shown(name), name));
  if (name.ends_with(".yaml") || name.ends_with(".yml"))
    throw InputError(
        fmt::format("{} is no verb, and run configs are JSON, not YAML: write it as JSON and give it as --config FILE; "
                    "`mbtrain config show` prints one to begin with",
                    shown(name)));
  const std::string hint = did_you_mean(name, names);
  throw InputError("unknown verb " + shown(name) + (hint.empty() ? "; expected one of " + join(names, ", ") : hint));
}

bool is_word(const std::string& argument) { return !argument.empty() && argument[0] != '-' && argument.find('=') == std::string::npos; }

int dispatch(std::vector<std::string> args) {
  if (!args.empty() && (args[0] == "--help" || args[0] == "-h")) args = {"help"};
  if (!args.empty() && args[0] == "--version") {
    std::cout << program_text() << "\n";
    return 0;
  }
  std::string verb = "train";
  if (!args.empty() && is_word(args[0])) {
    verb = args[0];
    args.erase(args.begin());
  }
  const Verb& found = find_verb(verb);
  if (!found.on_ranks && launched_as().rank > 0) return 0;
  return found.run(args);
}

/// 0, or 1 when what was printed could not be written.
int flush_output() {
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return 0;
  if (errno == 0) {  // it failed before, in the midst of the output: the system is asked for the reason again
    std::clearerr(stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }
  const int reason = errno;
  if (reason != EPIPE)
    std::cerr << "mbtrain: error: cannot write to standard output" << (reason != 0 ? std::string(": ") + std::strerror(reason) : "")
              << "\n";
  return 1;
}

int run(std::vector<std::string> args) {
  try {
    const int code = dispatch(std::move(args));
    return std::max(code, flush_output());
  } catch (const HelpRequest& request) {  // under a launcher every rank was asked
    if (launched_as().rank <= 0) std::cout << verb_help_text(request, help_width());
    return flush_output();
  } catch (const ReaderWentAway&) {
    return 1;
  } catch (const std::exception& error) {
    std::cerr << error_line(error);
    return exit_code_of(error);
  }
}

/// By default OpenMP's threads spin for milliseconds at every barrier, which starves whatever else runs on the machine, another mbtrain
/// above all (measured: both up to 28 times slower). libgomp reads its settings before main, so the program starts itself once more with
/// a short spin, after which threads sleep. Whoever sets OMP_WAIT_POLICY or GOMP_SPINCOUNT has chosen.
void restart_with_patient_threads(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "1000", 0);  // microseconds: alone as fast as ever, two at once each at half the speed
  char path[4096] = "";                 // the file itself, so that ps and pkill find the process by its name
  if (readlink("/proc/self/exe", path, sizeof path - 1) > 0)
    execv(path, argv);  // returns only where there is no /proc: then the threads spin
}

}  // namespace
}  // namespace mbt

int main(int argc, char** argv) {
  mbt::restart_with_patient_threads(argv);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a failed write, not a silent death before the checkpoint
  std::signal(SIGXFSZ, SIG_IGN);  // so is a file that has grown as large as a limit allows
  mbt::set_command_line({argv, argv + argc});
  mbt::open_log();
  return mbt::run({argv + 1, argv + argc});
}
