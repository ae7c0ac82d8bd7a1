// Ranks as threads of this process, each with a World of its own.
#pragma once

#include <string>
#include <vector>

#include "tests/support/board_world.h"

namespace mbt::test {

/// Runs `job` on `ranks` threads. Returns what each rank threw, by rank; all empty: none did. A rank that has thrown is gone for the
/// others: what they exchange with it throws too. Jobs may not use Catch2's assertions, which know one thread.
inline std::vector<std::string> run_threads(int ranks, const std::function<void(World&)>& job) {
  Boards boards(ranks);
  std::vector<std::string> thrown(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      BoardWorld world(boards, r);
      try {
        job(world);
      } catch (const std::exception& e) {
        thrown[static_cast<size_t>(r)] = *e.what() != '\0' ? e.what() : "an exception without a text";
      }
      boards.leave(r);
    });
  }
  for (std::thread& t : threads) t.join();
  return thrown;
}

/// What run_threads and run_processes return when all is well.
inline std::vector<std::string> nothing_thrown(int ranks) { return std::vector<std::string>(static_cast<size_t>(ranks)); }

}  // namespace mbt::test
