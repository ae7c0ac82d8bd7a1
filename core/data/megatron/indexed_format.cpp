#include "core/data/megatron/indexed_format.h"

#include <limits>

#include "core/base/error.h"

namespace mbt {
namespace {

struct DtypeRow {
  IndexedDtype dtype;
  std::string_view name;
  int64_t size;
  bool is_integer;
  int64_t min, max;
};

template <class T>
constexpr DtypeRow integer(IndexedDtype dtype, std::string_view name) {
  return {dtype, name, sizeof(T), true, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
}

constexpr std::array kDtypes{
    integer<uint8_t>(IndexedDtype::uint8, "uint8"),
    integer<int8_t>(IndexedDtype::int8, "int8"),
    integer<int16_t>(IndexedDtype::int16, "int16"),
    integer<int32_t>(IndexedDtype::int32, "int32"),
    integer<int64_t>(IndexedDtype::int64, "int64"),
    DtypeRow{IndexedDtype::float64, "float64", 8, false, 0, -1},
    DtypeRow{IndexedDtype::float32, "float32", 4, false, 0, -1},
    integer<uint16_t>(IndexedDtype::uint16, "uint16"),
};

const DtypeRow& row_of(IndexedDtype dtype) {
  const auto code = static_cast<size_t>(dtype);
  MBT_CHECK(code >= 1 && code <= kDtypes.size() && kDtypes[code - 1].dtype == dtype, "dtype code {}", code);
  return kDtypes[code - 1];
}

}  // namespace

std::string_view name_of(IndexedDtype dtype) { return row_of(dtype).name; }
int64_t size_of(IndexedDtype dtype) { return row_of(dtype).size; }
bool is_integer(IndexedDtype dtype) { return row_of(dtype).is_integer; }
bool holds(IndexedDtype dtype, int64_t token) { return token >= row_of(dtype).min && token <= row_of(dtype).max; }
IndexedDtype dtype_for_vocab(int64_t vocab_size) { return vocab_size < 65500 ? IndexedDtype::uint16 : IndexedDtype::int32; }

IndexedPaths::IndexedPaths(std::string given) : prefix(std::move(given)) {
  if (prefix.size() > 4 && (prefix.ends_with(".bin") || prefix.ends_with(".idx"))) prefix.resize(prefix.size() - 4);
  bin = prefix + ".bin";
  idx = prefix + ".idx";
}

}  // namespace mbt
