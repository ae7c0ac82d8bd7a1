// Whether AddressSanitizer watches this build, and its two calls that announce a change of stack.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define MBT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MBT_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(MBT_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif

namespace mbt::emulation {

#if defined(MBT_ADDRESS_SANITIZER)
inline constexpr bool kAddressSanitizer = true;
/// Before leaving the running stack, for the stack [bottom, bottom + size); keeps the running stack's fake frames in *fake_stack.
inline void announce_switch(void** fake_stack, const void* bottom, size_t size) {
  __sanitizer_start_switch_fiber(fake_stack, bottom, size);
}
/// First thing on the new stack: its fake frames (null the first time); gets the bounds of the stack that was left.
inline void complete_switch(void* fake_stack, const void** bottom, size_t* size) {
  __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
}
#else
inline constexpr bool kAddressSanitizer = false;
inline void announce_switch(void**, const void*, size_t) {}
inline void complete_switch(void*, const void**, size_t*) {}
#endif

}  // namespace mbt::emulation
