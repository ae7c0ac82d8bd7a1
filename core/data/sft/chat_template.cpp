#include "core/data/sft/chat_template.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

using nlohmann::json;

const std::string& string_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw InputError(fmt::format("has no \"{}\"", key));
  if (!found->is_string()) throw InputError(fmt::format("\"{}\" is {}, expected a string", key, found->type_name()));
  return found->get_ref<const std::string&>();
}

void add_token(int32_t token, bool in_loss, ChatExample& out) {
  out.tokens.push_back(token);
  out.in_loss.push_back(in_loss ? 1 : 0);
}

/// What would change what is learned is not left out in silence.
void refuse_present(const json& object, std::initializer_list<const char*> keys, const char* what) {
  for (const char* key : keys)
    if (const auto found = object.find(key); found != object.end() && !found->empty())
      throw InputError(fmt::format("{} has \"{}\", which is not supported", what, key));
}

/// "weight" of an answer, as OpenAI's format has it: 0 leaves it out of the loss.
bool has_weight(const json& message) {
  const auto found = message.find("weight");
  if (found == message.end() || found->is_null()) return true;
  if (*found == 0 || *found == 1) return *found == 1;
  throw InputError(fmt::format("\"weight\" is {}, expected 0 or 1", found->dump()));
}

/// What the tokenizer puts in front of a text, if that is its token for beginnings.
std::optional<int32_t> beginning(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  tokenizer.encode("", ids, true);
  return !ids.empty() && tokenizer.bos_id() == ids.front() ? tokenizer.bos_id() : std::nullopt;
}

}  // namespace

ChatTemplate::ChatTemplate(ChatFormat format, const Tokenizer& tokenizer, std::optional<int32_t> end_of_text, const ChatOrigin& origin)
    : format_(format), tokenizer_(tokenizer), end_of_text_(end_of_text), begin_(origin.begin ? origin.begin->token : beginning(tokenizer)) {
  try {
    marks_ = find_marks(origin);
    begin_ = marks_->begin;
  } catch (const InputError& e) {
    no_marks_ = e.what();
  }
}

ChatTemplate::Marks ChatTemplate::find_marks(const ChatOrigin& origin) const {
  const auto token = [&](const char* name) { return special(name, origin); };
  switch (format_) {
    case ChatFormat::chatml: return {begin_, token("<|im_start|>"), 0, token("<|im_end|>")};
    case ChatFormat::llama3:
      return {origin.begin ? begin_ : token("<|begin_of_text|>"), token("<|start_header_id|>"), token("<|end_header_id|>"),
              token("<|eot_id|>")};
    case ChatFormat::plain: break;
  }
  return {begin_, 0, 0, end_of_text()};
}

const ChatTemplate::Marks& ChatTemplate::marks() const {
  if (!marks_) throw InputError(no_marks_);
  return *marks_;
}

int32_t ChatTemplate::special(const char* name, const ChatOrigin& origin) const {
  if (const auto id = tokenizer_.token_id(name)) {
    if (tokenizer_.takes_white_space(*id))
      throw InputError(fmt::format(
          "{} {}: the token {} takes in the white space beside it (lstrip or rstrip in the tokenizer's files), which the template does not "
          "do; expected both to be false",
          origin.setting, name_of(format_), name));
    return *id;
  }
  throw InputError(fmt::format("{} {} needs the token {}, which the tokenizer lacks ({}); take another template (chatml, llama3, plain)",
                               origin.setting, name_of(format_), name, tokenizer_.describe()));
}

int32_t ChatTemplate::end_of_text() const {
  if (end_of_text_) return *end_of_text_;
  throw InputError(fmt::format("answers must end with an end-of-text token, but the tokenizer has none ({}): set dataset.eod_token_id",
                               tokenizer_.describe()));
}

/// A text that is encoded as one, and where in it an answer begins that goes to its end.
struct ChatTemplate::Section {
  ChatExample& out;
  bool has_token;  ///< before it, other than what the tokenizer puts in front of any text
  std::string text;
  std::optional<size_t> answer;
};

/// The loss begins with the token that holds the answer's first byte, as transformers has it: tokens that the text has before it too are
/// not part of it.
void ChatTemplate::add_encoded(size_t begin, std::span<const int32_t> before, ChatExample& out) {
  const std::span<const int32_t> tokens(out.tokens.begin() + static_cast<std::ptrdiff_t>(begin), out.tokens.end());
  const size_t shared =
      static_cast<size_t>(std::mismatch(tokens.begin(), tokens.end(), before.begin(), before.end()).first - tokens.begin());
  out.in_loss.resize(begin + shared, 0);
  out.in_loss.resize(out.tokens.size(), 1);
}

void ChatTemplate::end_section(Section& section) const {
  ChatExample& out = section.out;
  const size_t begin = out.tokens.size();
  tokenizer_.encode_content(section.text, out.tokens, section.has_token);
  if (section.answer) {
    std::vector<int32_t> before;
    tokenizer_.encode_content(section.text.substr(0, *section.answer), before, section.has_token);
    add_encoded(begin, before, out);
  }
  out.in_loss.resize(out.tokens.size(), 0);
  section.text.clear();
  section.answer.reset();
}

