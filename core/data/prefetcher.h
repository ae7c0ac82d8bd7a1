// Reads ahead: while the device works on one micro-batch, a thread of the host reads the next.
#pragma once

#include <cstdint>
#include <future>

#include "core/data/loader.h"

namespace mbt {

class BatchPrefetcher {
 public:
  /// stride: samples from one micro-batch of this rank to its next.
  BatchPrefetcher(BatchLoader loader, int64_t stride) : loader_(loader), stride_(stride) {}

  /// Returns BatchLoader::get(first_sample). It is ready in advance when the previous call was for the micro-batch one stride earlier. An
  /// error while reading ahead is thrown here, when that micro-batch is requested.
  Batch get(int64_t first_sample);

 private:
  BatchLoader loader_;
  int64_t stride_;
  int64_t ahead_ = -1;       // first sample of next_
  std::future<Batch> next_;  // last: its thread ends before what it reads from
};

}  // namespace mbt
