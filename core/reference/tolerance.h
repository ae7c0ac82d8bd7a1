// The one table of tolerances for floating-point ops. Codes, scales and casts have none: they are compared bit for bit.
// An element may be off by its own rounding to the output dtype, plus `fp32_units` units of fp32 rounding (2^-24) of the tensor's largest
// magnitude: what sums and functions evaluated in fp32 may lose.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace mbt::ref {

struct Tolerance {
  std::string_view op;
  double fp32_units;
};

constexpr Tolerance kTolerances[] = {
    {"embedding_fwd", 1},   {"embedding_bwd", 8}, {"norm_fwd", 16},      {"norm_bwd", 32},
    {"qk_norm_fwd", 16},    {"qk_norm_bwd", 64},  {"rope", 4},           {"activation_fwd", 8},
    {"activation_bwd", 32}, {"bias_bwd", 32},     {"cross_entropy", 16}, {"cross_entropy_grad", 16},
    {"adamw", 8},           {"add", 1},
};

/// Finite differences of fp32 losses: relative to the largest gradient of the tensor.
constexpr double kGradientTolerance = 1e-3;

constexpr double fp32_units(std::string_view op) {
  for (const Tolerance& t : kTolerances)
    if (t.op == op) return t.fp32_units;
  throw std::invalid_argument("no tolerance for " + std::string(op));
}

}  // namespace mbt::ref
