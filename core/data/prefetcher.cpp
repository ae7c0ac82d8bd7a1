#include "core/data/prefetcher.h"

#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace mbt {

Batch BatchPrefetcher::get(int64_t first_sample) {
  Batch batch = next_.valid() && ahead_ == first_sample ? next_.get() : loader_.get(first_sample);
  ahead_ = first_sample + stride_;
  try {
    next_ = std::async(std::launch::async, [loader = loader_, first = ahead_] { return loader.get(first); });
  } catch (const std::system_error& e) {
    throw Error(fmt::format("cannot start a thread to read the next batch: {}; check the limit on threads (ulimit -u)", e.what()));
  }
  return batch;
}

}  // namespace mbt
