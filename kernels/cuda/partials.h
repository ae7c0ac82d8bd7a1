// The second level of sums over rows: kernels leave partial rows in scratch, and these are added up in their order.
#pragma once

#include "kernels/cuda/launchers.h"

namespace mbt::cuda {

/// out[c] += sum over i of partials[i * stride + c], i in [0, count), c in [0, cols). Summed in the partials' type in an order that depends
/// on the count alone.
void launch_add_partials(const float* partials, int64_t count, int64_t stride, int64_t cols, float* out, const LaunchContext& context);
void launch_add_partials(const double* partials, int64_t count, int64_t stride, int64_t cols, float* out, const LaunchContext& context);

}  // namespace mbt::cuda
