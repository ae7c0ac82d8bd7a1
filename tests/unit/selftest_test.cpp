// The self-test's checks can fail, each for its own fault, and runs are refused on a device that failed.
#include <filesystem>

#include "core/io/files.h"
#include "core/selftest/checks.h"
#include "core/selftest/exchanges.h"
#include "core/selftest/proofs.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/op_cases.h"
#include "tests/support/resolved.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_world.h"

namespace mbt::test::selftest_test {
namespace {

using namespace mbt::selftest;

/// The checks whose names begin so.
Checks named(const Checks& all, const std::vector<std::string>& starts) {
  Checks some;
  for (const Check& c : all)
    if (std::any_of(starts.begin(), starts.end(), [&](const std::string& s) { return c.name.rfind(s, 0) == 0; })) some.push_back(c);
  return some;
}

const Checks& everything() {
  static const Checks all = all_checks();
  return all;
}

/// What is spoiled, the checks that must see it, and neighbors that must not.
struct Planted {
  std::string fault;
  std::vector<std::string> seen_by, unseen_by;
};

const std::vector<Planted>& planted() {
  static const std::vector<Planted> all = {
      {"gemm", {"gemm.fprop.bf16", "gemm.dgrad.mxfp8", "gemm.wgrad.nvfp4", "gemm.wgrad.f32"}, {"quantize.mxfp8", "norm_fwd."}},
      {"quantize",
       {"quantize.tensorwise", "quantize.blockwise", "quantize.mxfp8", "quantize.nvfp4", "quantize.delayed"},
       {"gemm.fprop.bf16", "cast."}},
      {"quantize_shard", {"quantize_shard."}, {"quantize.", "fused."}},
      {"delayed_scaling_update", {"delayed_scaling_update."}, {"quantize.delayed"}},
      {"fused norm_fwd", {"fused.norm_fwd."}, {"norm_fwd.", "fused.activation_fwd."}},
      {"attention_fwd", {"attention_fwd."}, {"attention_cached.", "rope."}},
      {"attention_bwd", {"attention_bwd."}, {"attention_fwd."}},
      {"attention_cached", {"attention_cached."}, {"attention_fwd."}},
      {"rope", {"rope."}, {"attention_fwd."}},
      {"norm_fwd", {"norm_fwd.rmsnorm", "norm_fwd.layernorm"}, {"norm_bwd.", "qk_norm_fwd."}},
      {"norm_bwd", {"norm_bwd.rmsnorm", "norm_bwd.layernorm"}, {"norm_fwd."}},
      {"qk_norm_fwd", {"qk_norm_fwd."}, {"qk_norm_bwd."}},
      {"qk_norm_bwd", {"qk_norm_bwd."}, {"qk_norm_fwd."}},
      {"activation_fwd", {"activation."}, {"norm_fwd."}},
      {"activation_bwd", {"activation."}, {"norm_bwd."}},
      {"cross_entropy", {"cross_entropy."}, {"sum"}},
      {"embedding_fwd", {"embedding_fwd."}, {"embedding_bwd."}},
      {"embedding_bwd", {"embedding_bwd."}, {"embedding_fwd."}},
      {"bias_bwd", {"bias_bwd."}, {"add."}},
      {"add", {"add."}, {"cast."}},
      {"cast", {"cast."}, {"add."}},
      {"adamw", {"adamw."}, {"grad_norm"}},
      {"grad_norm", {"grad_norm"}, {"adamw.", "clip_scale"}},
      {"clip_scale", {"clip_scale"}, {"grad_norm"}},
      {"decide_step", {"decide_step"}, {"clip_scale"}},
      {"sum", {"sum"}, {"grad_norm"}},
      {"upload", {"host.upload"}, {"memory"}},
      {"stage", {"host.stage"}, {"host.upload"}},
      {"fill_zero", {"fill_zero"}, {"memory"}},
      {"replay", {"replay."}, {"gemm.fprop.bf16", "norm_fwd."}},
  };
  return all;
}

}  // namespace

TEST_CASE("selftest: the CPU passes all checks, over sixty, each with a name of its own") {
  std::vector<std::string> names;
  for (const Check& c : everything()) {
    INFO(c.name);
    const CheckResult r = run_check(c, backend());
    CHECK(r.error == "");
    CHECK(r.outcome.difference <= r.outcome.allowed);
    CHECK_FALSE((c.compared.empty() || c.allowance.empty() || c.way_around.empty()));
    names.push_back(c.name);
  }
  CHECK(names.size() >= 60);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

TEST_CASE("selftest: a spoiled result fails the checks of its op, and no others") {
  for (const Planted& p : planted()) {
    INFO("fault in " << p.fault);
    FaultyBackend faulty(backend(), p.fault);
    const auto run = [&](const std::string& start, bool must_fail) {
      const Checks checks = named(everything(), {start});
      REQUIRE_FALSE(checks.empty());
      std::vector<CheckResult> results;
      for (const Check& c : checks) {
        results.push_back(run_check(c, faulty));
        INFO(c.name);
        CHECK(results.back().has_passed() != must_fail);
      }
      CHECK(all_passed(results) != must_fail);  // the verb's exit code
    };
    for (const std::string& s : p.seen_by) run(s, true);
    for (const std::string& s : p.unseen_by) run(s, false);
  }
}

TEST_CASE("selftest: what an op throws is that check's failure") {
  const Check thrown{"x", "x", "x", "x", [](Backend&) -> Outcome { throw Error("no such device"); }};
  const CheckResult r = run_check(thrown, backend());
  CHECK_FALSE(r.has_passed());
  CHECK(r.error == "no such device");
  CHECK_FALSE(all_passed({r}));
  CHECK_FALSE(Outcome{NAN, 1}.is_within());
}

TEST_CASE("selftest: collectives of two ranks pass, and a spoiled one fails on the ranks that read it") {
  const std::vector<std::string> kinds = {"reduce_scatter.", "all_gather.", "all_reduce."};
  std::array<std::vector<CheckResult>, 2> results;
  const auto thrown = run_threads(2, [&](World& world) {
    const std::unique_ptr<Backend> on = make_backend("cpu", 1);
    const std::unique_ptr<Collectives> collectives = on->connect(world);
    for (const Check& c : exchange_checks(*collectives)) results[static_cast<size_t>(world.rank())].push_back(run_check(c, *on));
  });
  CHECK(thrown == nothing_thrown(2));
  for (const std::vector<CheckResult>& r : results) {
    CHECK(all_passed(r));
    CHECK(r.size() >= 28);
    for (const std::string& kind : kinds)
      CHECK(std::any_of(r.begin(), r.end(), [&](const CheckResult& c) { return c.name.rfind(kind, 0) == 0; }));
  }
  std::array<std::vector<CheckResult>, 2> spoiled;
  const auto thrown_too = run_threads(2, [&](World& world) {
    const std::unique_ptr<Backend> on = make_backend("cpu", 1);
    const std::unique_ptr<Collectives> collectives = on->connect(world);
    FaultyBackend faulty(*on, "download");  // as a collective that wrote one wrong byte would look
    for (const Check& c : exchange_checks(*collectives))
      spoiled[static_cast<size_t>(world.rank())].push_back(run_check(c, world.rank() == 1 ? static_cast<Backend&>(faulty) : *on));
  });
  CHECK(thrown_too == nothing_thrown(2));
  CHECK(all_passed(spoiled[0]));
  for (const CheckResult& c : spoiled[1]) {
    INFO(c.name);
    CHECK_FALSE(c.has_passed());
  }
}

// -- the first start on a device
// -----------------------------------------------------------------------------------------------------------

namespace {

RunConfig config_of(const std::vector<std::string>& more) {
  std::vector<std::string> args = {"--mixed-precision", "bf16_with_fp8_current_scaling_mixed"};
  args.insert(args.end(), more.begin(), more.end());
  return resolved(args);
}

void no_warning(const std::string& text) { FAIL_CHECK("warned: " << text); }

}  // namespace

TEST_CASE("selftest: a device proves what a run needs once, and again when it is another") {
  const TemporaryFolder folder;
  const std::string path = folder.path("cache/selftest.json");
  const Checks checks = named(checks_for(config_of({})), {"gemm.", "quantize.", "cast."});
  Proofs first(path, "GPU A, driver 1", no_warning);
  CHECK(status_of(checks, first).str() == "not yet tried");
  CHECK(require_proof(checks, backend(), first) == checks.size());
  Proofs again(path, "GPU A, driver 1", no_warning);
  CHECK_THAT(status_of(checks, again).str(), ContainsSubstring("proven here (20"));
  CHECK(require_proof(checks, backend(), again) == 0);
  Proofs other(path, "GPU A, driver 2", no_warning);
  CHECK(status_of(checks, other).str() == "not yet tried");
  CHECK(require_proof(checks, backend(), other) == checks.size());
  CHECK(require_proof(checks, backend(), again) == 0);  // both are remembered
  const Checks more = named(checks_for(config_of({"--mixed-precision", "bf16_with_mxfp8_mixed"})), {"gemm.", "quantize.", "cast."});
  const size_t ran = require_proof(more, backend(), again);  // only what is new to it
  CHECK((ran > 0 && ran < more.size()));
}

TEST_CASE("selftest: a run is refused on a path that failed, with its name and the way around; the way around runs") {
  const TemporaryFolder folder;
  Proofs proofs(folder.path("selftest.json"), "GPU A", no_warning);
  FaultyBackend faulty(backend(), "narrow gemm");
  const auto needed = [](const std::vector<std::string>& more) { return named(checks_for(config_of(more)), {"gemm.", "quantize."}); };
  CHECK_THROWS_WITH(require_proof(needed({}), faulty, proofs), ContainsSubstring("would compute wrongly on GPU A") &&
                                                                   ContainsSubstring("gemm.wgrad.tensorwise-") &&
                                                                   ContainsSubstring("--mixed-precision bf16_mixed"));
  const Proofs later(folder.path("selftest.json"), "GPU A", no_warning);
  CHECK_THAT(status_of(needed({}), later).str(), ContainsSubstring("failed: gemm.fprop.tensorwise-"));
  CHECK_NOTHROW(require_proof(needed({"--mixed-precision", "bf16_mixed"}), faulty, proofs));
  CHECK_THROWS_AS(require_proof(needed({}), faulty, proofs), InputError);  // a failure is tried again, and stays one
  CHECK_NOTHROW(require_proof(needed({}), backend(), proofs));
  CHECK_THAT(status_of(needed({}), proofs).str(), ContainsSubstring("proven here"));
}

TEST_CASE("selftest: --attention-backend math and cuda_graph false leave out the paths that they avoid") {
  const auto has = [](const Checks& checks, const std::string& start) { return !named(checks, {start}).empty(); };
  const Checks plain = checks_for(config_of({})),
               around = checks_for(config_of({"--attention-backend", "math", "--train.cuda_graph", "false"}));
  CHECK((has(plain, "attention_fwd.auto.") && has(plain, "replay.")));
  CHECK_FALSE((has(around, "attention_fwd.auto.") || has(around, "replay.")));
  CHECK(has(around, "attention_bwd.math."));
}

TEST_CASE("selftest: results in a broken file are neither used nor overwritten, and the user is told") {
  const TemporaryFolder folder;
  const std::string path = folder.path("selftest.json");
  for (const char* content : {"{", R"({"format": "other"})", R"({"format": "mbtrain selftest 1", "devices": {"GPU": {"cast.f32": {}}}})"}) {
    write_file_atomically(path, content);
    std::string warning;
    Proofs proofs(path, "GPU", [&](const std::string& text) { warning = text; });
    CHECK_THAT(warning, ContainsSubstring(path) || ContainsSubstring("not remembered"));
    const Checks checks = named(everything(), {"cast.f32"});
    CHECK(require_proof(checks, backend(), proofs) == 1);
    CHECK(read_text_file(path) == content);
  }
}

}  // namespace mbt::test::selftest_test