void ChatTemplate::end_section_with(int32_t token, bool in_loss, Section& section) const {
  end_section(section);
  add_token(token, in_loss, section.out);
  section.has_token = true;
}

/// Up to where the content begins.
void ChatTemplate::add_header(const std::string& role, Section& section) const {
  switch (format_) {
    case ChatFormat::chatml:
      end_section_with(marks_->start, false, section);
      section.text += role + "\n";
      return;
    case ChatFormat::llama3:
      end_section_with(marks_->start, false, section);
      section.text += role;
      end_section_with(marks_->header_end, false, section);
      section.text += "\n\n";
      return;
    case ChatFormat::plain: section.text += role + ": "; return;
  }
}

void ChatTemplate::add_message(const std::string& role, const std::string& content, bool is_answer, Section& section) const {
  if (role != "assistant" && role != "user" && role != "system" && role != "tool")
    throw InputError(fmt::format("role {}, expected system, user, assistant or tool", shown(role)));
  add_header(role, section);
  if (is_answer) {
    section.answer = section.text.size();
    section.out.answer_bytes += static_cast<int64_t>(content.size());
  }
  section.text += content;
  if (format_ != ChatFormat::plain || role == "assistant") end_section_with(marks_->end, is_answer, section);
  if (format_ != ChatFormat::llama3) section.text += "\n";
}

ChatExample ChatTemplate::encode(const json& example) const {
  if (!example.is_object())
    throw InputError(
        fmt::format("is {}, expected an object with \"messages\", or with \"prompt\" and \"completion\"", example.type_name()));
  const auto messages = example.find("messages");
  if (messages == example.end()) return completion(example);
  if (example.contains("prompt") || example.contains("completion"))
    throw InputError("has \"messages\", and \"prompt\" or \"completion\" too: give one of the two");
  refuse_present(example, {"tools", "functions"}, "the example");
  if (!messages->is_array()) throw InputError(fmt::format("\"messages\" is {}, expected an array", messages->type_name()));
  return conversation(*messages);
}

ChatExample ChatTemplate::completion(const json& example) const {
  if (!example.contains("prompt"))
    throw InputError("has neither \"messages\" nor \"prompt\" and \"completion\"; plain text cannot be part of fine-tuning data");
  const std::string &prompt = string_of(example, "prompt"), &completion = string_of(example, "completion");
  if (completion.empty()) throw InputError("\"completion\" is empty: nothing to learn");
  std::vector<int32_t> tokens, before;
  tokenizer_.encode(prompt + completion, tokens);
  tokenizer_.encode(prompt, before);
  ChatExample out;
  // A rendered conversation may have the tokens that begin and end a text in it.
  if (begin_ && (tokens.empty() || tokens.front() != *begin_)) add_token(*begin_, false, out);
  const size_t begin = out.tokens.size();
  out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
  out.answer_bytes = static_cast<int64_t>(completion.size());
  add_encoded(begin, before, out);
  if (tokens.empty() || tokens.back() != end_of_text() || out.in_loss.back() == 0) add_token(end_of_text(), true, out);
  return out;
}

bool ChatTemplate::add_messages(const json& messages, Section& section) const {
  bool has_answer = false;
  for (const json& message : messages) {
    if (!message.is_object())
      throw InputError(fmt::format("a message is {}, expected an object with \"role\" and \"content\"", message.type_name()));
    refuse_present(message, {"tool_calls", "function_call", "reasoning_content"}, "a message");
    const std::string& role = string_of(message, "role");
    const bool is_answer = role == "assistant" && has_weight(message);
    add_message(role, string_of(message, "content"), is_answer, section);
    has_answer |= is_answer;
  }
  return has_answer;
}

ChatExample ChatTemplate::conversation(const json& messages) const {
  ChatExample out;
  if (marks().begin) add_token(*marks_->begin, false, out);
  Section section{.out = out, .has_token = false, .text = "", .answer = {}};
  const bool has_answer = add_messages(messages, section);
  end_section(section);
  if (!has_answer) throw InputError("no message of role \"assistant\" with a weight: nothing to learn");
  return out;
}

bool ChatTemplate::ends_with_blank() const {
  if (format_ != ChatFormat::plain) return false;
  std::vector<int32_t> blank, word;
  tokenizer_.encode_content("assistant: ", blank, true);
  tokenizer_.encode_content("assistant: A", word, true);
  return blank.size() < word.size() && std::equal(blank.begin(), blank.end(), word.begin());
}

/// Plain's header ends with a blank, which most tokenizers make one token of with the word behind it: the answer then begins with it.
ChatPrompt ChatTemplate::prompt(const json& messages) const {
  ChatExample out;
  if (marks().begin) add_token(*marks_->begin, false, out);
  Section section{.out = out, .has_token = false, .text = "", .answer = {}};
  static_cast<void>(add_messages(messages, section));
  add_header("assistant", section);
  const bool skips_blank = format_ == ChatFormat::plain && !ends_with_blank();
  if (skips_blank) section.text.pop_back();
  end_section(section);
  return {std::move(out.tokens), skips_blank};
}

}  // namespace mbt
