// Choices that several sections have under the same field names: model, optimizer and mixed_precision.
#pragma once

#include "core/base/enum_names.h"

namespace mbt {

/// params_dtype and its like.
enum class WeightDtype : uint8_t { fp32, fp16, bf16 };
template <>
struct EnumNames<WeightDtype> {
  using enum WeightDtype;
  static constexpr EnumName all[] = {{fp32, "fp32"}, {fp16, "fp16"}, {bf16, "bf16"}};
  static constexpr EnumName also[] = {{fp32, "float32"},    {fp32, "torch.float32"}, {fp32, "torch.float"},
                                      {fp16, "float16"},    {fp16, "torch.float16"}, {fp16, "half"},
                                      {fp16, "torch.half"}, {bf16, "bfloat16"},      {bf16, "torch.bfloat16"}};
};

/// fp8: hybrid has E5M2 gradients.
enum class Fp8Format : uint8_t { e4m3, hybrid };
template <>
struct EnumNames<Fp8Format> {
  using enum Fp8Format;
  static constexpr EnumName all[] = {{e4m3, "e4m3"}, {hybrid, "hybrid"}};
};

enum class Fp8Recipe : uint8_t { delayed, tensorwise, blockwise, mxfp8 };
template <>
struct EnumNames<Fp8Recipe> {
  using enum Fp8Recipe;
  static constexpr EnumName all[] = {{delayed, "delayed"}, {tensorwise, "tensorwise"}, {blockwise, "blockwise"}, {mxfp8, "mxfp8"}};
};

/// fp8_amax_compute_algo.
enum class AmaxChoice : uint8_t { most_recent, max };
template <>
struct EnumNames<AmaxChoice> {
  using enum AmaxChoice;
  static constexpr EnumName all[] = {{most_recent, "most_recent"}, {max, "max"}};
};

enum class Fp4Format : uint8_t { e2m1 };
template <>
struct EnumNames<Fp4Format> {
  using enum Fp4Format;
  static constexpr EnumName all[] = {{e2m1, "e2m1"}};
};

enum class Fp4Recipe : uint8_t { nvfp4 };
template <>
struct EnumNames<Fp4Recipe> {
  using enum Fp4Recipe;
  static constexpr EnumName all[] = {{nvfp4, "nvfp4"}};
};

}  // namespace mbt
