#include "core/config/validate.h"

#include <string>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

constexpr double kLargestCount = 9.2e18;  // int64, with room for the rounding of products made in double

class ShapeRules {
 public:
  ShapeRules(const RunConfig& config, int ranks, std::vector<Problem>& problems) : c_(config), ranks_(ranks), problems_(problems) {}

  void check_all() {
    check_batch();
    check_length();
    check_heads();
    check_positions();
    check_recompute();
    check_optimizer();
    check_schedule_units();
    check_schedule();
    check_schedule_ranges();
    check_checkpoint();
    check_evaluation();
    check_sizes();
  }

 private:
  template <class... Args>
  void refuse(const std::string& where, fmt::format_string<Args...> what, Args&&... args) {
    problems_.push_back({where, fmt::format(what, std::forward<Args>(args)...)});
  }

  void check_batch() {
    const int64_t global = c_.train.global_batch_size, step = c_.train.micro_batch_size * ranks_;
    if (global % step == 0) return;
    const int64_t above = (global / step + 1) * step;
    const std::string nearby = global > step ? fmt::format("{} or {}", above - step, above) : fmt::format("{}", above);
    refuse("train.global_batch_size",
           "got {}, expected a multiple of micro_batch_size {} x {}{} = {}; take {}, or another micro_batch_size", global,
           c_.train.micro_batch_size, ranks_, ranks_ == 1 ? " rank" : " ranks", step, nearby);
  }

  void check_length() {
    const TrainConfig& train = c_.train;
    if (train.train_iters && train.train_samples) {
      refuse("train.train_samples", "got {} beside train_iters {}; give one of the two", *train.train_samples, *train.train_iters);
    } else if (train.train_samples && *train.train_samples < train.global_batch_size) {
      refuse("train.train_samples", "got {}, less than one global batch of {}", *train.train_samples, train.global_batch_size);
    } else if (train.iterations() > 99999999) {
      refuse("train.train_samples", "makes {} iterations, expected at most 99999999; take a larger global_batch_size", train.iterations());
    }
    if (c_.dataset.seq_length && *c_.dataset.seq_length != c_.model.seq_length)
      refuse("dataset.seq_length", "got {}, but model.seq_length is {}; set model.seq_length alone and leave dataset.seq_length null",
             *c_.dataset.seq_length, c_.model.seq_length);
  }

  void check_heads() {
    const ModelConfig& m = c_.model;
    if (!m.kv_channels && m.hidden_size % m.num_attention_heads != 0)
      refuse("model.hidden_size",
             "got {}, not a multiple of num_attention_heads {}; change one of them, or give the head width as kv_channels", m.hidden_size,
             m.num_attention_heads);
    if (m.num_attention_heads % m.kv_heads() != 0)
      refuse("model.num_query_groups", "got {}, expected a divisor of num_attention_heads {}", m.kv_heads(), m.num_attention_heads);
    if (m.attention_backend == AttentionChoice::cudnn)
      refuse("model.attention_backend",
             "got cudnn, which is not built in; flash (on the tensor cores) and math (any head width) are: take auto, flash or math");
  }

  void check_positions() {
    const ModelConfig& m = c_.model;
    const bool is_rope = m.position_embedding_type == PositionEmbedding::rope;
    if (m.position_embedding_type != PositionEmbedding::none && m.max_positions() < m.seq_length)
      refuse("model.max_position_embeddings", "got {}, less than seq_length {}{}", m.max_positions(), m.seq_length,
             m.position_embedding_type == PositionEmbedding::learned_absolute && !m.hf_path.empty()
                 ? "; the weights of model.hf_path have no more: shorten the sequence"
                 : "; raise it or shorten the sequence");
    const std::string beyond_window = sliding_window_problem(m, m.seq_length);
    if (!beyond_window.empty()) refuse("model.seq_length", "{}", beyond_window);
    if (is_rope) check_rotary_width();
    if (!m.rope_scaling) return;
    if (!is_rope)
      refuse("model.rope_scaling", "is true, but position_embedding_type is {}; expected rope, or rope_scaling false",
             name_of(m.position_embedding_type));
    if (m.rope_low_freq_factor <= 0) refuse("model.rope_low_freq_factor", "got 0, expected a number above 0: it divides");
    if (m.rope_high_freq_factor <= m.rope_low_freq_factor)
      refuse("model.rope_high_freq_factor", "got {}, expected more than rope_low_freq_factor {}", to_text(m.rope_high_freq_factor),
             to_text(m.rope_low_freq_factor));
  }

  void check_rotary_width() {
    const ModelConfig& m = c_.model;
    const auto width = static_cast<int64_t>(static_cast<double>(m.head_dim()) * m.rotary_percent);
    if (width >= 2 && width % 2 == 0) return;
    refuse("model.rotary_percent",
           "rotates {} of the {} channels of a head, expected an even number from 2 on; change rotary_percent, kv_channels or "
           "num_attention_heads",
           width, m.head_dim());
  }

