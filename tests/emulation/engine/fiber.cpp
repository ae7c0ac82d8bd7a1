#include "tests/emulation/engine/fiber.h"

#include <boost/context/preallocated.hpp>
#include <utility>

#include "tests/emulation/engine/sanitizer.h"

namespace mbt::emulation {
namespace {

// Pages that a kernel does not touch cost nothing; AddressSanitizer's frames are several times as large.
constexpr size_t kStackBytes = kAddressSanitizer ? 512 << 10 : 128 << 10;
constexpr size_t kStagger = 320;  // 5 cache lines, so that 64 neighbours spread over a page's lines

}  // namespace

Fiber::Fiber(std::function<void()> body, int number) : body_(std::move(body)), allocator_(kStackBytes), stack_(allocator_.allocate()) {
  const size_t offset = static_cast<size_t>(number % 64) * kStagger;
  const boost::context::preallocated place(static_cast<char*>(stack_.sp) - offset, stack_.size - offset, stack_);
  fiber_ =
      boost::context::fiber(std::allocator_arg, place, allocator_, [this](boost::context::fiber&& host) { return loop(std::move(host)); });
}

boost::context::fiber Fiber::loop(boost::context::fiber&& host) {
  complete_switch(nullptr, &host_stack_, &host_stack_bytes_);
  host_ = std::move(host);
  for (;;) {
    body_();
    suspend();
  }
}

void Fiber::resume() {
  void* host_fake_stack = nullptr;
  announce_switch(&host_fake_stack, static_cast<char*>(stack_.sp) - stack_.size, stack_.size);
  fiber_ = std::move(fiber_).resume();
  complete_switch(host_fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
  announce_switch(&fake_stack_, host_stack_, host_stack_bytes_);
  host_ = std::move(host_).resume();
  complete_switch(fake_stack_, &host_stack_, &host_stack_bytes_);
}

}  // namespace mbt::emulation
