// libFuzzer: any bytes as a line of fine-tuning examples either give tokens and as many marks, or an InputError.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/base/error.h"
#include "core/base/json_reader.h"
#include "core/data/sft/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = mbt::make_byte_tokenizer();
  static const mbt::ChatTemplate chat(mbt::ChatFormat::plain, *tokenizer, 0);
  try {
    const mbt::ChatExample e = chat.encode(mbt::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz.jsonl").root);
    if (e.tokens.size() != e.in_loss.size() || e.tokens.empty()) std::abort();
  } catch (const mbt::InputError&) {
  }
  return 0;
}
