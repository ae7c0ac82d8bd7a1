// Section "train": length, batches, exits, device.
#pragma once

#include "core/base/fields.h"

namespace mbt {

enum class NanPolicy : uint8_t { abort, skip };
template <>
struct EnumNames<NanPolicy> {
  using enum NanPolicy;
  static constexpr EnumName all[] = {{abort, "abort"}, {skip, "skip"}};
};

enum class DeviceChoice : uint8_t { automatic, cpu, cuda };
template <>
struct EnumNames<DeviceChoice> {
  using enum DeviceChoice;
  static constexpr EnumName all[] = {{automatic, "auto"}, {cpu, "cpu"}, {cuda, "cuda"}};
  static constexpr EnumName others[] = {{cuda, "gpu"}, {cuda, "nvidia"}};
};

struct TrainConfig {
  int64_t micro_batch_size = 4;
  int64_t global_batch_size = 16;
  std::optional<int64_t> train_iters;
  std::optional<int64_t> train_samples;
  std::optional<int64_t> exit_interval;
  std::optional<double> exit_duration_in_mins;
  bool exit_signal_handler = true;
  std::vector<int64_t> iterations_to_skip;
  std::optional<int64_t> check_weight_hash_across_dp_replicas_interval;
  bool check_for_nan_in_loss = true;
  bool cuda_graph = true;
  NanPolicy nan_policy = NanPolicy::abort;
  DeviceChoice device = DeviceChoice::automatic;
  int64_t num_threads = 0;
  std::optional<bool> emulate_precision;

  /// Neither given: the default run of the built-in model.
  static constexpr int64_t kDefaultIters = 200;
  int64_t iterations() const {
    if (train_iters) return *train_iters;
    return train_samples ? *train_samples / global_batch_size : kDefaultIters;
  }
  /// What schedules are measured by. As upstream, train_samples count in full, though the run ends with its last whole global batch.
  int64_t schedule_samples() const { return !train_iters && train_samples ? *train_samples : iterations() * global_batch_size; }

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.micro_batch_size, FieldInfo{.name = "micro_batch_size",
                                    .doc = "Samples per forward and backward pass on one rank",
                                    .unit = "samples",
                                    .min = 1,
                                    .max = 1048576});
    v(s.global_batch_size, FieldInfo{.name = "global_batch_size",
                                     .doc = "Samples per optimizer step over all ranks; a multiple of micro_batch_size x ranks",
                                     .unit = "samples",
                                     .min = 1,
                                     .max = 1073741824});
    v(s.train_iters, FieldInfo{.name = "train_iters",
                               .doc = "Optimizer steps; 200 when both this and train_samples are null",
                               .unit = "iterations",
                               .min = 1,
                               .max = 99999999});
    v(s.train_samples,
      FieldInfo{.name = "train_samples", .doc = "Length in samples instead of iterations", .unit = "samples", .min = 1, .max = 9e15});
    v(s.exit_interval,
      FieldInfo{.name = "exit_interval", .doc = "Save and exit when the iteration is a multiple of this", .unit = "iterations", .min = 1});
    v(s.exit_duration_in_mins,
      FieldInfo{.name = "exit_duration_in_mins", .doc = "Save and exit after this long", .unit = "minutes", .min = 0});
    v(s.exit_signal_handler, FieldInfo{.name = "exit_signal_handler", .doc = "On SIGTERM or SIGINT: finish the step, save, exit"});
    v(s.iterations_to_skip, FieldInfo{.name = "iterations_to_skip",
                                      .doc = "Iterations whose data is consumed without a step (data spikes)",
                                      .min = 1,
                                      .alias = kNoAlias});
    v(s.check_weight_hash_across_dp_replicas_interval, FieldInfo{.name = "check_weight_hash_across_dp_replicas_interval",
                                                                 .doc = "Compare a hash of all weights over the ranks",
                                                                 .unit = "iterations",
                                                                 .min = 1,
                                                                 .alias = kNoAlias});
    v(s.check_for_nan_in_loss,
      FieldInfo{
          .name = "check_for_nan_in_loss", .doc = "Apply nan_policy when the loss or the gradient norm is not finite", .alias = kNoAlias});
    v(s.nan_policy,
      FieldInfo{
          .name = "nan_policy", .doc = "abort: stop, naming layer and tensor; skip: leave the weights, count, go on", .alias = kNoAlias});
    v(s.cuda_graph,
      FieldInfo{.name = "cuda_graph",
                .doc = "On a GPU: record the kernels of a micro-batch once and launch them as one graph; false: launch each"});
    v(s.device, FieldInfo{.name = "device",
                          .doc = "auto: cuda when built and present, else cpu. When there is a usable GPU but cuBLASLt cannot be loaded, "
                                 "auto is an error; it does not fall back to the CPU"});
    v(s.num_threads,
      FieldInfo{.name = "num_threads", .doc = "CPU threads; 0: all available cores", .min = 0, .max = 4096, .alias = kNoAlias});
    v(s.emulate_precision,
      FieldInfo{.name = "emulate_precision",
                .doc = "Run formats that the device lacks on exactly dequantized values; null: true on the CPU, false on a GPU"});
  }
};

}  // namespace mbt
