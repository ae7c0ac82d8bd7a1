// CpuBackend's ops: refuse what a loop could not survive (dtypes, indices out of range), then run the loop of this processor's level.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops/activation.h"
#include "kernels/cpu/loops/cross_entropy.h"
#include "kernels/cpu/loops/elementwise.h"
#include "kernels/cpu/loops/embedding.h"
#include "kernels/cpu/loops/norm.h"
#include "kernels/cpu/loops/optimizer.h"
#include "kernels/cpu/loops/qk_norm.h"
#include "kernels/cpu/loops/rope.h"
#include "kernels/cpu/processor.h"
#include "kernels/cpu/quantize.h"
#include "kernels/cpu/shard_quantize.h"

namespace mbt::cpu {
namespace {

/// Both name in the error the op that `args` belong to.
template <class Args>
void expect_act(const Args& args, const char* name, const ConstTensorView& t) {
  const bool is_act = t.dtype == DType::f32 || t.dtype == DType::bf16 || t.dtype == DType::f16;
  if (t.empty() || !is_act)
    throw Error(fmt::format("{}: tensor '{}' is {}, expected f32, bf16 or f16", op_name(args), name, t.empty() ? "missing" : t.str()));
}

template <class Args>
void expect_indices(const Args& args, const char* name, const ConstTensorView& t, int64_t limit) {
  const int32_t* index = t.as<int32_t>();
  for (int64_t i = 0; i < t.size(); ++i) {
    if (index[i] < 0 || index[i] >= limit)
      throw Error(fmt::format("{}: {}[{}] is {}, expected 0 to {}", op_name(args), name, i, index[i], limit - 1));
  }
}

size_t flat_chunks(const ConstTensorView& t) { return static_cast<size_t>((t.size() + kFlatChunk - 1) / kFlatChunk); }

/// Floats of the partial sums over rows of a matrix of `cols` columns.
size_t row_partials(int64_t cols) { return static_cast<size_t>(kMaxRowChunks * cols); }

}  // namespace

void CpuBackend::begin_op(const char*) { use_threads(num_threads_); }

void CpuBackend::do_embedding_fwd(const EmbeddingFwdArgs& args) {
  expect_act(args, "table", args.table);
  expect_indices(args, "tokens", args.tokens, args.table.rows());
  if (!args.position_table.empty() && !args.positions.empty())
    expect_indices(args, "positions", args.positions, args.position_table.rows());
  MBT_AT_LEVEL(embedding_fwd)(args);
}

void CpuBackend::do_embedding_bwd(const EmbeddingBwdArgs& args) {
  expect_act(args, "d_out", args.d_out);
  expect_indices(args, "tokens", args.tokens, args.d_table.rows());
  if (!args.d_position_table.empty() && !args.positions.empty())
    expect_indices(args, "positions", args.positions, args.d_position_table.rows());
  MBT_AT_LEVEL(embedding_bwd)(args);
}

void CpuBackend::do_norm_fwd(const NormFwdArgs& args) {
  expect_act(args, "x", args.x);
  if (!args.h.empty()) expect_tensor(op_name(args), "h", args.h, args.x.dtype, args.x.shape);
  MBT_AT_LEVEL(norm_fwd)(args);
  quantize(args.y, args.quantized);
}

void CpuBackend::do_norm_bwd(const NormBwdArgs& args) {
  expect_act(args, "h", args.h);
  MBT_AT_LEVEL(norm_bwd)(args, scratch_.get<float>(2 * row_partials(args.h.cols())));
  quantize(args.d_h, args.quantized);
}

void CpuBackend::do_qk_norm_fwd(const QkNormFwdArgs& args) {
  expect_act(args, "qkv", args.qkv);
  MBT_AT_LEVEL(qk_norm_fwd)(args);
}

void CpuBackend::do_qk_norm_bwd(const QkNormBwdArgs& args) {
  expect_act(args, "qkv", args.qkv);
  MBT_AT_LEVEL(qk_norm_bwd)(args, scratch_.get<float>(2 * row_partials(args.q_weight.cols())));
  quantize(args.d_qkv, args.quantized);
}

void CpuBackend::do_rope(const RopeArgs& args) {
  expect_act(args, "qkv", args.qkv);
  if (!args.positions.empty()) expect_indices(args, "positions", args.positions, args.cos_sin.rows());
  MBT_AT_LEVEL(rope)(args);
  quantize(args.qkv, args.quantized);
}

void CpuBackend::do_attention_fwd(const AttentionFwdArgs& args) {
  attention_.fwd(args);
  quantize(args.out, args.quantized);
}

void CpuBackend::do_attention_bwd(const AttentionBwdArgs& args) {
  attention_.bwd(args);
  quantize(args.d_qkv, args.quantized);
}

void CpuBackend::do_attention_cached(const AttentionCachedArgs& args) { attention_.cached(args); }

void CpuBackend::do_activation_fwd(const ActivationFwdArgs& args) {
  expect_act(args, "x", args.x);
  MBT_AT_LEVEL(activation_fwd)(args);
  quantize(args.y, args.quantized);
}

void CpuBackend::do_activation_bwd(const ActivationBwdArgs& args) {
  expect_act(args, "x", args.x);
  MBT_AT_LEVEL(activation_bwd)(args);
  quantize(args.d_x, args.quantized);
}

void CpuBackend::do_cross_entropy(const CrossEntropyArgs& args) {
  expect_act(args, "logits", args.logits);
  expect_indices(args, "targets", args.targets, args.vocab_size);
  MBT_AT_LEVEL(cross_entropy)(args);
}

void CpuBackend::do_gemm(const GemmArgs& args) { gemm_.run(args); }

void CpuBackend::do_bias_bwd(const BiasBwdArgs& args) {
  expect_act(args, "d_y", args.d_y);
  MBT_AT_LEVEL(bias_bwd)(args, scratch_.get<double>(row_partials(args.d_y.cols())));
}

void CpuBackend::quantize(const ConstTensorView& x, const QuantOutput& quantized) {
  if (!quantized.empty()) do_quantize({.x = x, .to = quantized});
}

void CpuBackend::do_quantize(const QuantizeArgs& args) { cpu::quantize(args); }

void CpuBackend::do_delayed_scaling_update(const DelayedScalingUpdateArgs& args) { cpu::delayed_scaling_update(args); }

void CpuBackend::do_shard_amax(const ShardAmaxArgs& args) { cpu::shard_amax(args); }

void CpuBackend::do_quantize_shard(const QuantizeShardArgs& args) { cpu::quantize_shard(args); }

void CpuBackend::do_complete_copies(const CompleteCopiesArgs& args) { cpu::complete_copies(args); }

void CpuBackend::do_grad_norm(const GradNormArgs& args) { MBT_AT_LEVEL(grad_norm)(args, scratch_.get<double>(flat_chunks(args.grad))); }

void CpuBackend::do_clip_scale(const ClipScaleArgs& args) {
  const double coefficient = args.max_norm / (std::sqrt(*args.squared_norm.as<double>()) + 1e-6);
  const bool clips = args.max_norm > 0 && coefficient < 1.0;
  *args.scale.as<float>() = static_cast<float>((clips ? coefficient : 1.0) * args.inverse_scale);
}

void CpuBackend::do_decide_step(const DecideStepArgs& args) {
  const double squared_norm = *args.squared_norm.as<double>(), loss_sum = args.loss_sum.empty() ? 0.0 : *args.loss_sum.as<double>();
  const int32_t non_finite = *args.non_finite.as<int32_t>();
  const bool skip = (args.skip_non_finite && non_finite != 0) || std::sqrt(squared_norm) > args.max_norm ||
                    (args.skip_non_finite_loss && !std::isfinite(loss_sum));
  *args.skip.as<int32_t>() = skip ? 1 : 0;
  const double report[] = {loss_sum, squared_norm, static_cast<double>(non_finite), skip ? 1.0 : 0.0};
  std::copy(std::begin(report), std::end(report), args.report.as<double>());
}

void CpuBackend::do_adamw(const AdamwArgs& args) {
  if (!args.param.empty()) expect_act(args, "param", args.param);
  if (!args.skip.empty()) expect_tensor(op_name(args), "skip", args.skip, DType::i32, {1});
  MBT_AT_LEVEL(adamw)(args);
}

void CpuBackend::do_cast(const CastArgs& args) {
  if (!is_float(args.src.dtype) || !is_float(args.dst.dtype)) {
    throw Error(fmt::format("{}: {} to {}, expected floating-point types", op_name(args), args.src.str(), args.dst.str()));
  }
  MBT_AT_LEVEL(cast)(args);
}

void CpuBackend::do_add(const AddArgs& args) {
  expect_act(args, "a", args.a);
  MBT_AT_LEVEL(add)(args);
}

void CpuBackend::do_sum(const SumArgs& args) { MBT_AT_LEVEL(sum)(args, scratch_.get<double>(flat_chunks(args.x))); }

}  // namespace mbt::cpu
