#include "tests/emulation/engine/fiber.h"

#include <boost/context/preallocated.hpp>
#include <utility>

#include "tests/emulation/engine/sanitizer.h"

namespace mbt::emulation {
namespace {

// Pages that a kernel does not touch cost nothing; AddressSanitizer's frames are several times as large.
constexpr size_t kStackBytes = kAddressSanitizer ? 512 << 10 : 128 << 10;
constexpr size_t kStagger = 320;  // 5 cache lines, so that 64 neighbors spread over a page's lines

Fiber* leaving = nullptr;  // who switched last

}  // namespace

Fiber::Fiber(std::function<void()> body, int number) : body_(std::move(body)) {
  boost::context::protected_fixedsize_stack allocator(kStackBytes);
  const boost::context::stack_context stack = allocator.allocate();
  bottom_ = static_cast<char*>(stack.sp) - stack.size;
  bytes_ = stack.size;
  const size_t offset = static_cast<size_t>(number % 64) * kStagger;
  const boost::context::preallocated place(static_cast<char*>(stack.sp) - offset, stack.size - offset, stack);
  fiber_ = boost::context::fiber(std::allocator_arg, place, allocator, [this](boost::context::fiber&& left) -> boost::context::fiber {
    arrive(std::move(left));
    for (;;) body_();
  });
}

void Fiber::enter_from(Fiber& from) {
  leaving = &from;
  announce_switch(&from.fake_stack_, bottom_, bytes_);
  boost::context::fiber left = std::move(fiber_).resume();
  from.arrive(std::move(left));
}

void Fiber::arrive(boost::context::fiber&& left) {
  complete_switch(fake_stack_, &leaving->bottom_, &leaving->bytes_);
  leaving->fiber_ = std::move(left);
}

}  // namespace mbt::emulation
