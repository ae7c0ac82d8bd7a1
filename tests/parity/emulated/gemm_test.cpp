// Products on the device, on every kind of GPU: whatever copies, scales and codes a product is made of, it is the product of the values
// they stand for. The twin that multiplies (tests/emulation/gemm) reads them by cuBLASLt's contract and refuses what cuBLASLt would.
#include <cuda_runtime.h>

#include <map>
#include <tuple>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/gemm/gemm_kernels.h"
#include "kernels/cuda/gemm/gemm_prepare.h"
#include "tests/emulation/engine/settings.h"
#include "tests/emulation/gemm/product_twin.h"
#include "tests/parity/product_cases.h"
#include "tests/support/fp8_formats.h"

namespace mbt::test::gemm_test {
namespace {

using namespace mbt::cuda;
using enum QuantFormat;
using enum QuantScaling;

constexpr int kCapabilities[] = {80, 89, 90, 100, 103, 120};
using Bytes = ManagedBytes;

/// f(backend, capability, specs, name of both), on every kind of GPU.
template <class F>
void on_every_device(F f) {
  for (const int capability : kCapabilities) {
    const emulation::WithCapability as(capability);
    CudaBackend device;
    for (const Specs& specs : all_product_specs()) {
      INFO("compute capability " << capability << ", " << specs.name);
      f(device, capability, specs);
    }
  }
}

std::string how(const Backend& device, const Specs& s, GemmRole role) {
  const GemmSupport support = device.gemm_support(&a_spec(s, role), &b_spec(s, role), DType::bf16);
  return (support.execution == Execution::native ? "native: " : "emulated: ") + support.how;
}

}  // namespace

TEST_CASE("gemm of quantized operands is the product of the values they stand for, on every kind of GPU") {
  const emulation::RunOnce once;
  on_every_device([](Backend& device, int, const Specs& specs) {
    for (const GemmRole role : kRoles) {
      check_product(device, specs, role, {48, 80, 160}, DType::bf16, false);
      check_product(device, specs, role, {144, 272, 288}, role == GemmRole::wgrad ? DType::f32 : DType::bf16, role == GemmRole::wgrad);
      check_product(device, specs, role, {16, 32, 32}, DType::f32, true);
      check_product(device, specs, role, {32, 16, 64}, DType::f16, role == GemmRole::dgrad);
    }
    for (const int64_t tokens : {1, 3, 4, 12, 20, 33, 44})
      check_product(device, specs, GemmRole::fprop, {tokens, 48, 160}, DType::bf16, false);
  });
}

TEST_CASE("gemm of quantized operands twice over: the same bits in both orders of threads") {
  const emulation::WithCapability as(120);
  CudaBackend device;
  for (const Specs& specs : all_product_specs())
    for (const GemmRole role : kRoles) check_product(device, specs, role, {144, 48, 160}, DType::f32, false);
}

TEST_CASE("gemm takes the scratch that it says it takes") {
  const emulation::RunOnce once;
  on_every_device([](Backend& device, int capability, const Specs& specs) {
    cudaDeviceProp properties{};
    REQUIRE(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
    Gemm gemm(properties);
    for (const GemmRole role : kRoles)
      for (const DType act : {DType::bf16, DType::f16}) {
        const GemmExtents e{144, 48, 160};
        const QuantizedMatrix a(device, a_spec(specs, role), a_shape(role, e), 3), b(device, b_spec(specs, role), b_shape(role, e), 4);
        GuardedTensor d(role == GemmRole::wgrad ? DType::f32 : act, {e.rows, e.cols}), bias(act, {e.cols});
        GemmArgs args{role, a.view(), b.view(), d.view()};
        if (role == GemmRole::fprop) args.bias = bias;
        Scratch scratch;
        Fault fault{};
        gemm.run(args, {nullptr, scratch, &fault, 4});
        INFO(capability << " " << name_of(role) << " " << name_of(act));
        CHECK(scratch.bytes() + gemm.workspace_bytes() ==
              gemm.scratch_bytes_for(shape_of(role, e), &a_spec(specs, role), &b_spec(specs, role), act));
        CHECK(gemm.scratch_bytes_for(shape_of(role, e), nullptr, nullptr, act) == gemm.workspace_bytes());
      }
  });
}

TEST_CASE("what is native on which GPU, and why the rest is not") {
  const auto check = [](int capability, size_t version, const std::map<std::string, std::string>& want) {
    const emulation::WithCapability as(capability);
    const size_t before = std::exchange(twin_library_version(), version);
    const CudaBackend device;
    twin_library_version() = before;
    for (const Specs& specs : all_product_specs()) {
      INFO(capability << " " << specs.name);
      const auto found = want.find(specs.name);
      if (found == want.end()) continue;
      for (const GemmRole role : kRoles) CHECK_THAT(how(device, specs, role), ContainsSubstring(found->second));
    }
  };
  check(80, 130100,
        {{"tensorwise", "emulated: bf16 GEMM on exactly decoded codes: compute capability 8.0 has no FP8 products (8.9 and newer have)"},
         {"blockwise", "compute capability 8.0 has no products of blockwise operands (9.0, 10.0 and newer have)"},
         {"nvfp4", "compute capability 8.0 has no products of nvfp4 operands (10.0 and newer have)"}});
  check(89, 130100, {{"tensorwise", "native: "}, {"delayed", "native: "}, {"blockwise", "emulated: "}, {"mxfp8", "emulated: "}});
  check(90, 130100,
        {{"tensorwise", "native: "},
         {"blockwise", "native: cuBLASLt FP8 GEMM, fp32 scales"},
         {"mxfp8", "emulated: "},
         {"nvfp4", "emulated: "}});
  check(90, 120800, {{"tensorwise", "native: "}, {"blockwise", "cuBLASLt 12.8 has no products of blocks of 128 (12.9 has)"}});
  for (const int capability : {100, 103, 120})
    check(capability, 130100,
          {{"tensorwise", "native: "},
           {"blockwise", "native: cuBLASLt FP8 GEMM, blocks of 128 as four of 32"},
           {"mxfp8", "native: "},
           {"nvfp4", "native: "}});
  for (const auto& [version, text] : {std::pair<size_t, std::string>{120600, "12.6"}, {120804, "12.8"}}) {
    const std::string none = "emulated: bf16 GEMM on exactly decoded codes: cuBLASLt " + text + " has no products of blocks of ";
    check(
        100, version,
        {{"tensorwise", "native: "}, {"mxfp8", none + "32 that can be relied on (12.9 has)"}, {"blockwise", none}, {"nvfp4", none + "16"}});
  }
  check(100, 120900, {{"mxfp8", "native: "}, {"nvfp4", "native: "}});
  const GemmDevice hopper{90, 130100};
  const QuantSpec e5{.format = e5m2}, square{.scaling = blockwise, .is_2d = true}, mx{.scaling = mxfp8}, plain{};
  CHECK_THAT(support_of(hopper, &e5, &e5, DType::bf16).how, ContainsSubstring("e5m2 by e5m2"));
  CHECK_THAT(support_of(hopper, &square, &square, DType::bf16).how, ContainsSubstring("square by square"));
  CHECK_THAT(support_of(hopper, &mx, &plain, DType::bf16).how, ContainsSubstring("no products of mxfp8 by tensorwise"));
  CHECK(support_of(hopper, &mx, nullptr, DType::bf16).execution == Execution::unsupported);
  CHECK(support_of(hopper, nullptr, nullptr, DType::u8).execution == Execution::unsupported);
}

TEST_CASE("transposed copies are wanted where FP8 products take one layout alone") {
  for (const auto& [capability, tensor, blocks, mx] :
       {std::tuple{80, false, false, false}, std::tuple{89, true, false, false}, std::tuple{90, true, true, false},
        std::tuple{100, false, false, false}, std::tuple{103, false, false, false}, std::tuple{120, true, true, true}}) {
    INFO(capability);
    const GemmDevice device{capability, 130100};
    for (const QuantFormat f : fp8_formats()) {
      CHECK(wants_transposed(device, {.format = f, .scaling = delayed}) == tensor);
      CHECK(wants_transposed(device, {.format = f, .scaling = tensorwise}) == tensor);
      for (const bool is_2d : {false, true}) {
        CHECK(wants_transposed(device, {.format = f, .scaling = blockwise, .is_2d = is_2d}) == blocks);
        CHECK(wants_transposed(device, {.format = f, .scaling = mxfp8, .is_2d = is_2d}) == mx);
      }
    }
    CHECK_FALSE(wants_transposed(device, {.format = e2m1, .scaling = nvfp4}));
  }
  CHECK_FALSE(wants_transposed({90, 120800}, {.format = e4m3, .scaling = blockwise}));
}

TEST_CASE("sizes that narrow products do not take are named, before the run and by the product") {
  const QuantSpec spec{}, mx{.scaling = mxfp8}, fp4{.format = e2m1, .scaling = nvfp4}, line{.scaling = blockwise};
  const GemmDevice hopper{90, 130100}, blackwell{100, 130100}, ampere{80, 130100};
  const auto problem = [](const GemmDevice& device, const GemmShape& shape, const QuantSpec& s) {
    return size_problem(device, shape, &s, &s, DType::bf16);
  };
  CHECK(problem(hopper, {GemmRole::wgrad, 64, 48, 80}, spec).empty());
  CHECK_THAT(problem(hopper, {GemmRole::wgrad, 24, 48, 80}, spec),
             ContainsSubstring("[48,24] by [24,80] only with the summed size a multiple of 16 (it is 24); change"));
  CHECK_THAT(problem(hopper, {GemmRole::fprop, 64, 36, 80}, spec),
             ContainsSubstring("the columns of the result a multiple of 8 (it is 36)"));
  CHECK_THAT(problem(hopper, {GemmRole::dgrad, 64, 40, 80}, spec), ContainsSubstring("the summed size a multiple of 16"));
  for (const int64_t tokens : {4, 6, 12, 20}) {
    const std::string text = fmt::format("the rows of the result a multiple of 8 (it is {})", tokens);
    CHECK_THAT(problem(hopper, {GemmRole::fprop, tokens, 48, 80}, line), ContainsSubstring(text));
  }
  CHECK(problem(hopper, {GemmRole::fprop, 8, 48, 80}, line).empty());
  CHECK_THAT(problem(hopper, {GemmRole::wgrad, 64, 84, 48}, line), ContainsSubstring("the rows of the result a multiple of 8 (it is 84)"));
  CHECK_THAT(problem(hopper, {GemmRole::wgrad, 64, 48, 84}, line),
             ContainsSubstring("the columns of the result a multiple of 8 (it is 84)"));
  CHECK_THAT(problem(blackwell, {GemmRole::fprop, 64, 64, 80}, mx), ContainsSubstring("the summed size a multiple of 32 (it is 80)"));
  CHECK_THAT(problem(blackwell, {GemmRole::fprop, 64, 64, 80}, fp4), ContainsSubstring("a multiple of 32"));
  CHECK(problem(ampere, {GemmRole::wgrad, 7, 5, 3}, spec).empty());  // decoded
  CHECK(size_problem(hopper, {GemmRole::wgrad, 7, 5, 3}, nullptr, nullptr, DType::bf16).empty());

  CudaBackend device;
  const QuantizedMatrix a(device, spec, {24, 48}, 1), b(device, spec, {24, 80}, 2);
  GuardedTensor d(DType::f32, {48, 80});
  CHECK_THROWS_WITH(device.gemm({GemmRole::wgrad, a.view(), b.view(), d.view()}),
                    ContainsSubstring("gemm wgrad") && ContainsSubstring("it is 24"));
}

TEST_CASE("a column-wise copy that does not lie as products read it is refused, not misread") {
  CudaBackend device;
  const QuantSpec spec{};
  QuantizedMatrix a(device, spec, {32, 48}, 1), b(device, spec, {32, 80}, 2);
  GuardedTensor d(DType::f32, {48, 80});
  QuantTensorView untransposed = b.view(), missing = b.view();
  untransposed.columnwise = untransposed.rowwise;
  missing.columnwise = {};
  CHECK_THROWS_WITH(device.gemm({GemmRole::wgrad, a.view(), untransposed, d.view()}),
                    ContainsSubstring("the column-wise copy of b is not transposed"));
  CHECK_THROWS_WITH(device.gemm({GemmRole::wgrad, a.view(), missing, d.view()}), ContainsSubstring("b has no column-wise copy"));
}

TEST_CASE("tiled scales lie where cuBLASLt's documentation says") {
  const std::tuple<int64_t, int64_t, int64_t> vectors[] = {{0, 0, 0},     {1, 0, 16},  {31, 3, 499}, {32, 0, 4},     {33, 2, 22},
                                                           {127, 3, 511}, {0, 4, 512}, {5, 6, 594},  {128, 0, 1024}, {200, 7, 1675}};
  for (const auto& [outer, inner, offset] : vectors) CHECK(tiled_scale_offset(outer, inner, 8) == offset);
  Scratch scratch;
  Fault fault{};
  for (const bool is_f32 : {false, true})
    for (const auto& [outers, inners] : {std::pair<int64_t, int64_t>{1, 1}, {40, 9}, {130, 4}, {300, 6}}) {
      INFO(outers << " x " << inners);
      // Stored as [inner / 2][outer / 3]: both strides and both repetitions at once.
      const int64_t stride = (outers + 2) / 3, count = (inners + 1) / 2 * stride;
      std::vector<float, TestAllocator<float>> wide(static_cast<size_t>(count));
      Bytes narrow(static_cast<size_t>(count));
      for (size_t i = 0; i < wide.size(); ++i) narrow[i] = static_cast<uint8_t>(1 + i % 250), wide[i] = std::ldexp(1.0F, narrow[i] - 127);
      const ScaleGrid grid{is_f32 ? static_cast<const void*>(wide.data()) : narrow.data(), outers, inners, 1, stride, 3, 2};
      Bytes out(static_cast<size_t>(scale_bytes(ScaleMode::vec32_ue8m0, outers, 32 * inners)) + 16, 0xEE);
      launch_tile_scales(grid, is_f32, out.data(), {nullptr, scratch, &fault, 4});
      Bytes want(out.size(), 0);
      std::fill(want.end() - 16, want.end(), uint8_t{0xEE});
      for (int64_t o = 0; o < outers; ++o)
        for (int64_t i = 0; i < inners; ++i)
          want[static_cast<size_t>(tiled_scale_offset(o, i, inners))] = narrow[static_cast<size_t>(i / 2 * stride + o / 3)];
      CHECK((out == want));
    }
}

TEST_CASE("a subnormal power of two is E8M0 code 0") {
  std::vector<float, TestAllocator<float>> scales = {0x1p-127F, 0x1p-126F, 1.0F, 0x1p127F};
  Scratch scratch;
  Fault fault{};
  Bytes out(512);
  launch_tile_scales({scales.data(), 1, 4, 4, 1}, true, out.data(), {nullptr, scratch, &fault, 4});
  CHECK((out[0] == 0 && out[1] == 1 && out[2] == 127 && out[3] == 254));
}

TEST_CASE("codes are packed two a byte, the first in the low nibble, turned where the sum runs over rows") {
  Scratch scratch;
  Fault fault{};
  for (const auto& [outer, k] : {std::pair<int64_t, int64_t>{1, 32}, {16, 64}, {70, 96}, {130, 160}})
    for (const bool is_columnwise : {false, true}) {
      INFO(outer << " x " << k << (is_columnwise ? " columnwise" : ""));
      Bytes codes(static_cast<size_t>(outer * k)), out(static_cast<size_t>(outer * k / 2 + 16), 0xEE);
      for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 7 % 16);
      launch_pack_codes(codes.data(), outer, k, is_columnwise, out.data(), {nullptr, scratch, &fault, 4});
      const auto code = [&](int64_t o, int64_t p) { return codes[static_cast<size_t>(is_columnwise ? p * outer + o : o * k + p)]; };
      bool same = true;
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t p = 0; p < k; p += 2) same = same && out[static_cast<size_t>((o * k + p) / 2)] == (code(o, p) | code(o, p + 1) << 4);
      CHECK(same);
      CHECK(std::all_of(out.end() - 16, out.end(), [](uint8_t b) { return b == 0xEE; }));
    }
}

