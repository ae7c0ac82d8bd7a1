// Section "profiling": timelines.
#pragma once

#include "core/base/fields.h"

namespace mbt {

struct ProfilingConfig {
  std::string trace_path;
  int64_t profile_step_start = 10;
  int64_t profile_step_end = 12;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.trace_path, FieldInfo{.name = "trace_path",
                              .doc = "Write a timeline of ops (Chrome trace JSON) here; empty: none",
                              .alias = kNoAlias,
                              .holds = Holds::file});
    v(s.profile_step_start, FieldInfo{.name = "profile_step_start", .doc = "First iteration of the trace", .min = 1});
    v(s.profile_step_end, FieldInfo{.name = "profile_step_end", .doc = "First iteration after the trace", .min = 1});
  }
};

}  // namespace mbt
