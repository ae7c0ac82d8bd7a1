#include "kernels/cuda/gemm/gemm.h"

#include "kernels/cuda/gemm/gemm_prepare.h"

namespace mbt::cuda {

Gemm::Gemm(const cudaDeviceProp& properties)
    : executor_(make_executor(properties)),
      device_{.capability = 10 * properties.major + properties.minor, .library_version = executor_->library_version()} {}

void Gemm::run(const GemmArgs& args, const LaunchContext& context) {
  const GemmSides sides = sides_of(args);
  ProductPath path = path_of(device_, sides.a.spec, sides.b.spec);
  const std::string problem = extents_problem(path, {args.d_rows(), args.d_cols(), args.summed()}, args.d.dtype);
  if (!problem.empty()) {
    // Generation hands on as many tokens as there are. A training run's sizes have been checked before (size_problem).
    if (args.role != GemmRole::fprop || !extents_problem(path, {16, args.d_cols(), args.summed()}, args.d.dtype).empty())
      throw Error(fmt::format("gemm {}: {}", name_of(args.role), problem));
    path = ProductPath::decoded;
  }
  const Prepared prepared = prepare(args, path, device_, context);
  executor_->run(prepared.product, context.stream);
  if (!prepared.sum.empty()) launch_cast({.src = prepared.sum, .dst = args.d}, context);
}

void launch_gemm(const GemmArgs& args, const LaunchContext& context) { context.gemm->run(args, context); }

size_t Gemm::scratch_bytes_for(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const {
  const bool has_bias = shape.role == GemmRole::fprop;  // it may
  const DType d = shape.role == GemmRole::wgrad ? DType::f32 : act;
  return prepared_bytes(path_of(device_, a, b), sides_of(shape, a, b), d, has_bias).total() + executor_->workspace_bytes();
}

}  // namespace mbt::cuda
