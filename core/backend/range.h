// Names a stretch of work for a profiler (Backend::begin_range), until the end of the scope.
#pragma once

#include "core/backend/backend.h"

namespace mbt {

class Range {
 public:
  /// `name` lives as long as the range.
  Range(Backend& backend, const char* name) : backend_(backend) { backend_.begin_range(name); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range() { backend_.end_range(); }

 private:
  Backend& backend_;
};

}  // namespace mbt
