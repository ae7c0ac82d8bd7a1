// The loops of kernels/cpu/loops are compiled once per x86-64 level; the level is chosen once, at run time.
// A loop file defines functions in namespace mbt::cpu::MBT_LEVEL; its header declares them for all levels with MBT_LEVELS.
// Loop files include nothing that defines inline functions with external linkage beyond core/ops: a function compiled for v4 must never
// be merged by the linker with the copy that an older processor calls (tests/unit checks the objects).
#pragma once

#if defined(__x86_64__)
// clang-format off
#define MBT_LEVELS(declarations) \
  namespace mbt::cpu::v2 { declarations } namespace mbt::cpu::v3 { declarations } namespace mbt::cpu::v4 { declarations }
/// The function `f` of the level in use.
#define MBT_AT_LEVEL(f) (::mbt::cpu::level() == ::mbt::cpu::Level::v4 ? &::mbt::cpu::v4::f : ::mbt::cpu::level() == ::mbt::cpu::Level::v3 ? &::mbt::cpu::v3::f : &::mbt::cpu::v2::f)
#else
#define MBT_LEVELS(declarations) namespace mbt::cpu::generic { declarations }
#define MBT_AT_LEVEL(f) (&::mbt::cpu::generic::f)
// clang-format on
#endif

namespace mbt::cpu {

enum class Level { generic, v2, v3, v4 };

/// The best level of this processor, or what MBT_CPU_LEVEL=v2|v3|v4 forces (never above what the processor has).
Level level();
const char* name_of(Level level);

}  // namespace mbt::cpu
