// The forms in which fine-tuning examples are written, as the two that become tokens (chat_template.h): messages, or prompt and completion.
//
//   {"messages": [{"role": "user", "content": ...}, ...]}           as it is
//   {"prompt": ..., "completion": ...}                              as it is
//   {"conversations": [{"from": "human", "value": ...}, ...]}       ShareGPT: human and user, gpt and assistant, system, tool; messages
//   {"instruction": ..., "input": ..., "output": ...}               Alpaca: a message of the user, instruction and input on lines of their
//                                                                   own, and one of the assistant; "history" comes before, as pairs
// "system" of the last two is a message in front.
#pragma once

#include <nlohmann/json.hpp>

#include "core/base/json_reader.h"

namespace mbt {

/// Whether an object has one of the forms, as far as its keys tell.
bool has_example_form(const nlohmann::json& object);

/// The example as messages, or as prompt and completion. InputError, without the place: none of the forms, several at once, values of
/// another type, an unknown speaker, an empty answer of Alpaca's, keys that would change what is learned; with the place: a flaw of a value
/// that is read.
nlohmann::json chat_example(const JsonDocument& line);

}  // namespace mbt