  void check_recompute() {
    const ModelConfig& m = c_.model;
    if (!m.recompute_num_layers) return;
    // "uniform" recomputes layer by layer here, whatever the size of upstream's groups: memory alone differs.
    if (m.recompute_granularity == RecomputeGranularity::full && m.recompute_method == RecomputeMethod::uniform) return;
    if (m.recompute_granularity != RecomputeGranularity::full || m.recompute_method != RecomputeMethod::block)
      refuse("model.recompute_num_layers",
             "got {}, which only recompute_granularity full with recompute_method block uses; set those, or this to null",
             *m.recompute_num_layers);
    else if (*m.recompute_num_layers > m.num_layers)
      refuse("model.recompute_num_layers", "got {}, expected at most num_layers {}", *m.recompute_num_layers, m.num_layers);
  }

  /// As upstream's scheduler asserts.
  void check_schedule_ranges() {
    const SchedulerConfig& s = c_.scheduler;
    if (s.lr_warmup_init > c_.optimizer.lr)
      refuse("scheduler.lr_warmup_init", "got {}, above optimizer.lr {}; warm-up rises to lr", to_text(s.lr_warmup_init),
             to_text(c_.optimizer.lr));
    const double start = s.start_weight_decay.value_or(c_.optimizer.weight_decay),
                 end = s.end_weight_decay.value_or(c_.optimizer.weight_decay);
    if (s.weight_decay_incr_style != WeightDecayStyle::constant && start > end)
      refuse("scheduler.start_weight_decay", "got {}, above end_weight_decay {}; weight decay only grows (weight_decay_incr_style)",
             to_text(start), to_text(end));
  }

  void check_optimizer() {
    const OptimizerConfig& o = c_.optimizer;
    if (o.adam_beta1 >= 1) refuse("optimizer.adam_beta1", "got {}, expected less than 1", to_text(o.adam_beta1));
    if (o.adam_beta2 >= 1) refuse("optimizer.adam_beta2", "got {}, expected less than 1", to_text(o.adam_beta2));
    if (o.adam_eps <= 0) refuse("optimizer.adam_eps", "got 0, expected more: a weight without gradient would be divided by zero");
    for (const auto& [field, dtype] : {std::pair{"exp_avg_dtype", o.exp_avg_dtype}, std::pair{"exp_avg_sq_dtype", o.exp_avg_sq_dtype}})
      if (dtype != MomentDtype::fp32 && !o.use_precision_aware_optimizer)
        refuse(std::string("optimizer.") + field,
               "got {}, which needs optimizer.use_precision_aware_optimizer; set that to true, or this to fp32", name_of(dtype));
    if (o.final_lr() > o.lr)  // also where the rate is constant: upstream asserts it always
      refuse("optimizer.min_lr", "got {}, above optimizer.lr {}; lower it, or null for a tenth of lr", to_text(o.final_lr()),
             to_text(o.lr));
  }

  /// The run is counted either in iterations or in samples, and the schedule with it.
  void check_schedule_units() {
    const SchedulerConfig& s = c_.scheduler;
    const bool by_samples = c_.train.train_samples.has_value();
    struct Length {
      const char* field;
      bool is_set, is_in_samples;
    };
    const Length lengths[] = {
        {"lr_decay_iters", s.lr_decay_iters.has_value(), false},
        {"lr_decay_samples", s.lr_decay_samples.has_value(), true},
        {"lr_wsd_decay_iters", s.lr_wsd_decay_iters.has_value(), false},
        {"lr_wsd_decay_samples", s.lr_wsd_decay_samples.has_value(), true},
        {"lr_warmup_iters", s.lr_warmup_iters != 0, false},
        {"lr_warmup_samples", s.lr_warmup_samples != 0, true},
    };
    for (const Length& length : lengths)
      if (length.is_set && length.is_in_samples != by_samples)
        refuse(std::string("scheduler.") + length.field, "is set, but the run's length is counted in {}",
               by_samples ? "samples (train.train_samples); use the field that ends in _samples"
                          : "iterations; use the field that ends in _iters, or give train.train_samples");
    if (s.lr_warmup_fraction && (s.lr_warmup_iters != 0 || s.lr_warmup_samples != 0))
      refuse("scheduler.lr_warmup_fraction", "got {} beside lr_warmup_iters or lr_warmup_samples; give one of them",
             to_text(*s.lr_warmup_fraction));
  }

