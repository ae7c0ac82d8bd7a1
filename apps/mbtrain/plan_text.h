// The plan of a run for people.
#pragma once

#include <string>

#include "core/train/plan/plan.h"

namespace mbt {

/// show_all: every field and every overwrite, not only what differs from a default.
std::string plan_text(const RunPlan& plan, bool show_all);

}  // namespace mbt
