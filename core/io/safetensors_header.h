// The header of a safetensors file: JSON text that names each tensor's type, shape and bytes.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

/// Element types a file may hold; the names are the format's own.
enum class SafetensorsType : uint8_t { F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, F8_E4M3, F8_E5M2, F8_E8M0 };

std::string_view name_of(SafetensorsType type);
std::vector<SafetensorsType> all_safetensors_types();
int64_t size_of(SafetensorsType type);

struct SafetensorsEntry {
  std::string name;
  SafetensorsType type = SafetensorsType::F32;
  std::vector<int64_t> shape;  ///< empty: a scalar
  int64_t begin = 0, end = 0;  ///< bytes, counted from the end of the header

  int64_t size_bytes() const { return end - begin; }
  int64_t size() const { return size_bytes() / size_of(type); }
};

/// "[2,3]".
std::string shape_text(const std::vector<int64_t>& shape);

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< by position in the file
  std::map<std::string, std::string> metadata;
};

/// Longest header that is read, as in the reference implementation.
constexpr int64_t kMaxSafetensorsHeader = 100'000'000;

/// Checks the header text against a file with `data_bytes` bytes after the header: known types, sizes that agree, ranges that cover the
/// data without gap or overlap, no name twice. InputError names `file`, the tensor, what came and what was expected.
SafetensorsHeader parse_safetensors_header(std::string_view json, int64_t data_bytes, const std::string& file);

/// The header text of `header`, padded with spaces to a multiple of 8 bytes.
std::string write_safetensors_header(const SafetensorsHeader& header);

}  // namespace mbt
