// libFuzzer: any bytes as a Hugging Face config.json either describe a model, or are an InputError; and what is read can be written again.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/error.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_config_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const mbt::JsonDocument document = mbt::parse_json(text, "config.json");
    mbt::ModelConfig model = mbt::hf_model(document);
    model.layernorm_epsilon = 0.5;
    (void)mbt::hf_config_text(model, document, text, "bfloat16");
  } catch (const mbt::InputError&) {
  }
  return 0;
}
