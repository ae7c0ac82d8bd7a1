#include "core/config/upstream_names.h"

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/base/python_value.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

constexpr Switch kSwitches[] = {
    {"no_fp8_wgrad", "mixed_precision", "fp8_wgrad", false},
    {"grad_reduce_in_bf16", "mixed_precision", "grad_reduce_in_fp32", false},
    {"accumulate_allreduce_grads_in_fp32", "mixed_precision", "grad_reduce_in_fp32", true},
};

struct Foreign {
  const char* flag;
  const char* here;
};
constexpr Foreign kForeign[] = {
    {"learning_rate", "it is --lr"},
    {"batch_size", "it is --micro-batch-size (of a rank, at once) and --global-batch-size (of an optimizer step)"},
    {"per_device_train_batch_size", "it is --micro-batch-size"},
    {"per_device_eval_batch_size", "evaluation uses --micro-batch-size"},
    {"local_batch_size", "it is --micro-batch-size"},
    {"train_batch_size", "it is --global-batch-size"},
    {"gradient_accumulation_steps", "it follows from --global-batch-size / (--micro-batch-size x ranks)"},
    {"max_steps", "it is --train-iters"},
    {"steps", "it is --train-iters"},
    {"num_steps", "it is --train-iters"},
    {"num_train_epochs", "a run's length is --train-iters or --train-samples"},
    {"epochs", "a run's length is --train-iters or --train-samples"},
    {"warmup_steps", "it is --lr-warmup-iters"},
    {"warmup_ratio", "it is --lr-warmup-fraction"},
    {"lr_scheduler_type", "it is --lr-decay-style"},
    {"max_grad_norm", "it is --clip-grad"},
    {"output_dir", "it is --save"},
    {"resume_from_checkpoint", "it is --load"},
    {"save_steps", "it is --save-interval"},
    {"eval_steps", "it is --eval-interval"},
    {"logging_steps", "it is --log-interval"},
    {"block_size", "it is --seq-length"},
    {"max_seq_length", "it is --seq-length"},
    {"context_length", "it is --seq-length"},
    {"model_name_or_path", "it is --model.hf_path FOLDER"},
    {"train_file", "it is --data-path"},
    {"dataset", "it is --data-path"},
    {"dataset_path", "it is --data-path"},
    {"gradient_checkpointing", "it is --recompute-granularity full"},
    {"mixed_precision_training", "it is --mixed-precision RECIPE"},
    {"dtype", "it is --mixed-precision RECIPE"},
    {"precision", "it is --mixed-precision RECIPE"},
    {"num_workers", "nothing replaces it: a thread of its own reads ahead; leave it out"},
    {"tensorboard_dir", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"wandb_project", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"report_to", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"tensor_model_parallel_size", "there is data parallelism alone; leave it out where it is 1"},
    {"pipeline_model_parallel_size", "there is data parallelism alone; leave it out where it is 1"},
    {"swiglu", "it is --model.activation_func swiglu, the default; for Megatron-LM's command line there is `mbtrain pretrain_gpt`"},
    {"mock_data", "it is --dataset.kind synthetic, the default; for Megatron-LM's command line there is `mbtrain pretrain_gpt`"},
};

}  // namespace

const char* what_it_is_here(std::string_view flag) {
  for (const Foreign& f : kForeign)
    if (underscored(flag) == f.flag) return f.here;
  return nullptr;
}

std::span<const Switch> switches() { return kSwitches; }

const Switch* find_switch(std::string_view flag) {
  for (const Switch& s : kSwitches)
    if (underscored(flag) == s.flag) return &s;
  return nullptr;
}

std::vector<Assignment> in_own_fields(const Assignment& assignment) {
  if (underscored(assignment.section) != "dataset" || underscored(assignment.field) != kBlendPerSplit) return {assignment};
  using nlohmann::json;
  const std::string typed = assignment.is_text() ? assignment.value->get<std::string>() : "";
  json lists = assignment.is_text() ? parse_json_or_discard(typed) : *assignment.value;
  if (lists.is_discarded()) lists = parse_python_list(typed);
  if (lists.is_null() || is_null_word(typed)) return {};
  if (!lists.is_array() || lists.size() != 3) return {assignment};
  std::vector<Assignment> own;
  const char* const fields[] = {"train_data_path", "valid_data_path", "test_data_path"};
  for (size_t i = 0; i < 3; ++i)
    if (!lists[i].is_null())
      own.push_back({assignment.section, fields[i], assignment.is_text() ? json(json_text(lists[i])) : lists[i], assignment.origin});
  return own;
}

}  // namespace mbt
