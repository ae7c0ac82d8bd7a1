// Names of an enum's values: one list beside each enum that users write and read by name. Config fields, messages and JSON follow from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace mbt {

struct EnumName {
  template <class E>
  requires(std::is_enum_v<E> && sizeof(E) == 1) constexpr EnumName(E named, const char* its_name)
      : value(static_cast<uint8_t>(named)), name(its_name) {}

  uint8_t value;
  const char* name;
};

/// Specialized beside the enum: `static constexpr EnumName all[]` names each value once, in the order a reader should see them. Where they
/// exist: `static constexpr EnumName also[]` has further spellings that are accepted as input; `static constexpr EnumName others[]` says
/// what a value is called elsewhere: refused as input, naming the value.
template <class E>
struct EnumNames;

template <class E>
concept NamedEnum = std::is_enum_v<E> && requires {
  EnumNames<E>::all;
};

template <NamedEnum E>
constexpr const char* name_of(E value) {
  for (const EnumName& n : EnumNames<E>::all)
    if (n.value == static_cast<uint8_t>(value)) return n.name;
  return "?";
}

/// Nothing when no value has that name.
template <NamedEnum E>
constexpr std::optional<E> value_named(std::string_view name) {
  for (const EnumName& n : EnumNames<E>::all)
    if (name == n.name) return static_cast<E>(n.value);
  return std::nullopt;
}

}  // namespace mbt
