#include "core/base/problem.h"

#include "core/base/error.h"

namespace mbt {

void throw_problems(const std::vector<Problem>& problems) {
  MBT_CHECK(!problems.empty(), "no problem to report");
  if (problems.size() == 1) throw InputError(problems[0].where + ": " + problems[0].what);
  std::string message = fmt::format("{} problems:", problems.size());
  for (const Problem& problem : problems) message += "\n  " + problem.where + ": " + problem.what;
  throw InputError(message);
}

}  // namespace mbt
