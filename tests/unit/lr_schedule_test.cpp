// Every schedule at its corners; values from the formulas of lr_schedule.h worked by hand.
#include "core/optim/lr_schedule.h"

#include "tests/support/catch.h"

namespace mbt::test::lr_schedule_test {

namespace {

struct Case {
  OptimizerConfig optimizer;
  SchedulerConfig scheduler;
  TrainConfig train;
  Case() {
    optimizer.lr = 1.0;
    optimizer.min_lr = 0.1;
    optimizer.weight_decay = 0.05;
    train.global_batch_size = 10;
    train.train_iters = 100;  // 1000 samples
  }
  LrSchedule make() const { return {optimizer, scheduler, train}; }
};

}  // namespace

TEST_CASE("warm-up rises from its initial value and reaches the highest rate at its end") {
  Case c;
  c.scheduler.lr_decay_style = LrDecayStyle::linear;
  c.scheduler.lr_warmup_iters = 20;
  c.scheduler.lr_warmup_init = 0.2;
  const LrSchedule s = c.make();
  CHECK(s.lr(0) == Approx(0.2));
  CHECK(s.lr(100) == Approx(0.6));
  CHECK(s.lr(200) == Approx(1.0));
  CHECK(s.lr(600) == Approx(0.55));
  CHECK(s.lr(1000) == Approx(0.1));
  CHECK(s.lr(1001) == Approx(0.1));
}

TEST_CASE("cosine, constant and inverse square root") {
  Case c;
  c.scheduler.lr_decay_style = LrDecayStyle::cosine;
  CHECK(c.make().lr(0) == Approx(1.0));
  CHECK(c.make().lr(500) == Approx(0.55));
  CHECK(c.make().lr(250) == Approx(0.1 + 0.9 * 0.85355339));
  c.scheduler.lr_decay_style = LrDecayStyle::constant;
  CHECK(c.make().lr(100000) == Approx(1.0));
  c.scheduler.lr_decay_style = LrDecayStyle::inverse_square_root;
  c.scheduler.lr_warmup_samples = 100;
  CHECK(c.make().lr(400) == Approx(0.5));
  CHECK(c.make().lr(5000) == Approx(0.1));
}

TEST_CASE("WSD holds, then decays in four shapes") {
  Case c;
  c.scheduler.lr_decay_style = LrDecayStyle::wsd;
  c.scheduler.lr_wsd_decay_iters = 20;  // 200 samples
  for (const auto& [style, middle] : {std::pair{WsdDecayStyle::linear, 0.5},
                                      {WsdDecayStyle::cosine, 0.5},
                                      {WsdDecayStyle::exponential, 2 * 0.70710678 - 1},
                                      {WsdDecayStyle::minus_sqrt, 1 - 0.70710678}}) {
    c.scheduler.lr_wsd_decay_style = style;
    INFO(name_of(style));
    CHECK(c.make().lr(800) == Approx(1.0));
    CHECK(c.make().lr(900) == Approx(0.1 + 0.9 * middle));
    CHECK(c.make().lr(1000) == Approx(0.1));
  }
}

TEST_CASE("warm-up as a share of the decay; one that is too long is cut and said") {
  Case c;
  c.scheduler.lr_warmup_fraction = 0.1;
  CHECK(c.make().warmup_samples() == 100);
  CHECK(c.make().notes().empty());
  c.scheduler.lr_warmup_fraction = 1.0;
  CHECK(c.make().warmup_samples() == 999);
  CHECK(c.make().notes().size() == 1);
}

TEST_CASE("a share of the decay is not rounded to samples") {
  Case c;
  c.train.train_iters = 7;  // 70 samples
  c.optimizer.min_lr = 0.0;
  c.scheduler.lr_decay_style = LrDecayStyle::linear;
  c.scheduler.lr_warmup_fraction = 0.15;
  const LrSchedule s = c.make();
  CHECK(s.warmup_samples() == Approx(10.5));
  CHECK(s.lr(10) == Approx(10 / 10.5));
  CHECK(s.lr(11) == Approx(1 - 0.5 / 59.5));
  c.scheduler.lr_warmup_fraction = 0.01;  // less than a sample: no step but the first is in it
  CHECK(c.make().lr(0) == Approx(0.0));
  CHECK(c.make().lr(1) == Approx(1 - 0.3 / 69.3));
}

TEST_CASE("schedules are measured by all samples, also those after the last whole global batch") {
  Case c;
  c.train.train_iters.reset();
  c.train.train_samples = 105;
  CHECK(c.train.iterations() == 10);
  CHECK(c.make().decay_samples() == 105);
  c.scheduler.start_weight_decay = 0.0;
  c.scheduler.end_weight_decay = 0.1;
  c.scheduler.weight_decay_incr_style = WeightDecayStyle::linear;
  CHECK(c.make().weight_decay(42) == Approx(0.04));
}

TEST_CASE("a decay shorter or longer than the run ends where it says") {
  Case c;
  c.scheduler.lr_decay_style = LrDecayStyle::linear;
  c.scheduler.lr_decay_iters = 50;  // 500 of the run's 1000 samples
  CHECK(c.make().decay_samples() == 500);
  CHECK(c.make().lr(250) == Approx(0.55));
  CHECK(c.make().lr(500) == Approx(0.1));
  CHECK(c.make().lr(800) == Approx(0.1));
  c.scheduler.lr_warmup_iters = 10;
  CHECK(c.make().lr(100) == Approx(1.0));
  CHECK(c.make().lr(300) == Approx(0.55));
  c.scheduler.lr_decay_iters.reset();
  c.scheduler.lr_decay_samples = 300;
  CHECK(c.make().decay_samples() == 300);
  CHECK(c.make().lr(200) == Approx(0.55));
  c.scheduler.lr_decay_samples = 2100;
  CHECK(c.make().lr(1000) == Approx(0.1 + 0.9 * 0.55));
}

TEST_CASE("warm-up and the last part of WSD are measured by the decay, not by the run") {
  Case c;
  c.scheduler.lr_decay_iters = 50;
  c.scheduler.lr_warmup_fraction = 0.1;
  CHECK(c.make().warmup_samples() == 50);
  c.scheduler.lr_warmup_fraction = 1.0;
  CHECK(c.make().warmup_samples() == 499);
  c.scheduler.lr_warmup_fraction.reset();
  c.scheduler.lr_warmup_iters = 60;  // longer than the decay, shorter than the run
  CHECK(c.make().warmup_samples() == 499);
  CHECK(c.make().notes().size() == 1);
  c.scheduler.lr_warmup_iters = 0;
  c.scheduler.lr_decay_style = LrDecayStyle::wsd;
  c.scheduler.lr_wsd_decay_style = WsdDecayStyle::linear;
  c.scheduler.lr_wsd_decay_iters = 20;
  CHECK(c.make().lr(300) == Approx(1.0));
  CHECK(c.make().lr(400) == Approx(0.55));
  CHECK(c.make().lr(500) == Approx(0.1));
  CHECK(c.make().lr(501) == Approx(0.1));
}

TEST_CASE("the ramp of weight decay takes the whole run, however long the learning rate decays") {
  Case c;
  c.scheduler.lr_decay_iters = 50;
  c.scheduler.lr_warmup_iters = 10;
  c.scheduler.start_weight_decay = 0.0;
  c.scheduler.end_weight_decay = 0.1;
  c.scheduler.weight_decay_incr_style = WeightDecayStyle::linear;
  CHECK(c.make().weight_decay(250) == Approx(0.025));
  CHECK(c.make().weight_decay(750) == Approx(0.075));
  c.scheduler.weight_decay_incr_style = WeightDecayStyle::cosine;
  CHECK(c.make().weight_decay(500) == Approx(0.05));
  CHECK(c.make().weight_decay(1000) == Approx(0.1));
}

TEST_CASE("weight decay has its own clock") {
  Case c;
  CHECK(c.make().weight_decay(300) == Approx(0.05));
  c.scheduler.start_weight_decay = 0.0;
  c.scheduler.end_weight_decay = 0.1;
  c.scheduler.weight_decay_incr_style = WeightDecayStyle::linear;
  CHECK(c.make().weight_decay(500) == Approx(0.05));
  c.scheduler.weight_decay_incr_style = WeightDecayStyle::cosine;
  CHECK(c.make().weight_decay(250) == Approx(0.1 * 0.5 * (1 - 0.70710678)));
  CHECK(c.make().weight_decay(2000) == Approx(0.1));
}

}  // namespace mbt::test::lr_schedule_test
