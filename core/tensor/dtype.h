// Element types of tensors. Quantized codes are u8 here; their meaning stands in a QuantSpec (core/quant).
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/error.h"

namespace mbt {

enum class DType : uint8_t { f64, f32, bf16, f16, i32, u8 };

constexpr int64_t size_of(DType t) {
  switch (t) {
    case DType::f64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16: return 2;
    case DType::u8: return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f64: return "f64";
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    case DType::i32: return "i32";
    case DType::u8: return "u8";
  }
  return "?";
}

constexpr bool is_float(DType t) { return t != DType::i32 && t != DType::u8; }

}  // namespace mbt
