#include "core/io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "core/base/error.h"
#include "core/base/json_text.h"

namespace mbt {
namespace {

struct TypeInfo {
  SafetensorsType type;
  std::string_view name;
  int64_t size;
};

using enum SafetensorsType;
constexpr std::array kTypes{
    TypeInfo{F64, "F64", 8},   TypeInfo{F32, "F32", 4},         TypeInfo{F16, "F16", 2},         TypeInfo{BF16, "BF16", 2},
    TypeInfo{I64, "I64", 8},   TypeInfo{I32, "I32", 4},         TypeInfo{I16, "I16", 2},         TypeInfo{I8, "I8", 1},
    TypeInfo{U64, "U64", 8},   TypeInfo{U32, "U32", 4},         TypeInfo{U16, "U16", 2},         TypeInfo{U8, "U8", 1},
    TypeInfo{BOOL, "BOOL", 1}, TypeInfo{F8_E4M3, "F8_E4M3", 1}, TypeInfo{F8_E5M2, "F8_E5M2", 1}, TypeInfo{F8_E8M0, "F8_E8M0", 1},
};

const TypeInfo& info_of(SafetensorsType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& t) { return t.type == type; });
}

/// A name from the file, fit for a message: control characters and overlong names come from broken or hostile files.
std::string printable(std::string_view name) {
  std::string s = "'";
  for (char c : name.substr(0, 120)) s += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return s + (name.size() > 120 ? "...'" : "'");
}

/// The header has a fixed form of three levels, so it is checked while it is read: nothing is stored that is not wanted, and neither deep
/// nesting nor a name given twice goes unseen, as it would in a general JSON tree.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(SafetensorsHeader& header, const std::string& file) : header_(header), file_(file) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t& token) override { return unexpected("the number " + token.substr(0, 40)); }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    std::vector<int64_t>* list = level_ == Level::shape ? &entry_.shape : level_ == Level::offsets ? &offsets_ : nullptr;
    if (list == nullptr) return unexpected("a number");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) fail(fmt::format("the number {} is larger than 2^63-1", value));
    list->push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (level_ == Level::metadata) {
      header_.metadata[key_] = value;
      return true;
    }
    if (level_ != Level::tensor || key_ != "dtype") return unexpected("a string");
    const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& t) { return t.name == value; });
    if (type == kTypes.end()) fail(fmt::format("unknown dtype {}; known are {}", printable(value), type_names()));
    entry_.type = type->type;
    return true;
  }

  bool start_object(size_t) override {
    if (level_ == Level::start) {
      level_ = Level::top;
    } else if (level_ == Level::top) {
      level_ = key_ == "__metadata__" ? Level::metadata : Level::tensor;
      entry_ = {};
      entry_.name = key_;
      offsets_.clear();
      keys_.clear();
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    key_ = value;
    if (level_ == Level::top) {
      if (!names_.insert(value).second) throw InputError(fmt::format("{}: tensor {} is listed twice", file_, printable(value)));
      return true;
    }
    if (!keys_.insert(value).second) fail(fmt::format("the key {} occurs twice", printable(value)));
    const bool known = value == "dtype" || value == "shape" || value == "data_offsets";
    if (level_ == Level::tensor && !known) fail(fmt::format("unknown key {}; expected dtype, shape and data_offsets", printable(value)));
    return true;
  }

  bool end_object() override {
    if (level_ == Level::tensor) {
      if (keys_.size() != 3) fail("has not all of dtype, shape and data_offsets");
      if (offsets_.size() != 2) fail(fmt::format("data_offsets holds {} numbers, expected 2", offsets_.size()));
      entry_.begin = offsets_[0];
      entry_.end = offsets_[1];
      header_.entries.push_back(std::move(entry_));
    }
    level_ = level_ == Level::top ? Level::end : Level::top;
    return true;
  }

  bool start_array(size_t) override {
    if (level_ != Level::tensor || key_ == "dtype") return unexpected("a list");
    level_ = key_ == "shape" ? Level::shape : Level::offsets;
    return true;
  }
  bool end_array() override {
    level_ = Level::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    throw InputError(fmt::format("{}: the header is no valid JSON at its byte {}: {}", file_, position, error.what()));
  }

 private:
  enum class Level { start, top, metadata, tensor, shape, offsets, end };

  static std::string type_names() {
    std::string s;
    for (const TypeInfo& t : kTypes) s += fmt::format("{}{}", s.empty() ? "" : ", ", t.name);
    return s;
  }

  [[noreturn]] void fail(const std::string& what) const {
    if (level_ == Level::metadata) throw InputError(fmt::format("{}: __metadata__: {}", file_, what));
    throw InputError(fmt::format("{}: tensor {}: {}", file_, printable(entry_.name), what));
  }

  [[noreturn]] bool unexpected(const std::string& what) const {
    switch (level_) {
      case Level::start: throw InputError(fmt::format("{}: the header is {}, expected an object", file_, what));
      case Level::top: throw InputError(fmt::format("{}: {} is {}, expected an object", file_, printable(key_), what));
      case Level::metadata: fail(fmt::format("the value of {} is {}, expected a string", printable(key_), what));
      case Level::tensor:
        fail(fmt::format("{} is {}, expected {}", key_, what, key_ == "dtype" ? "a string" : "a list of integers from 0 on"));
      case Level::shape: fail(fmt::format("shape holds {}, expected integers from 0 on", what));
      default: fail(fmt::format("data_offsets holds {}, expected integers from 0 on", what));
    }
  }

  SafetensorsHeader& header_;
  const std::string& file_;
  Level level_ = Level::start;
  SafetensorsEntry entry_;
  std::vector<int64_t> offsets_;
  std::string key_;
  std::set<std::string> names_, keys_;
};

