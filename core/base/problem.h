// Problems of a configuration are collected and reported together, not one a run.
#pragma once

#include <string>
#include <vector>

namespace mbt {

struct Problem {
  std::string where;       ///< "run.json:12: model.hidden_size", "command line: --lr", "model"
  std::string what;        ///< what came, what was expected, what to do
  std::string field = {};  ///< "model.hidden_size" when that field did not get the value it was given
};

/// Throws one InputError that lists them all. Contract: at least one problem.
[[noreturn]] void throw_problems(const std::vector<Problem>& problems);

}  // namespace mbt
