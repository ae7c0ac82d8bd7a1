#include "core/optim/loss_scaler.h"

#include <algorithm>

#include "core/base/error.h"

namespace mbt {

void LossScaler::update(bool found_inf) {
  if (kind != LossScaling::dynamic) return;
  if (found_inf) {
    growth_tracker = 0;
    if (--hysteresis_tracker <= 0) scale = std::max(scale * 0.5F, min_scale);
  } else if (++growth_tracker == growth_interval) {
    growth_tracker = 0;
    hysteresis_tracker = hysteresis;
    scale *= 2.0F;
  }
}

LossScaler make_loss_scaler(const OptimizerConfig& c) {
  LossScaler s;
  if (c.loss_scale.value_or(0) != 0 && (c.fp16 || c.bf16)) {
    s.kind = LossScaling::constant;
    s.scale = static_cast<float>(*c.loss_scale);
    return s;
  }
  if (!c.fp16) return s;
  if (!(c.min_loss_scale > 0) || !(c.initial_loss_scale >= c.min_loss_scale)) {
    throw InputError(fmt::format(
        "optimizer.initial_loss_scale is {} and optimizer.min_loss_scale is {}; expected 0 < min_loss_scale <= initial_loss_scale",
        c.initial_loss_scale, c.min_loss_scale));
  }
  if (!(c.loss_scale_window >= 1))
    throw InputError(fmt::format("optimizer.loss_scale_window is {}, expected at least 1", c.loss_scale_window));
  if (c.hysteresis < 1) throw InputError(fmt::format("optimizer.hysteresis is {}, expected at least 1", c.hysteresis));
  s.kind = LossScaling::dynamic;
  s.scale = static_cast<float>(c.initial_loss_scale);
  s.min_scale = static_cast<float>(c.min_loss_scale);
  s.growth_interval = static_cast<int64_t>(c.loss_scale_window);
  s.hysteresis = s.hysteresis_tracker = c.hysteresis;
  return s;
}

}  // namespace mbt