/// Bytes of a tensor; nothing when they do not fit into 63 bits.
std::optional<int64_t> bytes_of(const SafetensorsEntry& entry) {
  int64_t bytes = size_of(entry.type);
  if (std::count(entry.shape.begin(), entry.shape.end(), 0) > 0) return 0;
  for (int64_t extent : entry.shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return bytes;
}

void check_ranges(const SafetensorsHeader& header, int64_t data_bytes, const std::string& file) {
  const SafetensorsEntry* previous = nullptr;
  int64_t position = 0;
  for (const SafetensorsEntry& e : header.entries) {
    const std::string where = fmt::format("{}: tensor {}: ", file, printable(e.name));
    const std::string range = fmt::format("data_offsets [{}, {}]", e.begin, e.end);
    if (e.begin > e.end) throw InputError(fmt::format("{}{} end before they begin", where, range));
    if (e.end > data_bytes) {
      throw InputError(
          fmt::format("{}{} reach past the end of the file, which holds {} bytes of data (truncated?)", where, range, data_bytes));
    }
    const std::optional<int64_t> bytes = bytes_of(e);
    if (bytes != e.size_bytes()) {
      throw InputError(fmt::format("{}{} hold {} bytes, but {}{} takes {}", where, range, e.size_bytes(), name_of(e.type),
                                   shape_text(e.shape), bytes ? std::to_string(*bytes) : "more than 2^63"));
    }
    if (e.begin < position) throw InputError(fmt::format("{}{} overlap those of {}", where, range, printable(previous->name)));
    if (e.begin > position) throw InputError(fmt::format("{}{} leave a gap: expected {} as the first", where, range, position));
    position = e.end;
    previous = &e;
  }
  if (position != data_bytes) {
    throw InputError(fmt::format("{}: {} bytes follow the header, but its tensors take {}", file, data_bytes, position));
  }
}

}  // namespace

std::string_view name_of(SafetensorsType type) { return info_of(type).name; }
int64_t size_of(SafetensorsType type) { return info_of(type).size; }

std::vector<SafetensorsType> all_safetensors_types() {
  std::vector<SafetensorsType> all;
  for (const TypeInfo& t : kTypes) all.push_back(t.type);
  return all;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string s = "[";
  for (int64_t extent : shape) s += fmt::format("{}{}", s.size() > 1 ? "," : "", extent);
  return s + "]";
}

SafetensorsHeader parse_safetensors_header(std::string_view json, int64_t data_bytes, const std::string& file) {
  SafetensorsHeader header;
  HeaderReader reader(header, file);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  std::sort(header.entries.begin(), header.entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_ranges(header, data_bytes, file);
  return header;
}

std::string write_safetensors_header(const SafetensorsHeader& header) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) json["__metadata__"] = header.metadata;
  for (const SafetensorsEntry& e : header.entries) {
    json[e.name] = {{"dtype", name_of(e.type)}, {"shape", e.shape}, {"data_offsets", {e.begin, e.end}}};
  }
  std::string s = json_text(json);
  s.resize((s.size() + 7) / 8 * 8, ' ');
  return s;
}

}  // namespace mbt
