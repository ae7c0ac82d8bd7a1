// Products on the device that is there, GPU or emulated, against a reference in double.
#include "tests/parity/gemm_cases.h"

namespace mbt::test {

TEST_CASE("gemm of quantised operands on this device is the product of the values they stand for") {
  CudaBackend device;
  for (const Specs& specs : all_specs())
    for (const GemmRole role : kRoles) {
      INFO(specs.name);
      check_product(device, specs, role, {144, 272, 288}, role == GemmRole::wgrad ? DType::f32 : DType::bf16, role == GemmRole::wgrad);
      check_product(device, specs, role, {16, 32, 32}, DType::f32, true);
    }
}

TEST_CASE("gemm of plain operands: dtypes, bias, accumulation, odd sizes") {
  CudaBackend device;
  for (const GemmRole role : kRoles)
    for (const DType act : kActTypes)
      for (const DType d_type : {DType::f32, act})
        for (const bool accumulate : {false, true}) {
          const GemmExtents e{7, 33, 5};
          INFO(name_of(role) << " " << name_of(act) << " into " << name_of(d_type));
          GuardedTensor a = normal_tensor(act, a_shape(role, e), 1), b = normal_tensor(act, b_shape(role, e), 2);
          GuardedTensor d = normal_tensor(d_type, {e.rows, e.cols}, 3), bias = normal_tensor(d_type, {e.cols}, 4);
          const GuardedTensor before = d;
          GemmArgs args{role, a.view(), b.view(), d.view()};
          args.accumulate = accumulate;
          if (role == GemmRole::fprop) args.bias = bias;
          device.gemm(args);
          device.synchronize();
          CHECK(worst_error(role, e, a.values(), b.values(), args.bias.empty() ? nullptr : &bias, accumulate ? &before : nullptr, d) <= 1.0);
        }
}

}  // namespace mbt::test
