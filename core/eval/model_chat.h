// How to talk with a model: the chat template that it was trained with.
#pragma once

#include <optional>
#include <string>

#include "core/data/sft/chat_template.h"
#include "core/eval/model_folder.h"

namespace mbt {

struct ModelChat {
  ChatTemplate chat;  ///< refers to the model's tokenizer
  std::string note;   ///< a warning to show: a template that is not the model's own
};

/// The template that --chat-template names, else the model's: of a run of fine-tuning its dataset.chat_template, else the one of its
/// chat_template.jinja or tokenizer_config.json. `option`: what the user asked for and needs it, for messages. InputError, which names
/// --chat-template: there is none, or none that we know; a tokenizer that lacks its tokens.
ModelChat find_chat(const ModelFolder& model, const std::optional<ChatFormat>& named, const std::string& option);

/// Completions only, which need no template (chat_template.h).
ChatTemplate completion_template(const ModelFolder& model);

}  // namespace mbt
