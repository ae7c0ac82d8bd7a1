#include "apps/mbtrain/proof.h"

#include <chrono>

#include "apps/mbtrain/log.h"
#include "apps/mbtrain/ranks.h"
#include "core/comm/gather.h"
#include "core/io/remembered.h"
#include "core/selftest/checks.h"
#include "kernels/gpus.h"

namespace mbt {

selftest::Proofs open_proofs(const Backend& backend) {
  std::string device = backend.identity();
  if (backend.name() != "cpu") device += fmt::format(", kernel module {}", probe_gpus().driver_release);
  return {selftest_results_path(), fmt::format("{}; {}", device, program_name()), log_warning};
}

void prove_before_run(World& world, const RunConfig& config, Backend& backend) {
  if (backend.name() == "cpu") return;
  agree(world, [&] {
    const auto start = std::chrono::steady_clock::now();
    selftest::Proofs proofs = open_proofs(backend);
    const size_t ran = selftest::require_proof(selftest::checks_for(config), backend, proofs);
    if (ran == 0 || !world.is_first()) return;
    log_info(fmt::format("selftest: {} checks of what this run needs pass on this device ({:.1f} s){}", ran,
                         std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                         proofs.path().empty() ? "" : "; remembered in " + proofs.path()));
  });
}

}  // namespace mbt
