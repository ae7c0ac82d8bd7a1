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
    {"max_iters", "it is --train-iters"},
    {"warmup_iters", "it is --lr-warmup-iters"},
    {"grad_clip", "it is --clip-grad"},
    {"max_norm", "it is --clip-grad"},
    {"adam_epsilon", "it is --adam-eps"},
    {"beta1", "it is --adam-beta1"},
    {"beta2", "it is --adam-beta2"},
    {"betas", "it is --adam-beta1 and --adam-beta2"},
    {"n_layer", "it is --num-layers"},
    {"n_head", "it is --num-attention-heads"},
    {"n_embd", "it is --hidden-size"},
    {"num_hidden_layers", "it is --num-layers"},
    {"intermediate_size", "it is --ffn-hidden-size"},
    {"num_key_value_heads", "it is --num-query-groups"},
    {"init_from", "it is --load FOLDER for a checkpoint, --model.hf_path FOLDER for a Hugging Face model"},
    {"out_dir", "it is --save"},
    {"overwrite_output_dir", "a folder that another run has filled is never overwritten; leave it out and choose another --save"},
    {"save_total_limit", "it is --checkpoint.most_recent_k"},
    {"save_strategy", "it is --save-interval, in iterations"},
    {"eval_strategy", "it is --eval-interval, in iterations"},
    {"evaluation_strategy", "it is --eval-interval, in iterations"},
    {"logging_dir", "the numbers of a run are in metrics.jsonl of its --save folder; leave it out"},
    {"run_name", "a run is named by its --save folder"},
    {"do_train", "training is what mbtrain does; leave it out"},
    {"do_eval", "a run evaluates every --eval-interval iterations; `mbtrain eval` scores a trained model"},
    {"seq_len", "it is --seq-length"},
    {"max_length", "it is --seq-length"},
    {"tokenizer", "it is --tokenizer-model, a file or a folder"},
    {"tokenizer_name", "it is --tokenizer-model, a file or a folder"},
    {"tokenizer_path", "it is --tokenizer-model, a file or a folder"},
    {"model", "it is --model.hf_path FOLDER, or --config NAME for a shipped config"},
    {"config_name", "it is --config NAME; `mbtrain config show --config NAME` prints one"},
    {"validation_file", "it is --valid-data-path"},
    {"dataset_name", "data is not downloaded: it is --data-path, files on this machine"},
    {"optim", "the optimizer is AdamW; leave it out"},
    {"dataloader_num_workers", "nothing replaces it: a thread of its own reads ahead; leave it out"},
    {"dataloader_pin_memory", "nothing replaces it: the backend decides; leave it out"},
    {"torch_dtype", "it is --mixed-precision RECIPE"},
    {"torch_compile", "nothing replaces it: the program is compiled; leave it out"},
    {"compile", "nothing replaces it: the program is compiled; leave it out"},
    {"fsdp", "sharding is --use-distributed-optimizer (master weights and moments)"},
    {"deepspeed", "sharding is --use-distributed-optimizer (master weights and moments)"},
    {"local_rank", "mpirun or srun tells the ranks; leave it out"},
    {"nproc_per_node", "ranks are started by mpirun -np N or srun; leave it out"},
    {"wandb_log", "the numbers of a run are in metrics.jsonl; leave it out"},
    // torchtitan's, with their sections
    {"training.local_batch_size", "it is --micro-batch-size"},
    {"training.global_batch_size", "it is --global-batch-size"},
    {"training.seq_len", "it is --seq-length"},
    {"training.steps", "it is --train-iters"},
    {"training.max_norm", "it is --clip-grad"},
    {"training.dataset", "data is not downloaded: it is --data-path, files on this machine"},
    {"training.dataset_path", "it is --data-path"},
    {"training.mixed_precision_param", "it is --mixed-precision RECIPE"},
    {"training.mixed_precision_reduce", "it is --mixed-precision.grad_reduce_in_fp32"},
    {"training.compile", "nothing replaces it: the program is compiled; leave it out"},
    {"lr_scheduler.warmup_steps", "it is --lr-warmup-iters"},
    {"lr_scheduler.decay_type", "it is --lr-decay-style"},
    {"lr_scheduler.decay_ratio", "it is --lr-decay-iters, in iterations"},
    {"optimizer.eps", "it is --adam-eps"},
    {"optimizer.beta1", "it is --adam-beta1"},
    {"optimizer.beta2", "it is --adam-beta2"},
    {"optimizer.name", "the optimizer is AdamW; leave it out"},
    {"model.name", "it is --config NAME for a shipped config, or --model.hf_path FOLDER"},
    {"model.flavor", "it is --config NAME for a shipped config, or --model.hf_path FOLDER"},
    {"model.hf_assets_path", "it is --tokenizer-model, a file or a folder"},
    {"model.tokenizer_path", "it is --tokenizer-model, a file or a folder"},
    {"job.config_file", "it is --config FILE, as JSON"},
    {"job.dump_folder", "it is --save"},
    {"metrics.log_freq", "it is --log-interval"},
    {"metrics.enable_tensorboard", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"metrics.enable_wandb", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"checkpoint.folder", "it is --save"},
    {"checkpoint.interval", "it is --save-interval"},
    {"checkpoint.keep_latest_k", "it is --checkpoint.most_recent_k"},
    {"activation_checkpoint.mode", "it is --recompute-granularity"},
    {"parallelism.data_parallel_shard_degree",
     "ranks are started by mpirun -np N or srun; --use-distributed-optimizer shards the optimizer"},
    {"parallelism.data_parallel_replicate_degree", "ranks are started by mpirun -np N or srun; leave it out"},
    {"parallelism.tensor_parallel_degree", "there is data parallelism only; leave it out where it is 1"},
    {"parallelism.pipeline_parallel_degree", "there is data parallelism only; leave it out where it is 1"},
    {"parallelism.context_parallel_degree", "there is data parallelism only; leave it out where it is 1"},
    {"num_workers", "nothing replaces it: a thread of its own reads ahead; leave it out"},
    {"tensorboard_dir", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"wandb_project", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"report_to", "the numbers of a run are in metrics.jsonl; leave it out"},
    {"tensor_model_parallel_size", "there is data parallelism only; leave it out where it is 1"},
    {"pipeline_model_parallel_size", "there is data parallelism only; leave it out where it is 1"},
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
