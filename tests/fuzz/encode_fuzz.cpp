// libFuzzer: any bytes as a text are either refused, because they are not UTF-8, or become tokens that decode to them again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/tokenizer/unicode/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = mbt::open_tokenizer("tests/golden/tokenizers/o200k");  // from the repository's root
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<int32_t> ids;
  try {
    tokenizer->encode(text, ids);
    if (tokenizer->decode_bytes(ids, false) != text) std::abort();
  } catch (const mbt::InputError&) {
    if (mbt::find_invalid_utf8(text) == std::string::npos) std::abort();
  }
  return 0;
}
