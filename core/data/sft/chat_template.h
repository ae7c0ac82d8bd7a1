// Examples of supervised fine-tuning as tokens, with the loss on answers alone.
//
//   chatml   <|im_start|>ROLE \n CONTENT <|im_end|> \n                                    for each message
//   llama3   <|begin_of_text|>, then <|start_header_id|>ROLE<|end_header_id|> \n\n CONTENT <|eot_id|>
//   plain    ROLE: CONTENT \n; an answer ends with the end-of-text token
//
// The content of an assistant's message and the token that ends it are in the loss. The text between two of the template's tokens is
// encoded as one, so that a conversation has the tokens of its rendered text; a token that holds the end of a header and the beginning of
// an answer is in the loss. Names of special tokens in CONTENT are plain text, so no message can end its turn or begin another. Prompt and
// completion are one text too, special tokens included, and the end-of-text token comes after them; it and the completion are in the loss.
// The tokens that begin and end a text are not added where the text has them already.
//
// A prompt is a conversation and the beginning of an answer, which a model then writes; chat_jinja.h has the templates as transformers
// reads them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/dataset_config.h"
#include "core/tokenizer/tokenizer.h"

namespace mbt {

struct ChatExample {
  std::vector<int32_t> tokens;
  std::vector<int32_t> in_loss;  ///< of each token, as a target: 1 or 0
  int64_t answer_bytes = 0;      ///< of the text that is in the loss
};

/// What a model continues with its answer.
struct ChatPrompt {
  std::vector<int32_t> tokens;
  bool skips_blank = false;  ///< a blank that the answer begins with belongs to the template
};

/// Where the template comes from.
struct ChatOrigin {
  struct Begin {
    std::optional<int32_t> token;
  };
  std::optional<Begin> begin;                     ///< of every conversation; absent: what the tokenizer puts in front of any text, or
                                                  ///< llama3's own
  std::string setting = "dataset.chat_template";  ///< for messages
};

class ChatTemplate {
 public:
  /// end_of_text: for plain and completions.
  ChatTemplate(ChatFormat format, const Tokenizer& tokenizer, std::optional<int32_t> end_of_text, const ChatOrigin& origin = {});

  /// Encodes {"messages": [{"role": ..., "content": ...}, ...]} or {"prompt": ..., "completion": ...}; an answer with "weight": 0 is not in
  /// the loss. Throws InputError, without file and line, for another shape, an unknown role, no answer, keys that would change what is
  /// learned, and a special token that the tokenizer lacks.
  ChatExample encode(const nlohmann::json& example) const;
  /// The messages and the header of an answer. Throws InputError as encode does; an answer may be missing.
  ChatPrompt prompt(const nlohmann::json& messages) const;

  ChatFormat format() const { return format_; }
  /// What begins a conversation, and ends an answer. InputError: the tokenizer lacks one of the template's tokens.
  std::optional<int32_t> begin() const { return marks().begin; }
  int32_t end_of_turn() const { return marks().end; }
  /// Whether the blank behind "assistant:" is a token of its own in front of a word, with which a prompt so ends.
  bool ends_with_blank() const;

 private:
  struct Marks {
    std::optional<int32_t> begin;  ///< of every conversation
    int32_t start, header_end, end;
  };
  Marks find_marks(const ChatOrigin& origin) const;
  const Marks& marks() const;
  ChatExample completion(const nlohmann::json& example) const;
  ChatExample conversation(const nlohmann::json& messages) const;
  int32_t special(const char* name, const ChatOrigin& origin) const;
  int32_t end_of_text() const;
  struct Section;
  static void add_encoded(size_t begin, std::span<const int32_t> before, ChatExample& out);
  void end_section(Section& section) const;
  void end_section_with(int32_t token, bool in_loss, Section& section) const;
  void add_header(const std::string& role, Section& section) const;
  void add_message(const std::string& role, const std::string& content, bool is_answer, Section& section) const;
  /// Returns whether one of them is an answer in the loss.
  bool add_messages(const nlohmann::json& messages, Section& section) const;

  ChatFormat format_;
  const Tokenizer& tokenizer_;
  std::optional<int32_t> end_of_text_;
  std::optional<int32_t> begin_;  ///< of every example
  std::optional<Marks> marks_;    ///< of conversations alone: completions need none of a template's tokens
  std::string no_marks_;          ///< why there are none
};

}  // namespace mbt
