// Atomic operations: the emulated device runs one thread at a time, so they are plain ones. That their order shows in no result is for the
// engine to check: it runs every launch in two orders.
#pragma once

#include <type_traits>

namespace mbt::emulation {

template <class T, class... Types>
concept OneOf = (std::is_same_v<T, Types> || ...);

/// *address = update(*address); returns what was there.
template <class T, class Update>
T atomic_update(T* address, Update update) {
  const T before = *address;
  *address = update(before);
  return before;
}

}  // namespace mbt::emulation

#define MBT_ATOMIC(name, types, expression)                                                                       \
  template <class T>                                                                                              \
  requires mbt::emulation::OneOf<T, MBT_ATOMIC_TYPES_##types> T name(T* address, std::type_identity_t<T> value) { \
    return mbt::emulation::atomic_update(address, [value](T old) { return static_cast<T>(expression); });         \
  }
#define MBT_ATOMIC_TYPES_add int, unsigned, unsigned long long, float, double
#define MBT_ATOMIC_TYPES_exchange int, unsigned, unsigned long long, float
#define MBT_ATOMIC_TYPES_narrow int, unsigned
#define MBT_ATOMIC_TYPES_order int, unsigned, long long, unsigned long long
#define MBT_ATOMIC_TYPES_bits int, unsigned, unsigned long long
#define MBT_ATOMIC_TYPES_counter unsigned
MBT_ATOMIC(atomicAdd, add, old + value)
MBT_ATOMIC(atomicSub, narrow, old - value)
MBT_ATOMIC(atomicExch, exchange, (static_cast<void>(old), value))
MBT_ATOMIC(atomicMin, order, value < old ? value : old)
MBT_ATOMIC(atomicMax, order, old < value ? value : old)
MBT_ATOMIC(atomicAnd, bits, old& value)
MBT_ATOMIC(atomicOr, bits, old | value)
MBT_ATOMIC(atomicXor, bits, old ^ value)
MBT_ATOMIC(atomicInc, counter, old >= value ? 0U : old + 1U)
MBT_ATOMIC(atomicDec, counter, old == 0U || old > value ? value : old - 1U)
#undef MBT_ATOMIC_TYPES_add
#undef MBT_ATOMIC_TYPES_exchange
#undef MBT_ATOMIC_TYPES_narrow
#undef MBT_ATOMIC_TYPES_order
#undef MBT_ATOMIC_TYPES_bits
#undef MBT_ATOMIC_TYPES_counter
#undef MBT_ATOMIC

template <class T>
requires mbt::emulation::OneOf<T, unsigned short, int, unsigned, unsigned long long> T atomicCAS(T* address,
                                                                                                 std::type_identity_t<T> expected,
                                                                                                 std::type_identity_t<T> value) {
  return mbt::emulation::atomic_update(address, [=](T old) { return old == expected ? value : old; });
}
