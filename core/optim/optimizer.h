// One optimizer step over all parameters: unscale, check, clip, AdamW on the fp32 masters, new working weights and codes.
#pragma once

#include "core/backend/backend.h"
#include "core/config/optimizer_config.h"
#include "core/model/weights.h"
#include "core/optim/loss_scaler.h"
#include "core/parallel/data_parallel.h"

namespace mbt {

/// From exp_avg_dtype and exp_avg_sq_dtype.
MomentTypes moment_types(const OptimizerConfig& config);

/// The loss, as another reason to skip a step.
struct LossGuard {
  TensorView sum = {};  ///< [1] f64 on the device, of this rank; step() makes it that of all ranks; empty: unknown
  bool skip_non_finite = false;
};

struct StepOutcome {
  double loss_sum = 0.0;     ///< LossGuard::sum of all ranks
  double grad_norm = 0.0;    ///< of the unscaled gradients, before clipping; NaN or infinite when they are
  bool is_finite = true;     ///< no NaN or infinity in the gradients
  bool was_skipped = false;  ///< the weights did not change
};

class Optimizer {
 public:
  /// `parallel`: the other ranks; nullptr: there are none. All must outlive it.
  Optimizer(Backend& backend, const OptimizerConfig& config, Weights& weights, DataParallel* parallel = nullptr);

  /// Gradients are in weights.grad(), reduced over ranks, and scaled by scaler.scale / grad_factor. Order as upstream: unscale and check,
  /// update the scaler, skip on overflow, clip, update. skip_non_finite: leave the weights alone also without a loss scaler (nan_policy
  /// skip or abort). The device decides whether to skip; the host waits once, at the end.
  StepOutcome step(LossScaler& scaler, double lr, double weight_decay, bool skip_non_finite, const LossGuard& loss = {},
                   double grad_factor = 1.0);

  /// Steps that changed the weights: Adam's t.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t n) { updates_ = n; }

 private:
  void measure_gradients(const LossGuard& loss, float inverse_scale);
  void update(double lr, double weight_decay, int64_t t);

  Backend& backend_;
  OptimizerConfig config_;
  Weights& weights_;
  DataParallel* parallel_;
  Buffer scalars_;
  TensorView squared_norm_, report_, non_finite_, skip_, grad_scale_;
  int64_t updates_ = 0;
};

}  // namespace mbt
