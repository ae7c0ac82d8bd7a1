// The precision section overrules model, optimizer and ddp, and every value that gave way is on record.
#include "core/recipe/synchronize.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/config/field_table.h"
#include "core/recipe/finalize.h"
#include "tests/support/catch.h"

namespace mbt::test::synchronize_test {

namespace {

RunConfig bf16_run() {
  RunConfig c;
  c.mixed_precision.bf16 = true;
  finalize(c.mixed_precision);
  return c;
}

const Overwrite* find(const std::vector<Overwrite>& all, const std::string& section, const std::string& field) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const Overwrite& o) { return o.section == section && o.field == field; });
  return at != all.end() ? &*at : nullptr;
}

}  // namespace

TEST_CASE("a field lands wherever its name exists") {
  RunConfig c = bf16_run();
  Origins origins;
  std::vector<Problem> problems;
  synchronize(c, origins, problems);
  CHECK(problems.empty());
  FieldTable table(c);
  int copied = 0;
  for (const Field& f : table.all()) {
    if (f.section != "mixed_precision") continue;
    for (const char* section : {"model", "optimizer", "ddp"}) {
      const Field* to = table.find(section, f.info.name);
      if (to == nullptr) continue;
      CAPTURE(to->path());
      CHECK(to->get() == f.get());
      CHECK(origin_of(origins, to->path()).kind == Origin::Kind::synchronized);
      CHECK(origin_of(origins, to->path()).text == f.path());
      ++copied;
    }
  }
  CHECK(copied == 20 + 10 + 4);  // model, optimizer, ddp: column "lands in" of the reference
}

TEST_CASE("defaults of the precision section overrule what the model says, and the loss is recorded with its author") {
  RunConfig c = bf16_run();
  c.model.num_layers_at_start_in_bf16 = 1;
  c.model.fp8_margin = 2;
  Origins origins = {{"model.fp8_margin", {Origin::Kind::command_line, "--model.fp8_margin"}}};
  std::vector<Problem> problems;
  const std::vector<Overwrite> all = synchronize(c, origins, problems);
  CHECK(c.model.num_layers_at_start_in_bf16 == 0);
  CHECK(c.model.num_layers_at_end_in_bf16 == 0);
  CHECK(c.model.fp8_recipe == Fp8Recipe::tensorwise);
  CHECK(c.optimizer.fp8_recipe == Fp8Recipe::tensorwise);
  CHECK(c.ddp.grad_reduce_in_fp32);
  const Overwrite* margin = find(all, "model", "fp8_margin");
  REQUIRE(margin != nullptr);
  CHECK(*margin->old_value == 2);
  CHECK(*margin->new_value == 0);
  CHECK(margin->was_given());
  CHECK(margin->old_origin.text == "--model.fp8_margin");
  CHECK(margin->source == "mixed_precision.fp8_margin");
  REQUIRE(find(all, "ddp", "grad_reduce_in_fp32") != nullptr);
  CHECK_FALSE(find(all, "ddp", "grad_reduce_in_fp32")->was_given());
  CHECK(find(all, "model", "hysteresis") == nullptr);      // no such field
  CHECK(find(all, "optimizer", "hysteresis") == nullptr);  // equal already
}

TEST_CASE("null overrules too") {
  RunConfig c = bf16_run();
  c.optimizer.loss_scale = 128.0;
  Origins origins;
  std::vector<Problem> problems;
  synchronize(c, origins, problems);
  CHECK_FALSE(c.optimizer.loss_scale.has_value());
}

TEST_CASE("ddp and optimizer agree on the distributed optimizer") {
  RunConfig c = bf16_run();
  c.ddp.use_distributed_optimizer = true;
  c.optimizer.overlap_param_gather = true;
  Origins origins = {{"ddp.use_distributed_optimizer", {Origin::Kind::command_line, "x"}},
                     {"optimizer.overlap_param_gather", {Origin::Kind::config_file, "run.json:3"}}};
  std::vector<Problem> problems;
  const std::vector<Overwrite> all = synchronize(c, origins, problems);
  CHECK(problems.empty());
  CHECK(c.optimizer.use_distributed_optimizer);
  CHECK(c.ddp.overlap_param_gather);
  CHECK(find(all, "optimizer", "use_distributed_optimizer") != nullptr);

  origins = {{"ddp.use_distributed_optimizer", {Origin::Kind::command_line, "x"}},
             {"optimizer.use_distributed_optimizer", {Origin::Kind::config_file, "run.json:3"}}};
  c.optimizer.use_distributed_optimizer = false;
  synchronize(c, origins, problems);
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0].what, ContainsSubstring("run.json:3"));
}

}  // namespace mbt::test::synchronize_test
