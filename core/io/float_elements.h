// Floating-point elements as files hold them, to and from fp32.
#pragma once

#include <cstdint>

#include "core/io/safetensors_header.h"

namespace mbt {

/// F32, BF16 or F16 elements as fp32, exactly; NaNs keep their bits, so that encode_elements gives the same element back.
void decode_elements(SafetensorsType type, const char* from, int64_t count, float* out);

/// fp32 as F32, BF16 or F16, rounded to nearest, ties to even. Returns the position of the first finite value that is beyond the type's
/// largest, or -1: all fit.
int64_t encode_elements(SafetensorsType type, const float* from, int64_t count, char* out);

/// The position of the first NaN or infinity among F32, BF16 or F16 elements, or -1.
int64_t first_not_finite(SafetensorsType type, const char* from, int64_t count);

}  // namespace mbt
