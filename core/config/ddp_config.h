// Section "ddp": gradients and data parallelism.
#pragma once

#include "core/base/fields.h"

namespace mbt {

struct DdpConfig {
  bool grad_reduce_in_fp32 = false;
  bool overlap_grad_reduce = false;
  bool overlap_param_gather = false;
  bool use_distributed_optimizer = false;
  std::optional<int64_t> bucket_size;
  bool pad_buckets_for_high_nccl_busbw = false;
  bool average_in_collective = false;
  bool check_for_nan_in_grad = false;
  bool reduce_scatter_with_fp32_accumulation = false;
  bool fp8_param_gather = false;
  bool fp4_param_gather = false;
  bool reuse_grad_buf_for_mxfp8_param_ag = false;

  template <class Self, class V>
  static void visit(Self& s, V&& v) {
    v(s.grad_reduce_in_fp32, set_by_recipe("grad_reduce_in_fp32"));
    v(s.overlap_grad_reduce, FieldInfo{.name = "overlap_grad_reduce", .doc = "Reduce buckets during the last micro-batch's backward"});
    v(s.overlap_param_gather,
      FieldInfo{.name = "overlap_param_gather", .doc = "Gather parameters during the next forward", .alias = kNoAlias});
    v(s.use_distributed_optimizer,
      FieldInfo{
          .name = "use_distributed_optimizer", .doc = "ZeRO-1; kept equal to optimizer.use_distributed_optimizer", .alias = kNoAlias});
    v(s.bucket_size, FieldInfo{.name = "bucket_size",
                               .doc = "Parameters of one bucket; null: max(40e6, 1e6 x ranks)",
                               .unit = "parameters",
                               .min = 1,
                               .alias = "ddp-bucket-size"});
    v(s.pad_buckets_for_high_nccl_busbw,
      FieldInfo{.name = "pad_buckets_for_high_nccl_busbw", .doc = "Pad buckets to multiples of 2^16 elements", .alias = kNoAlias});
    v(s.average_in_collective,
      FieldInfo{.name = "average_in_collective", .doc = "Average inside the collective instead of scaling before it", .alias = kNoAlias});
    v(s.check_for_nan_in_grad,
      FieldInfo{.name = "check_for_nan_in_grad",
                .doc = "End the run when a gradient is not finite, whatever nan_policy says; switched off under a dynamic loss scale",
                .alias = "check-for-nan-in-loss-and-grad"});
    v(s.reduce_scatter_with_fp32_accumulation,
      FieldInfo{.name = "reduce_scatter_with_fp32_accumulation", .doc = "16-bit transport, fp32 sums", .alias = kNoAlias});
    v(s.fp8_param_gather, set_by_recipe("fp8_param_gather"));
    v(s.fp4_param_gather, set_by_recipe("fp4_param_gather"));
    v(s.reuse_grad_buf_for_mxfp8_param_ag, set_by_recipe("reuse_grad_buf_for_mxfp8_param_ag"));
  }
};

}  // namespace mbt
