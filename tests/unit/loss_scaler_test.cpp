#include "core/optim/loss_scaler.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace mbt::test::loss_scaler_test {

namespace {

OptimizerConfig fp16_config() {
  OptimizerConfig c;
  c.fp16 = true;
  c.initial_loss_scale = 16;
  c.min_loss_scale = 1;
  c.loss_scale_window = 3;
  c.hysteresis = 2;
  return c;
}

}  // namespace

TEST_CASE("the dynamic loss scale follows upstream's sequence", "[loss_scaler]") {
  struct Step {
    bool found_inf;
    float scale;
    int64_t growth, hysteresis;
  };
  const Step steps[] = {
      {true, 16, 0, 1}, {false, 16, 1, 1}, {true, 8, 0, 0},   {true, 4, 0, -1}, {false, 4, 1, -1}, {false, 4, 2, -1}, {false, 8, 0, 2},
      {true, 8, 0, 1},  {false, 8, 1, 1},  {true, 4, 0, 0},   {true, 2, 0, -1}, {true, 1, 0, -2},  {true, 1, 0, -3},  {true, 1, 0, -4},
      {true, 1, 0, -5}, {false, 1, 1, -5}, {false, 1, 2, -5}, {false, 2, 0, 2}, {false, 2, 1, 2},  {false, 2, 2, 2},  {false, 4, 0, 2},
  };
  LossScaler scaler = make_loss_scaler(fp16_config());
  REQUIRE(scaler.kind == LossScaling::dynamic);
  int attempt = 0;
  for (const Step& s : steps) {
    INFO("attempt " << ++attempt);
    scaler.update(s.found_inf);
    CHECK(scaler.scale == s.scale);
    CHECK(scaler.growth_tracker == s.growth);
    CHECK(scaler.hysteresis_tracker == s.hysteresis);
  }
}

TEST_CASE("with upstream's defaults 17 overflows lead from 2^32 to 2^16", "[loss_scaler]") {
  OptimizerConfig c;
  c.fp16 = true;
  LossScaler scaler = make_loss_scaler(c);
  for (int i = 0; i < 17; ++i) scaler.update(true);
  CHECK(scaler.scale == 65536.0F);
  CHECK(scaler.inverse_scale() == 1.0F / 65536.0F);
}

TEST_CASE("the kind of loss scale depends on loss_scale and dtype", "[loss_scaler]") {
  OptimizerConfig c;
  c.bf16 = true;
  CHECK(make_loss_scaler(c).kind == LossScaling::none);
  c.loss_scale = 128;
  LossScaler constant = make_loss_scaler(c);
  CHECK(constant.kind == LossScaling::constant);
  CHECK(constant.checks_gradients());
  constant.update(true);
  CHECK(constant.scale == 128);
  c.loss_scale = 0;
  CHECK(make_loss_scaler(c).kind == LossScaling::none);
  CHECK(make_loss_scaler(OptimizerConfig{}).kind == LossScaling::none);
  c = fp16_config();
  c.loss_scale = 0;
  CHECK(make_loss_scaler(c).kind == LossScaling::dynamic);
}

TEST_CASE("contradictory loss scaling is refused", "[loss_scaler]") {
  OptimizerConfig c = fp16_config();
  c.min_loss_scale = 32;
  CHECK_THROWS_AS(make_loss_scaler(c), InputError);
  c = fp16_config();
  c.hysteresis = 0;
  CHECK_THROWS_AS(make_loss_scaler(c), InputError);
  c = fp16_config();
  c.loss_scale_window = 0;
  CHECK_THROWS_AS(make_loss_scaler(c), InputError);
}

}  // namespace mbt::test::loss_scaler_test
