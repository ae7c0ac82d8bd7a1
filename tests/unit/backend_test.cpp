#include "core/backend/backend.h"

#include <cstdint>
#include <limits>
#include <map>

#include "kernels/cpu/processor.h"
#include "tests/support/op_cases.h"

namespace mbt::test::backend_test {
namespace {

TEST_CASE("make_backend: known names, and what to do about the others") {
  CHECK(make_backend("cpu")->name() == "cpu");
  CHECK_FALSE(make_backend("auto")->name().empty());
  try {
    const auto cuda = make_backend("cuda");  // not inside CHECK, which would report the exception
    CHECK(cuda->name() == "cuda");
  } catch (const InputError& e) {  // a build without CUDA, or a machine without a GPU
    CHECK_THAT(e.what(), ContainsSubstring("no usable NVIDIA GPU") || ContainsSubstring("cuBLASLt cannot be loaded"));
  }
  CHECK_THROWS_WITH(make_backend("tpu"), ContainsSubstring("known: auto, cpu, cuda"));
  CHECK_THROWS_AS(make_backend("cpu", -1), InputError);
  CHECK_THROWS_AS(make_backend("cpu", 1000000), InputError);
}

TEST_CASE("buffers are zeroed, aligned, writable to their last byte and counted") {
  const auto cpu = make_backend("cpu", 1);
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{257}, (size_t{1} << 20) - 1, size_t{1} << 20, (size_t{5} << 20) + 3}) {
    Buffer buffer(*cpu, bytes);
    REQUIRE(buffer.data() != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % 256 == 0);
    CHECK(cpu->allocated_bytes() == bytes);
    auto* p = static_cast<unsigned char*>(buffer.data());
    CHECK(std::all_of(p, p + bytes, [](unsigned char b) { return b == 0; }));
    std::fill(p, p + bytes, static_cast<unsigned char>(1));
    Buffer moved = std::move(buffer);
    CHECK(moved.data() == p);
    CHECK(buffer.data() == nullptr);  // NOLINT: a moved-from buffer is empty
  }
  CHECK(cpu->allocated_bytes() == 0);
}

TEST_CASE("memory that does not exist is an error that names the size") {
  const auto cpu = make_backend("cpu", 1);
  for (size_t bytes : {size_t{1} << 50, std::numeric_limits<size_t>::max(), std::numeric_limits<size_t>::max() - 4096}) {
    CHECK_THROWS_WITH(cpu->allocate(bytes), ContainsSubstring("out of memory: ") && ContainsSubstring(std::to_string(bytes)));
  }
  CHECK(cpu->allocated_bytes() == 0);
}

TEST_CASE("upload, download and fill_zero") {
  const auto cpu = make_backend("cpu", 2);
  const int64_t n = (int64_t{1} << 18) + 77;  // more than one piece of fill_zero
  Buffer buffer(*cpu, static_cast<size_t>(n) * 4);
  const TensorView view(buffer.data(), DType::f32, {n});
  std::vector<float> host(static_cast<size_t>(n), 3.5f), back(static_cast<size_t>(n));
  cpu->upload(host.data(), view);
  cpu->download(view, back.data());
  CHECK(back == host);
  cpu->fill_zero(TensorView(view.as<float>() + 1, DType::f32, {n - 2}));
  cpu->download(view, back.data());
  CHECK((back.front() == 3.5f && back.back() == 3.5f));
  CHECK(std::all_of(back.begin() + 1, back.end() - 1, [](float x) { return x == 0; }));
}

TEST_CASE("facts say what runs where") {
  std::map<std::string, std::string> facts;
  for (const auto& [key, value] : make_backend("cpu", 3)->facts()) facts[key] = value;
  CHECK(facts["threads"] == "3");
  CHECK_FALSE(facts["processor"].empty());
  CHECK_FALSE(facts["loops"].empty());
  CHECK_FALSE(facts["gemm"].empty());
}

TEST_CASE("ops refuse tensors that do not fit, by name") {
  GuardedTensor x(DType::f32, {2, 4}), y(DType::f32, {2, 3}), f64(DType::f64, {2, 4});
  CHECK_THROWS_WITH(backend().add({.a = x, .b = y, .out = x}), ContainsSubstring("add: tensor 'b' is f32[2,3], expected shape [2,4]"));
  CHECK_THROWS_WITH(backend().add({.a = f64, .b = f64, .out = f64}), ContainsSubstring("f64[2,4], expected f32, bf16 or f16"));
  CHECK_THROWS_WITH(backend().add({.a = x, .b = x, .out = {}}), ContainsSubstring("'out' is missing"));
}

TEST_CASE("an op that refuses its arguments begins with its name") {
  GuardedTensor x(DType::f32, {2, 4}), i32(DType::i32, {2, 4}), nothing(DType::f32, {1});
  CHECK_THROWS_WITH(backend().sum({.x = x, .out = {}}), Catch::Matchers::StartsWith("sum: tensor 'out' is missing"));
  CHECK_THROWS_WITH(backend().bias_bwd({.d_y = x, .d_bias = {}}), Catch::Matchers::StartsWith("bias_bwd: tensor 'd_bias' is missing"));
  CHECK_THROWS_WITH(backend().quantize({.x = x, .to = {}}), ContainsSubstring("quantize: no output copy"));
  CHECK_THROWS_WITH(backend().clip_scale({.squared_norm = nothing, .scale = {}, .max_norm = 1}),
                    Catch::Matchers::StartsWith("clip_scale: tensor"));
  CHECK_THROWS_WITH(backend().gemm({.role = GemmRole::fprop, .a = x.view(), .b = i32.view(), .d = x}),
                    Catch::Matchers::StartsWith("gemm: tensor 'd'"));
  CHECK_THROWS_WITH(backend().activation_fwd({.kind = ActivationKind::relu, .x = i32, .y = i32}),
                    Catch::Matchers::StartsWith("activation_fwd: tensor 'x'"));
}

}  // namespace
}  // namespace mbt::test::backend_test