  void check_schedule() {
    const SchedulerConfig& s = c_.scheduler;
    const double start = s.start_weight_decay.value_or(c_.optimizer.weight_decay),
                 end = s.end_weight_decay.value_or(c_.optimizer.weight_decay);
    if (s.weight_decay_incr_style == WeightDecayStyle::constant && start != end)
      refuse("scheduler.weight_decay_incr_style",
             "is constant, but weight decay goes from {} to {} (null means optimizer.weight_decay); make start_weight_decay and "
             "end_weight_decay equal, or take linear or cosine",
             to_text(start), to_text(end));
    if (s.override_opt_param_scheduler && s.use_checkpoint_opt_param_scheduler)
      refuse("scheduler.override_opt_param_scheduler", "and use_checkpoint_opt_param_scheduler are both true; they exclude each other");
    if (s.lr_decay_style == LrDecayStyle::wsd) check_wsd();
  }

  void check_wsd() {
    const SchedulerConfig& s = c_.scheduler;
    const int64_t batch = c_.train.global_batch_size, run = c_.train.schedule_samples();
    const int64_t wsd = s.lr_wsd_decay_samples ? *s.lr_wsd_decay_samples : s.lr_wsd_decay_iters.value_or(0) * batch;
    const int64_t decay = s.lr_decay_samples ? *s.lr_decay_samples : s.lr_decay_iters ? *s.lr_decay_iters * batch : run;
    if (wsd == 0)
      refuse("scheduler.lr_decay_style", "WSD needs the length of its last part: set lr_wsd_decay_iters, or lr_wsd_decay_samples");
    else if (wsd > decay)
      refuse("scheduler.lr_wsd_decay_iters", "makes {} samples, expected at most the {} of the whole decay", wsd, decay);
  }

  void check_checkpoint() {
    const CheckpointConfig& k = c_.checkpoint;
    if (k.save_interval && k.save.empty())
      refuse("checkpoint.save_interval", "got {}, but checkpoint.save names no folder", *k.save_interval);
    if (k.finetune && k.load.empty()) refuse("checkpoint.finetune", "is true, but checkpoint.load names no folder");
    if (k.ckpt_step && k.load.empty()) refuse("checkpoint.ckpt_step", "got {}, but checkpoint.load names no folder", *k.ckpt_step);
    if (k.most_recent_k == 0) refuse("checkpoint.most_recent_k", "got 0, expected -1 (keep all) or at least 1");
  }

  void check_evaluation() {
    const ValidationConfig& v = c_.validation;
    if (v.skip_train && v.eval_iters == 0 && !v.full_validation)
      refuse("validation.skip_train", "is true and eval_iters is 0: nothing is left to do; set eval_iters or full_validation");
    const ProfilingConfig& p = c_.profiling;
    if (!p.trace_path.empty() && p.profile_step_end <= p.profile_step_start)
      refuse("profiling.profile_step_end", "got {}, expected more than profile_step_start {}", p.profile_step_end, p.profile_step_start);
  }

  /// Products that no 64-bit count of bytes or tokens can hold.
  void check_sizes() {
    const ModelConfig& m = c_.model;
    const auto real = [](int64_t v) { return static_cast<double>(v); };
    const double layers = real(m.num_layers), hidden = real(m.hidden_size), ffn = real(m.ffn()), vocab = real(m.padded_vocab_size());
    const double qkv = real(m.qkv_width()), tokens = real(c_.train.micro_batch_size) * real(m.seq_length);
    constexpr double kBytesOfParameter = 18;  // 16-bit weight, fp32 gradient, master and two moments
    const double parameters = layers * hidden * (2 * qkv + 3 * ffn) + 2 * vocab * hidden;
    if (parameters * kBytesOfParameter > kLargestCount)
      refuse("model", "makes {} parameters, whose bytes no 64-bit number counts; lower num_layers, hidden_size, ffn_hidden_size",
             to_text(parameters));
    if (tokens * 4 * (layers * (hidden + qkv + ffn) + vocab) > kLargestCount)
      refuse("train.micro_batch_size", "with seq_length {} makes activations whose bytes no 64-bit number counts; lower either",
             m.seq_length);
    if (real(c_.train.iterations()) * real(c_.train.global_batch_size) * real(m.seq_length) > kLargestCount)
      refuse("train", "the run's tokens (iterations x global_batch_size x seq_length) are more than 64 bits count; shorten it");
  }

  const RunConfig& c_;
  int ranks_;
  std::vector<Problem>& problems_;
};

}  // namespace

void validate_shape(const RunConfig& config, int ranks, std::vector<Problem>& problems) {
  MBT_CHECK(ranks >= 1, "ranks {}", ranks);
  ShapeRules(config, ranks, problems).check_all();
}

std::string sliding_window_problem(const ModelConfig& model, int64_t tokens) {
  if (!model.sliding_window || tokens <= *model.sliding_window) return "";
  return fmt::format(
      "sequences of {} tokens are longer than the sliding window of the model's attention (sliding_window {}), which is not implemented; "
      "take sequences of at most {} tokens",
      tokens, *model.sliding_window, *model.sliding_window);
}

}  // namespace mbt
