// A reusable fiber: it runs its body each time it is resumed while idle, on a stack of its own.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <functional>

namespace mbt::emulation {

class Fiber {
 public:
  /// `body` must not throw. `number` staggers the stacks: tops at the same place of a page would fight for the same lines of the cache.
  Fiber(std::function<void()> body, int number);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber() = delete;  // fibers live as long as the process: unwinding an idle stack at exit would gain nothing

  void resume();   ///< from the host's stack: until the body ends or suspends
  void suspend();  ///< from the body: back to resume()'s caller, until resumed

 private:
  boost::context::fiber loop(boost::context::fiber&& host);

  std::function<void()> body_;
  boost::context::protected_fixedsize_stack allocator_;
  boost::context::stack_context stack_;
  boost::context::fiber fiber_, host_;
  void* fake_stack_ = nullptr;        // AddressSanitizer's frames of this fiber,
  const void* host_stack_ = nullptr;  // and the bounds of the stack that resumed it
  size_t host_stack_bytes_ = 0;
};

}  // namespace mbt::emulation
