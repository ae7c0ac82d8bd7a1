// Products on this device: quantized operands in the copies that it asks for, natively or decoded, and plain ones.
#include "tests/parity/product_cases.h"

namespace mbt::test::product_test {

TEST_CASE("gemm of quantized operands is the product of the values they stand for") {
  for (const Specs& specs : all_product_specs()) {
    INFO(specs.name);
    for (const GemmRole role : kRoles) {
      check_product(backend(), specs, role, {48, 80, 160}, DType::bf16, false);
      check_product(backend(), specs, role, {144, 272, 288}, DType::f32, role == GemmRole::wgrad);
      check_product(backend(), specs, role, {32, 16, 64}, DType::f16, false);
    }
    for (const int64_t tokens : {1, 20}) check_product(backend(), specs, GemmRole::fprop, {tokens, 48, 160}, DType::bf16, false);
  }
}

TEST_CASE("gemm of plain operands: dtypes, bias, accumulation, odd sizes") {
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
          backend().gemm(args);
          CHECK(worst_error(role, e, a.values(), b.values(), args.bias.empty() ? nullptr : &bias, accumulate ? &before : nullptr, d) <=
                1.0);
        }
}

}  // namespace mbt::test::product_test
