// libFuzzer: any bytes as a tokenizer.json either make a tokenizer, which encodes a text and decodes its own tokens, or give an InputError;
// never a crash, a hang or another exception.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/tokenizer/bpe/hf_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const mbt::HfTokenizer tokenizer(mbt::parse_hf_tokenizer({reinterpret_cast<const char*>(data), size}, "fuzz.json"));
    std::vector<int32_t> ids;
    tokenizer.encode("The quick fox's 12345  <|end|>\r\n caf\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD", ids, true);
    (void)tokenizer.decode(ids, false);
  } catch (const mbt::InputError&) {
  }
  return 0;
}
