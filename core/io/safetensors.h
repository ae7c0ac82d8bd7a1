// Reading and writing safetensors files. Reading trusts nothing in the file: every contradiction is an InputError that names the file,
// the tensor, what came and what was expected.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/files.h"
#include "core/io/safetensors_header.h"

namespace mbt {

/// One file, open for reading; tensors are read from the disk when asked for. Thread safe after construction.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  /// By position in the file.
  const std::vector<SafetensorsEntry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  /// nullptr: no such tensor.
  const SafetensorsEntry* find(std::string_view name) const;
  /// InputError when there is none.
  const SafetensorsEntry& at(std::string_view name) const;

  /// The bytes as they are in the file: entry.size_bytes() of them.
  void read(const SafetensorsEntry& entry, void* out) const;
  /// `count` of those bytes, from the byte `first` of the tensor on.
  void read(const SafetensorsEntry& entry, int64_t first, int64_t count, void* out) const;
  /// F64, F32, F16 or BF16 as float; InputError for other types.
  std::vector<float> read_f32(const SafetensorsEntry& entry) const;
  /// Elements [first, first + count) alone, in row-major order.
  void read_f32(const SafetensorsEntry& entry, int64_t first, int64_t count, float* out) const;
  /// I64, I32, I16, I8 or U8; InputError for other types and for values that 32 bits do not hold.
  std::vector<int32_t> read_i32(const SafetensorsEntry& entry) const;

 private:
  SafetensorsFile(FileReader file, SafetensorsHeader header, int64_t data_begin);

  FileReader file_;
  SafetensorsHeader header_;
  int64_t data_begin_ = 0;
  std::map<std::string, size_t, std::less<>> index_;
};

struct TensorToWrite {
  std::string name;
  SafetensorsType type = SafetensorsType::F32;
  std::vector<int64_t> shape;
  const void* data = nullptr;  ///< dense, row-major; alive until the file is written

  int64_t size_bytes() const;
};

/// Gives the bytes of tensors[i], to be used until the next call.
using TensorSource = std::function<const void*(size_t i)>;

/// Writes all tensors, wide types first so that each lies aligned, under a temporary name that is renamed when complete (AtomicFile).
/// InputError with the system's reason when that fails; nothing half written stays. The second form asks for one tensor after another.
FileDigest write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                             const std::map<std::string, std::string>& metadata = {});
FileDigest write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                             const std::map<std::string, std::string>& metadata, const TensorSource& source);

}  // namespace mbt
