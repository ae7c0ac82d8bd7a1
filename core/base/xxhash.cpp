#include "core/base/xxhash.h"

#include <cstdio>

#define XXH_INLINE_ALL  // compiled here: the program needs no libxxhash.so beside it
#include <xxhash.h>

namespace mbt {

struct XxHash64::State : XXH64_state_t {};

void XxHash64::Free::operator()(State* state) const { delete state; }

XxHash64::XxHash64() : state_(new State) { XXH64_reset(state_.get(), 0); }

void XxHash64::add(const void* data, size_t bytes) {
  if (bytes > 0) XXH64_update(state_.get(), data, bytes);  // data may be null with nothing to add
}

uint64_t XxHash64::value() const { return XXH64_digest(state_.get()); }

uint64_t xxhash64(std::string_view bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

std::string hash_text(uint64_t hash) {
  char s[17];
  std::snprintf(s, sizeof s, "%016llx", static_cast<unsigned long long>(hash));
  return s;
}

}  // namespace mbt
