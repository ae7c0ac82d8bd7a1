// The loss scale of 16-bit training: which kind, and how it moves after a step.
#pragma once

#include <cstdint>

#include "core/config/optimizer_config.h"

namespace mbt {

enum class LossScaling : uint8_t {
  none,      ///< scale 1; gradients are not checked for Inf and NaN
  constant,  ///< a fixed scale; a step with Inf or NaN is skipped
  dynamic,   ///< as constant, and the scale halves after overflows and doubles after a window of clean steps
};

/// The fields of a checkpoint: scale, growth_tracker, hysteresis_tracker. All others come from the configuration.
struct LossScaler {
  LossScaling kind = LossScaling::none;
  float scale = 1.0F;
  int64_t growth_tracker = 0;      ///< clean steps since the last growth or overflow
  int64_t hysteresis_tracker = 0;  ///< overflows left before the scale is halved; only growth restores it, as upstream
  float min_scale = 1.0F;
  int64_t growth_interval = 0;
  int64_t hysteresis = 0;

  bool checks_gradients() const { return kind != LossScaling::none; }
  /// Returns the factor that unscales gradients: 1 / scale, computed in double and rounded to fp32.
  float inverse_scale() const { return static_cast<float>(1.0 / static_cast<double>(scale)); }
  /// Call it after every attempted step. The step must be skipped when found_inf.
  void update(bool found_inf);
};

/// loss_scale set and not 0, fp16 or bf16: constant. Otherwise fp16: dynamic; bf16, fp32: none.
/// Throws InputError when 0 < min_loss_scale <= initial_loss_scale, loss_scale_window >= 1 or hysteresis >= 1 does not hold.
LossScaler make_loss_scaler(const OptimizerConfig& config);

}  // namespace mbt
