// Fibers, and the host's own stack as one of them: from each one can switch to any other.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <functional>

namespace mbt::emulation {

class Fiber {
 public:
  /// The stack that already runs.
  Fiber() = default;
  /// A new stack, on which `body` runs again and again, from the first switch to it; it must not throw. `number` staggers the stacks: tops
  /// at the same place of a page would fight for the same lines of the cache.
  Fiber(std::function<void()> body, int number);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber() = delete;  // fibers live as long as the process: unwinding an idle stack at exit would gain nothing

  /// From `from`, which runs, to this one. Returns when somebody switches to `from`.
  void enter_from(Fiber& from);

 private:
  /// First thing after a switch: whoever left can be entered again.
  void arrive(boost::context::fiber&& left);

  std::function<void()> body_;
  boost::context::fiber fiber_;  // where it goes on; empty while it runs
  // For AddressSanitizer: the frames it keeps elsewhere, and the stack (the host's becomes known when it is left).
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace mbt::emulation
