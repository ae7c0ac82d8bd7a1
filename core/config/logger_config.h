// Section "logger": log lines, metrics, progress.
#pragma once

#include "core/base/fields.h"

namespace mbt {

enum class ProgressChoice : uint8_t { automatic, on, off };
template <>
struct EnumNames<ProgressChoice> {
  using enum ProgressChoice;
  static constexpr EnumName all[] = {{automatic, "auto"}, {on, "on"}, {off, "off"}};
};

enum class LoggingLevel : uint8_t { debug, info, warning, error };
template <>
struct EnumNames<LoggingLevel> {
  using enum LoggingLevel;
  static constexpr EnumName all[] = {{debug, "debug"}, {info, "info"}, {warning, "warning"}, {error, "error"}};
};

/// log_format. short_line: "short", which is a type's name in C++.
enum class LogFormat : uint8_t { automatic, short_line, megatron };
template <>
struct EnumNames<LogFormat> {
  using enum LogFormat;
  static constexpr EnumName all[] = {{automatic, "auto"}, {short_line, "short"}, {megatron, "megatron"}};
};

struct LoggerConfig {
  int64_t log_interval = 10;
  LogFormat log_format = LogFormat::automatic;
  bool log_throughput = false;
  bool log_params_norm = false;
  std::string jsonl_path;
  ProgressChoice progress = ProgressChoice::automatic;
  LoggingLevel logging_level = LoggingLevel::info;
  std::string save_config_filepath;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.log_interval,
      FieldInfo{.name = "log_interval", .doc = "Iterations between log lines (upstream: 100)", .unit = "iterations", .min = 1});
    v(s.log_format, FieldInfo{.name = "log_format",
                              .doc = "The log line: short fits 160 columns, megatron is the line that parsers of Megatron-LM's logs read; "
                                     "auto: short on a terminal, else (and under mpirun) megatron",
                              .alias = kNoAlias});
    v(s.log_throughput, FieldInfo{.name = "log_throughput", .doc = "TFLOP/s in the log line"});
    v(s.log_params_norm, FieldInfo{.name = "log_params_norm", .doc = "Norm of all weights in the log line"});
    v(s.jsonl_path, FieldInfo{.name = "jsonl_path",
                              .doc = "Metrics, one JSON object per iteration; empty: metrics.jsonl in checkpoint.save, if any. A resumed "
                                     "run appends, and any run in checkpoint.save: the last record of an iteration counts",
                              .alias = kNoAlias,
                              .holds = Holds::file});
    v(s.progress, FieldInfo{.name = "progress", .doc = "Progress line on stderr: auto shows it on a terminal", .alias = kNoAlias});
    v(s.logging_level, FieldInfo{.name = "logging_level", .doc = "Messages on stderr", .alias = kNoAlias});
    v(s.save_config_filepath,
      FieldInfo{.name = "save_config_filepath", .doc = "Write the resolved config here", .alias = kNoAlias, .holds = Holds::file});
  }
};

}  // namespace mbt