TEST_CASE("the twin refuses what cuBLASLt refuses") {
  alignas(256) static uint8_t memory[4096];
  const ProductMatrix first{memory, QuantFormat::e4m3, 32, 48, 32, true, ScaleMode::scalar_32f, memory};
  const ProductMatrix second{memory, QuantFormat::e4m3, 32, 16, 32, false, ScaleMode::scalar_32f, memory};
  const Product good{.first = first, .second = second, .d = memory, .d_type = DType::bf16, .m = 48, .n = 16, .k = 32};
  const GemmDevice hopper{90, 130100}, blackwell{100, 130100};
  CHECK(refusal(good, hopper).empty());
  const auto refused = [&](const GemmDevice& device, auto change, const std::string& reason) {
    Product p = good;
    change(p);
    INFO(reason);
    CHECK_THAT(refusal(p, device), ContainsSubstring(reason));
  };
  const auto scales = [](ScaleMode a, ScaleMode b) { return [a, b](Product& p) { p.first.scale_mode = a, p.second.scale_mode = b; }; };
  const auto untransposed = [](Product& p) { p.first = {memory, QuantFormat::e4m3, 48, 32, 48, false, ScaleMode::scalar_32f, memory}; };
  using enum ScaleMode;
  refused(
      {80, 130100}, [](Product&) {}, "FP8 before 8.9");
  refused(hopper, untransposed, "first transposed, second not");
  refused({120, 130100}, untransposed, "first transposed, second not");
  refused({89, 130100}, untransposed, "first transposed, second not");
  refused(
      hopper, [](Product& p) { p.first.rows = 16; }, "first is not m x k");
  refused(
      hopper, [](Product& p) { p.first.type = p.second.type = QuantFormat::e5m2; }, "e5m2 by e5m2");
  refused(
      hopper, [](Product& p) { p.second.type = DType::bf16; }, "FP8 by another type");
  refused(
      hopper, [](Product& p) { p.bias = memory; }, "bias f32, expected bf16");
  refused(
      hopper, [](Product& p) { p.d = memory + 8; }, "aligned to 16 bytes");
  refused(
      hopper, [](Product& p) { p.first.scale = nullptr; }, "no scale");
  refused(
      hopper, [](Product& p) { p.m = p.first.cols = 44; }, "D: rows");
  refused(
      hopper, [](Product& p) { p.k = p.first.rows = p.first.ld = p.second.rows = p.second.ld = 24; }, "no multiple of 16 bytes");
  refused(hopper, scales(blk128x128_32f, blk128x128_32f), "squares by squares");
  refused(hopper, scales(vec128_32f, scalar_32f), "scale modes");
  refused(hopper, scales(vec32_ue8m0, vec32_ue8m0), "before 10.0");
  refused({90, 120800}, scales(vec128_32f, vec128_32f), "before cuBLAS 12.9");
  refused(blackwell, scales(vec128_32f, vec128_32f), "other devices than 9.0");
  refused({100, 120600}, scales(vec32_ue8m0, vec32_ue8m0), "before cuBLAS 12.8");
  for (const ScaleMode weight : {vec128_32f, blk128x128_32f})
    refused(
        hopper, [&](Product& p) { scales(weight, vec128_32f)(p), p.n = p.second.cols = 12; }, "n no multiple of 8, and the second operand");
  refused(
      hopper, [&](Product& p) { scales(vec128_32f, vec128_32f)(p), p.m = p.first.cols = 44, p.d_type = DType::f32; }, "m no multiple of 8");
  for (const int capability : {89, 100, 103, 120})
    refused({capability, 130100}, scales(blk128x128_32f, vec128_32f), "other devices than 9.0");
  const auto fp4 = [&](Product& p) { p.first.type = p.second.type = QuantFormat::e2m1, scales(vec16_ue4m3, vec16_ue4m3)(p); };
  refused(hopper, fp4, "before 10.0");
  refused(
      blackwell, [&](Product& p) { fp4(p), scales(scalar_32f, scalar_32f)(p); }, "FP4 without scales of 16");
  const auto plain = [](Product& p) {
    p.first = {memory, DType::bf16, 32, 48, 32, true};
    p.second = {memory, DType::bf16, 32, 16, 32, false};
  };
  refused(
      hopper, [&](Product& p) { plain(p), p.d_type = DType::f16; }, "no product of bf16 operands into f16");
  refused(
      hopper, [&](Product& p) { plain(p), p.bias = memory; }, "bias f32 with D bf16");
  Product any = good;
  untransposed(any);
  CHECK(refusal(any, blackwell).empty());
}

}  // namespace mbt::test::gemm_test
