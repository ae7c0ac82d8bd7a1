// One field of a RunConfig with its type erased: what it is, what it holds, what it accepts.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/fields.h"

namespace mbt {

enum class FieldType { boolean, integer, number, string, choice, integer_list, string_list };

/// A member that is an enum with names, or an optional of one.
struct EnumMember {
  void* member;
  bool is_optional;
  std::span<const EnumName> names, accepted_names, other_names;
  std::optional<uint8_t> (*get)(const void* member);
  void (*set)(void* member, std::optional<uint8_t> value);
};

/// One field of one RunConfig, which must outlive it.
struct Field {
  using Pointer =
      std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*, std::vector<std::string>*, std::optional<bool>*,
                   std::optional<int64_t>*, std::optional<double>*, std::optional<std::string>*, EnumMember>;
  std::string section;
  FieldInfo info;
  std::string alias;  ///< Megatron's flag without the dashes; empty: none
  Pointer pointer;

  std::string path() const { return section + "." + info.name; }
  FieldType type() const;
  bool is_optional() const;
  /// The names of an enum's values; empty for other types.
  std::vector<std::string> choices() const;
  /// "integer >= 1, or null", "one of e4m3, hybrid": what set() accepts.
  std::string expected() const;

  nlohmann::json get() const;
  /// Sets the field from a JSON value of its type (an integer is also a number) within its range and choices; null only when optional.
  /// Returns what is wrong, leaving the field as it is, or nothing.
  [[nodiscard]] std::optional<std::string> set(const nlohmann::json& value);
  /// The same from text as typed on a command line: true/false/1/0, "null" or "none", lists as [1,2] or 1,2, of text also
  /// with blanks between the items; in Python's spelling too: True, None, 'text', (1, 2), ['a', 'b'].
  [[nodiscard]] std::optional<std::string> set_text(std::string_view in_quotes);
};

}  // namespace mbt
