// Buckets and pieces: every element of every parameter belongs to one rank, and memory falls with the number of ranks as the plan says.
#include <numeric>

#include "core/model/weights.h"
#include "core/optim/optimizer.h"
#include "core/parallel/data_parallel.h"
#include "core/parallel/exchange_plan.h"
#include "core/train/plan/plan_memory.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/thread_world.h"

namespace mbt::test::sharding_test {

namespace {

RunConfig config_of(const std::string& recipe) {
  return resolved({"--mixed-precision", recipe, "--model.hidden_size", "64", "--model.num_layers", "3", "--seq-length", "32",
                   "--use-distributed-optimizer"});
}

WeightsPlan plan_of(const std::string& recipe, const Sharding& sharding) {
  const RunConfig c = config_of(recipe);
  return plan_weights(
      c.model, make_policy(c.model, c.ddp), true, [](const QuantSpec&) { return false; }, {}, sharding);
}

int64_t bytes_of(const std::vector<MemoryItem>& items, const std::string& category) {
  for (const MemoryItem& item : items)
    if (item.category == category) return item.bytes;
  return -1;
}

}  // namespace

TEST_CASE("parameters lie in buckets without overlap, in the order of forward, and pieces cover them") {
  for (const std::string recipe : {"fp32", "bf16_mixed", "bf16_with_fp8_current_scaling_mixed", "bf16_with_nvfp4_mixed"}) {
    for (const int ranks : {1, 2, 3, 7, 128}) {
      for (const int64_t bucket_size : {int64_t{0}, int64_t{1}, int64_t{20000}}) {
        CAPTURE(recipe, ranks, bucket_size);
        const ParamList list = plan_of(recipe, {.ranks = ranks, .shards_optimizer = true, .bucket_size = bucket_size}).params;
        int64_t end = 0;
        for (const Bucket& b : list.buckets) {
          CHECK(b.elements.first == end);
          CHECK(b.elements.count % (ranks == 1 ? 64 : 128 * ranks) == 0);
          CHECK(b.holds_codes == (b.elements.first >= list.plain_size));
          end = b.elements.end();
        }
        CHECK(end == list.flat_size);
        std::vector<int> owners(static_cast<size_t>(list.flat_size), 0);
        for (int rank = 0; rank < ranks; ++rank) {
          const ParamList mine =
              plan_of(recipe, {.rank = rank, .ranks = ranks, .shards_optimizer = true, .bucket_size = bucket_size}).params;
          int64_t place = 0;
          for (const bool codes : {false, true}) {
            for (int64_t i = 0; i < static_cast<int64_t>(mine.specs.size()); ++i) {
              const ParamSpec& s = mine.specs[static_cast<size_t>(i)];
              if (s.is_codes_only != codes) continue;
              const ElementRange own = mine.own_range(i);
              if (own.count == 0) continue;
              CHECK(mine.shard_offset(i) >= place);  // pieces one after another
              place = mine.shard_offset(i) + own.count;
              for (int64_t e = 0; e < own.count; ++e) ++owners[static_cast<size_t>(s.offset + own.first + e)];
            }
          }
          CHECK(place <= mine.shard_size());
        }
        int64_t parameters = 0;
        for (const ParamSpec& s : list.specs) {
          CHECK(s.offset % 64 == 0);
          for (int64_t e = 0; e < s.shape.size(); ++e) parameters += owners[static_cast<size_t>(s.offset + e)] == 1;
        }
        CHECK(parameters == list.num_params);
        CHECK(std::accumulate(owners.begin(), owners.end(), int64_t{0}) == list.num_params);
        if (ranks == 128) break;  // many elements to look at
      }
    }
  }
}

TEST_CASE("buckets fill from the last layer on, and padding for bandwidth is asked for") {
  const ParamList many = plan_of("bf16_mixed", {.ranks = 2, .shards_optimizer = true, .bucket_size = 30000}).params;
  REQUIRE(many.buckets.size() > 2);
  for (size_t b = 1; b < many.buckets.size(); ++b) {  // all but the first are full
    int64_t elements = 0;
    for (int64_t i = many.buckets[b].first_param; i < many.buckets[b].end_param; ++i)
      elements += many.specs[static_cast<size_t>(i)].shape.size();
    CHECK(elements >= 30000);
  }
  for (const Bucket& b :
       plan_of("bf16_mixed", {.ranks = 3, .shards_optimizer = true, .bucket_size = 30000, .pads_for_bandwidth = true}).params.buckets)
    CHECK(b.elements.count % (1 << 16) == 0);
}

TEST_CASE("bucket_size is upstream's, and one bucket without overlap") {
  DdpConfig ddp;
  CHECK(sharding_of(ddp, 0, 8).bucket_size == 0);
  ddp.overlap_grad_reduce = true;
  CHECK(sharding_of(ddp, 0, 8).bucket_size == 40'000'000);
  CHECK(sharding_of(ddp, 0, 100).bucket_size == 100'000'000);
  ddp.bucket_size = 5;
  CHECK(sharding_of(ddp, 0, 8).bucket_size == 5);
  CHECK(sharding_of(ddp, 0, 1).bucket_size == 0);
}

TEST_CASE("masters and moments of a rank fall as 1/N, and the plan says what is allocated") {
  for (const std::string recipe : {"bf16_mixed", "bf16_with_fp8_delayed_scaling_mixed", "bf16_with_mxfp8_mixed", "fp32"}) {
    const RunConfig c = config_of(recipe);
    const PrecisionPolicy policy = make_policy(c.model, c.ddp);
    const int64_t alone = bytes_of(plan_memory(c, policy, queries_of(*make_backend("cpu")), 1), "moments");
    for (const int ranks : {1, 2, 4, 8}) {
      CAPTURE(recipe, ranks);
      std::vector<int64_t> allocated(static_cast<size_t>(ranks)), planned = allocated, moments = allocated;
      const auto thrown = run_threads(ranks, [&](World& world) {
        const auto backend = make_backend("cpu", 1);
        const auto at = static_cast<size_t>(world.rank());
        Weights weights(*backend, c.model, policy, true, moment_types(c.optimizer), sharding_of(c.ddp, world.rank(), ranks));
        DataParallel parallel(*backend, world, c.ddp, policy, weights);
        allocated[at] = static_cast<int64_t>(backend->allocated_bytes());
        const std::vector<MemoryItem> items = plan_memory(c, policy, queries_of(*backend), ranks);
        moments[at] = bytes_of(items, "moments");
        for (const char* category : {"weights", "quantised_weights", "masters", "moments", "main_gradients", "communication"})
          planned[at] += bytes_of(items, category);
      });
      CHECK(thrown == nothing_thrown(ranks));
      for (size_t r = 0; r < static_cast<size_t>(ranks); ++r) {
        CHECK(allocated[r] == planned[r]);
        CHECK(static_cast<double>(moments[r]) == Approx(static_cast<double>(alone) / ranks).epsilon(0.02));  // padding
      }
    }
  }
}

TEST_CASE("what a step sends: gradients in their transport, parameters as they are kept") {
  const auto exchange = [](const std::string& recipe, bool shards) {
    const RunConfig c = config_of(recipe);
    const WeightsPlan plan = plan_of(recipe, {.ranks = 4, .shards_optimizer = shards});
    return std::pair{plan_exchange(plan, make_policy(c.model, c.ddp)), plan};
  };
  const auto [bf16, bf16_plan] = exchange("bf16_mixed", true);
  CHECK(bf16.reduce_scatter_bytes == 4 * bf16_plan.params.flat_size);
  CHECK(bf16.all_gather_bytes == 2 * bf16_plan.params.flat_size);
  CHECK(exchange("bf16_mixed", false).first.all_gather_bytes == 4 * bf16_plan.params.flat_size);
  const auto [fp8, fp8_plan] = exchange("bf16_with_fp8_delayed_scaling_mixed", true);
  const int64_t codes = fp8_plan.params.flat_size - fp8_plan.params.plain_size;
  CHECK(codes > 0);
  CHECK(fp8.all_gather_bytes == 2 * fp8_plan.params.plain_size + codes);
  CHECK(exchange("bf16_with_mxfp8_mixed", true).first.all_gather_bytes == 2 * fp8_plan.params.flat_size);
}

TEST_CASE("the model of a step: links fitted through two points, what overlap hides, what stays") {
  const LinkModel link = fit_link(1000, 1e-5 * 2 + 750 / 1e9, 1e8, 1e-5 * 2 + 7.5e7 / 1e9, 4);
  CHECK(link.latency_s == Approx(1e-5));
  CHECK(link.bytes_per_s == Approx(1e9));
  CHECK(link.seconds(1e8, 4) == Approx(2e-5 + 0.075));
  CHECK(link.seconds(1e8, 1) == 0);
  const StepParts parts{.micro_batch_s = 0.3, .micro_batches = 2, .optimizer_s = 0.08};
  const ExchangePlan exchange{.buckets = 1, .reduce_scatter_bytes = 200'000'000, .all_gather_bytes = 100'000'000};
  const ScaledStep plain = model_step(parts, exchange, {0, 1e9}, {}, 2);
  CHECK(plain.seconds == Approx(0.6 + 0.08 + 0.1 + 0.05));
  const ScaledStep hidden = model_step(parts, exchange, {0, 1e9}, {true, true, true}, 2);
  CHECK(hidden.waiting_s == Approx(0));
  CHECK(hidden.seconds == Approx(0.6 + 0.04));
  const ScaledStep exposed = model_step(parts, exchange, {0, 2.5e8}, {true, true, true}, 2);
  CHECK(exposed.waiting_s == Approx(0.4 - 0.2 + 0.2 - 0.1));
}

}  // namespace mbt::test::sharding_test
