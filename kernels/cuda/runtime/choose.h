// From run-time values to one instance of a kernel's template: the one step between a launcher and its kernel.
#pragma once

#include <type_traits>

namespace mbt::cuda {

/// A value as a type, for template arguments that a lambda deduces.
template <auto kValue>
using Is = std::integral_constant<decltype(kValue), kValue>;

/// A run-time value that is one of kValues.
template <auto kFirst, auto... kRest>
struct OneOf {
  decltype(kFirst) value;
};
inline OneOf<true, false> flag(bool value) { return {value}; }

/// f(Is<the value of each option>...), once; a value that is none of its option's counts as the last:
///   choose([&]<int kPacks, bool kWide>(Is<kPacks>, Is<kWide>) { ... }, OneOf<1, 2>{packs}, flag(is_wide));
/// The lambda has a capture-default even where it captures nothing: nvcc warns of a template lambda that could become a function pointer.
template <class F>
auto choose(F&& f) {
  return f();
}
template <class F, auto kFirst, auto... kRest, class... More>
auto choose(F&& f, OneOf<kFirst, kRest...> option, More... more) {
  if constexpr (sizeof...(kRest) > 0) {
    if (option.value != kFirst) return choose(f, OneOf<kRest...>{option.value}, more...);
  }
  return choose([&](auto... tags) { return f(Is<kFirst>(), tags...); }, more...);
}

}  // namespace mbt::cuda
