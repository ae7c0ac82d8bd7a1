// AdamW in double.
#pragma once

#include <cmath>
#include <vector>

#include "core/ops/optimizer.h"
#include "core/reference/guarded_tensor.h"

namespace mbt::ref {

/// Master weights and moments after one step; of `args` it reads the numbers, not the tensors.
struct AdamwReference {
  std::vector<double> master, exp_avg, exp_avg_sq;

  AdamwReference(const AdamwArgs& args, const GuardedTensor& w, const GuardedTensor& m, const GuardedTensor& v, const GuardedTensor& grad,
                 double grad_scale)
      : master(w.values()), exp_avg(m.values()), exp_avg_sq(v.values()) {
    for (size_t i = 0; i < master.size(); ++i) {
      double g = grad.at(static_cast<int64_t>(i)) * grad_scale;
      if (!args.decoupled) g += args.weight_decay * master[i];
      exp_avg[i] = args.beta1 * exp_avg[i] + (1.0 - args.beta1) * g;
      exp_avg_sq[i] = args.beta2 * exp_avg_sq[i] + (1.0 - args.beta2) * g * g;
      if (args.decoupled) master[i] *= 1.0 - double{args.lr} * args.weight_decay;
      master[i] -= args.lr * (exp_avg[i] / args.bias_correction1) / (std::sqrt(exp_avg_sq[i] / args.bias_correction2) + args.eps);
    }
  }
};

}  // namespace mbt::ref
