#include "core/base/strings.h"
#include "core/config/assign.h"
#include "core/config/command_line.h"
#include "core/config/validate.h"
#include "tests/support/catch.h"

namespace mbt::test::config_validate_test {

namespace {

std::vector<Problem> problems_of(const std::string& assignments, int ranks = 1) {
  const ConfigInput input = parse_config_arguments(split(assignments, ' '));
  std::vector<Problem> problems = input.problems;
  RunConfig config;
  Origins origins;
  apply_assignments(config, input.assignments, origins, problems);
  REQUIRE(problems.empty());
  validate_shape(config, ranks, problems);
  return problems;
}

struct Case {
  const char* assignments;
  const char* where;
  const char* what;
};

}  // namespace

TEST_CASE("Valid shapes pass", "[config_validate]") {
  for (const char* assignments :
       {"", "--global-batch-size 12 --micro-batch-size 4", "--train-samples 1000 --lr-warmup-samples 10 --lr-decay-samples 900",
        "--lr 1e-5", "--use-precision-aware-optimizer --exp-avg-dtype bf16 --exp-avg-sq-dtype bf16", "--attention-backend math",
        "--model.hidden_size 100 --num-attention-heads 7 --kv-channels 16", "--lr-decay-style WSD --lr-wsd-decay-iters 20",
        "--weight-decay-incr-style cosine --start-weight-decay 0.001", "--position-embedding-type none --model.hidden_size 12",
        "--recompute-granularity full --recompute-method block --recompute-num-layers 2", "--lr 1e-3 --lr-decay-style constant",
        "--lr 1e-3 --lr-warmup-init 1e-3 --lr-warmup-iters 4",
        "--model.num_layers 126 --model.hidden_size 16384 --model.num_attention_heads 128 --model.num_query_groups 8 "
        "--model.ffn_hidden_size 53248"}) {
    INFO(assignments);
    CHECK(problems_of(assignments).empty());
  }
  CHECK(problems_of("--global-batch-size 12 --micro-batch-size 2", 3).empty());
}

TEST_CASE("Broken rules name the field and what to do", "[config_validate]") {
  const Case cases[] = {
      {"--global-batch-size 7", "train.global_batch_size", "got 7, expected a multiple of micro_batch_size 4 x 1 rank = 4; take 4 or 8"},
      {"--global-batch-size 3", "train.global_batch_size", "take 4, or"},
      {"--train-iters 5 --train-samples 80", "train.train_samples", "give one of the two"},
      {"--train-samples 5", "train.train_samples", "less than one global batch of 16"},
      {"--train-samples 9000000000000000", "train.train_samples", "expected at most 99999999"},
      {"dataset.seq_length=64", "dataset.seq_length", "model.seq_length is 128"},
      {"--model.hidden_size 100 --model.num_attention_heads 7", "model.hidden_size", "not a multiple of num_attention_heads 7"},
      {"--num-query-groups 3", "model.num_query_groups", "expected a divisor of num_attention_heads 4"},
      {"--num-query-groups 8", "model.num_query_groups", "expected a divisor of num_attention_heads 4"},
      {"--kv-channels 15", "model.rotary_percent", "rotates 15 of the 15 channels"},
      {"--rotary-percent 0", "model.rotary_percent", "rotates 0 of the 32"},
      {"--max-position-embeddings 64", "model.max_position_embeddings", "less than seq_length 128"},
      {"--use-rope-scaling --position-embedding-type learned_absolute", "model.rope_scaling",
       "position_embedding_type is learned_absolute"},
      {"--use-rope-scaling model.rope_high_freq_factor=1", "model.rope_high_freq_factor", "expected more than rope_low_freq_factor 1"},
      {"--recompute-num-layers 1", "model.recompute_num_layers", "only recompute_granularity full"},
      {"--lr 1e-2 --lr-warmup-init 1 --lr-warmup-iters 4", "scheduler.lr_warmup_init", "above optimizer.lr"},
      {"--start-weight-decay 0.1 --end-weight-decay 0.01 --weight-decay-incr-style linear", "scheduler.start_weight_decay", "only grows"},
      {"--recompute-granularity full --recompute-method block --recompute-num-layers 9", "model.recompute_num_layers",
       "at most num_layers 4"},
      {"--adam-beta1 1", "optimizer.adam_beta1", "expected less than 1"},
      {"--adam-beta2 1", "optimizer.adam_beta2", "expected less than 1"},
      {"--adam-eps 0", "optimizer.adam_eps", "divided by zero"},
      {"--exp-avg-dtype bf16", "optimizer.exp_avg_dtype", "got bf16, which needs optimizer.use_precision_aware_optimizer"},
      {"--exp-avg-sq-dtype bf16", "optimizer.exp_avg_sq_dtype", "got bf16, which needs optimizer.use_precision_aware_optimizer"},
      {"--attention-backend cudnn", "model.attention_backend", "cudnn, which is not built in; flash (on the tensor cores) and math"},
      {"--lr 1e-4 --min-lr 1e-3", "optimizer.min_lr", "above optimizer.lr 0.0001"},
      {"--lr-decay-samples 100", "scheduler.lr_decay_samples", "counted in iterations"},
      {"--train-samples 100 --lr-decay-iters 100", "scheduler.lr_decay_iters", "counted in samples"},
      {"--train-samples 100 --lr-warmup-iters 1", "scheduler.lr_warmup_iters", "counted in samples"},
      {"--lr-warmup-iters 1 --lr-warmup-fraction 0.1", "scheduler.lr_warmup_fraction", "give one of them"},
      {"--lr 1e-3 --min-lr 1 --lr-decay-style constant", "optimizer.min_lr", "got 1, above optimizer.lr 0.001"},
      {"--lr 1e-2 --lr-warmup-init 1", "scheduler.lr_warmup_init", "above optimizer.lr"},
      {"--start-weight-decay 0.1 --weight-decay-incr-style cosine", "scheduler.start_weight_decay", "above end_weight_decay 0.01"},
      {"--start-weight-decay 0.1", "scheduler.weight_decay_incr_style", "goes from 0.1 to 0.01"},
      {"scheduler.override_opt_param_scheduler=1 scheduler.use_checkpoint_opt_param_scheduler=1", "scheduler.override_opt_param_scheduler",
       "exclude each other"},
      {"--lr-decay-style WSD", "scheduler.lr_decay_style", "set lr_wsd_decay_iters"},
      {"--lr-decay-style WSD --lr-wsd-decay-iters 201", "scheduler.lr_wsd_decay_iters", "makes 3216 samples, expected at most the 3200"},
      {"--lr-decay-style WSD --lr-decay-iters 100 --lr-wsd-decay-iters 101", "scheduler.lr_wsd_decay_iters",
       "makes 1616 samples, expected at most the 1600"},  // of a decay that is shorter than the run
      {"--save-interval 5", "checkpoint.save_interval", "checkpoint.save names no folder"},
      {"--finetune", "checkpoint.finetune", "checkpoint.load names no folder"},
      {"--ckpt-step 5", "checkpoint.ckpt_step", "checkpoint.load names no folder"},
      {"checkpoint.most_recent_k=0", "checkpoint.most_recent_k", "at least 1"},
      {"--skip-train --eval-iters 0", "validation.skip_train", "nothing is left to do"},
      {"profiling.trace_path=t.json --profile-step-end 10", "profiling.profile_step_end", "more than profile_step_start 10"},
      {"--num-layers 100000 --hidden-size 1048576 --num-attention-heads 1024 --ffn-hidden-size 16777216", "model",
       "no 64-bit number counts"},
      {"--num-layers 1000 --seq-length 16777216 --micro-batch-size 1048576 --global-batch-size 1048576", "train.micro_batch_size",
       "no 64-bit number counts"},
      {"--seq-length 16777216 --global-batch-size 1073741824 --train-iters 99999999", "train", "more than 64 bits count"},
  };
  for (const Case& c : cases) {
    INFO(c.assignments);
    const std::vector<Problem> problems = problems_of(c.assignments);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].where == c.where);
    CHECK_THAT(problems[0].what, ContainsSubstring(c.what));
  }
}

TEST_CASE("Ranks count in the batch, and every broken rule is reported", "[config_validate]") {
  CHECK(problems_of("--global-batch-size 16", 3)[0].what.find("4 x 3 ranks = 12; take 12 or 24") != std::string::npos);
  CHECK(problems_of("--global-batch-size 7 --adam-beta1 1 --save-interval 3 --num-query-groups 3").size() == 4);
}

}  // namespace mbt::test::config_validate_test
