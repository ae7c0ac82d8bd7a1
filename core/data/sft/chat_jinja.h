// Chat templates as transformers has them: jinja texts in tokenizer_config.json or chat_template.jinja. No jinja runs here: texts are
// written for the formats of chat_template.h, and texts that say the same are recognized in whatever layout (jinja_text.h).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/data/sft/chat_template.h"
#include "core/tokenizer/open_tokenizer.h"

namespace mbt {

/// Returns the jinja text with which transformers makes the same tokens of a conversation. Nothing where it cannot: an end of text that is
/// no token of its own in a text (plain), a token without a name. InputError: as ChatTemplate::end_of_turn.
std::optional<std::string> chat_jinja(const ChatTemplate& chat, const Tokenizer& tokenizer);

/// What a jinja text says of a conversation.
struct KnownChat {
  ChatFormat format = ChatFormat::chatml;
  ChatOrigin::Begin begin;
  std::optional<int32_t> end_of_text;  ///< plain's
};
/// Nothing: it is none of ours, or names a token that the tokenizer lacks.
std::optional<KnownChat> known_chat(const std::string& jinja, const Tokenizer& tokenizer);

/// A jinja text, and the file that it is in.
struct FoundJinja {
  std::string text, file;
};
/// The template that transformers takes from a model's files, if there is one: of chat_template.jinja, else of tokenizer_config.json; of
/// several the one called "default". InputError: tokenizer_config.json is no JSON, or its template no text.
std::optional<FoundJinja> find_jinja(const TokenizerFiles& files);

/// Makes it the only template in a model's files.
void set_jinja(const std::string& jinja, std::map<std::string, std::string>& files);

}  // namespace mbt
