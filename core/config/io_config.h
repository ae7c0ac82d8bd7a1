// Sections "tokenizer", "logger", "checkpoint" and "profiling".
#pragma once

#include "core/base/fields.h"

namespace mbt {

struct TokenizerConfig {
  std::string tokenizer_type = "bytes";
  std::string tokenizer_model;

  bool operator==(const TokenizerConfig&) const = default;
  bool has_files() const { return tokenizer_type != "bytes" && tokenizer_type != "none"; }

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.tokenizer_type,
      FieldInfo{.name = "tokenizer_type",
                .doc = "bytes: 256 tokens, one a byte; HuggingFaceTokenizer: byte-level BPE of a tokenizer.json; SentencePieceTokenizer: a "
                       "SentencePiece model; none: text is refused, files of tokens are read. By default what tokenizer_model's file is; a "
                       "model from a Hugging Face folder has what its folder holds, unless another is named",
                .choices = {"bytes", "HuggingFaceTokenizer", "SentencePieceTokenizer", "none"},
                .other_words = {{"SentencePiece", "SentencePieceTokenizer"},
                                {"GPTSentencePieceTokenizer", "SentencePieceTokenizer"},
                                {"Llama2Tokenizer", "SentencePieceTokenizer"},
                                {"GPT2BPETokenizer", "HuggingFaceTokenizer"},
                                {"NullTokenizer", "bytes"}},
                .alias = "tokenizer-type"});
    v(s.tokenizer_model, FieldInfo{.name = "tokenizer_model",
                                   .doc = "The tokenizer's file, or a folder with a tokenizer.json or tokenizer.model; empty for bytes",
                                   .alias = "tokenizer-model"});
  }
};

struct LoggerConfig {
  int64_t log_interval = 10;
  bool log_throughput = false;
  bool log_params_norm = false;
  std::string jsonl_path;
  std::string progress = "auto";
  std::string logging_level = "info";
  std::string save_config_filepath;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.log_interval, FieldInfo{.name = "log_interval",
                                .doc = "Iterations between log lines (upstream: 100)",
                                .unit = "iterations",
                                .min = 1,
                                .alias = "log-interval"});
    v(s.log_throughput, FieldInfo{.name = "log_throughput", .doc = "TFLOP/s in the log line", .alias = "log-throughput"});
    v(s.log_params_norm, FieldInfo{.name = "log_params_norm", .doc = "Norm of all weights in the log line", .alias = "log-params-norm"});
    v(s.jsonl_path, FieldInfo{.name = "jsonl_path",
                              .doc = "Metrics, one JSON object an iteration; empty: metrics.jsonl in checkpoint.save, if any. A continued "
                                     "run appends: the last record of an iteration counts"});
    v(s.progress,
      FieldInfo{.name = "progress", .doc = "Progress line on stderr: auto shows it on a terminal", .choices = {"auto", "on", "off"}});
    v(s.logging_level, FieldInfo{.name = "logging_level", .doc = "Messages on stderr", .choices = {"debug", "info", "warning", "error"}});
    v(s.save_config_filepath, FieldInfo{.name = "save_config_filepath", .doc = "Write the resolved config here"});
  }
};

struct CheckpointConfig {
  std::string save;
  std::string load;
  std::optional<int64_t> save_interval;
  bool save_optim = true;
  bool load_optim = true;
  int64_t most_recent_k = -1;
  std::optional<int64_t> ckpt_step;
  bool finetune = false;
  bool async_save = false;
  bool verify_integrity = true;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.save, FieldInfo{.name = "save", .doc = "Folder to save to; empty: no checkpoints", .alias = "save"});
    v(s.load, FieldInfo{.name = "load", .doc = "Folder to continue from", .alias = "load"});
    v(s.save_interval, FieldInfo{.name = "save_interval",
                                 .doc = "Iterations between checkpoints; null: only at the end",
                                 .unit = "iterations",
                                 .min = 1,
                                 .alias = "save-interval"});
    v(s.save_optim, FieldInfo{.name = "save_optim", .doc = "Save masters and moments"});
    v(s.load_optim, FieldInfo{.name = "load_optim", .doc = "Load masters and moments"});
    v(s.most_recent_k, FieldInfo{.name = "most_recent_k", .doc = "Checkpoints to keep; -1: all", .min = -1});
    v(s.ckpt_step, FieldInfo{.name = "ckpt_step", .doc = "Load this iteration instead of the newest", .min = 0, .alias = "ckpt-step"});
    v(s.finetune, FieldInfo{.name = "finetune", .doc = "Load weights only and start at iteration 0", .alias = "finetune"});
    v(s.async_save,
      FieldInfo{.name = "async_save", .doc = "Write checkpoints beside training, from a copy in host memory", .alias = "async-save"});
    v(s.verify_integrity,
      FieldInfo{.name = "verify_integrity", .doc = "On load: compare every file with its checksum; false: sizes alone"});
  }
};

struct ProfilingConfig {
  std::string trace_path;
  int64_t profile_step_start = 10;
  int64_t profile_step_end = 12;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.trace_path, FieldInfo{.name = "trace_path", .doc = "Write a timeline of ops (Chrome trace JSON) here; empty: none"});
    v(s.profile_step_start,
      FieldInfo{.name = "profile_step_start", .doc = "First iteration of the trace", .min = 1, .alias = "profile-step-start"});
    v(s.profile_step_end,
      FieldInfo{.name = "profile_step_end", .doc = "First iteration after the trace", .min = 1, .alias = "profile-step-end"});
  }
};

}  // namespace mbt
