#include "core/data/sft/chat_jinja.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/base/json_mend.h"
#include "core/base/json_reader.h"
#include "core/base/json_text.h"
#include "core/data/sft/jinja_text.h"

namespace mbt {
namespace {

using nlohmann::json;

constexpr const char *kConfigName = "tokenizer_config.json", *kJinjaName = "chat_template.jinja", *kKey = "chat_template";

std::optional<std::string> name_of_token(const Tokenizer& tokenizer, int32_t id) {
  std::string name = tokenizer.decode_bytes(std::array{id}, false);
  return tokenizer.token_id(name) == id ? std::optional(std::move(name)) : std::nullopt;
}

/// begin, end: what the template puts in front of a conversation, and plain behind an answer, as jinja's expressions.
std::string jinja_of(ChatFormat format, const std::string& begin, const std::string& end, bool ends_with_blank) {
  const auto conversation = [&](const std::string& message, const std::string& header) {
    return fmt::format("{}{{% for message in messages %}}{}{{% endfor %}}{{% if add_generation_prompt %}}{{{{ {} }}}}{{% endif %}}",
                       begin.empty() ? "" : "{{ " + begin + " }}", message, header);
  };
  switch (format) {
    case ChatFormat::chatml:
      return conversation(R"({{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }})",
                          R"('<|im_start|>assistant\n')");
    case ChatFormat::llama3:
      return conversation(R"({{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' }})",
                          R"('<|start_header_id|>assistant<|end_header_id|>\n\n')");
    case ChatFormat::plain: break;
  }
  return conversation(
      "{{ message['role'] + ': ' + message['content'] }}{% if message['role'] == 'assistant' %}{{ " + end + R"( }}{% endif %}{{ '\n' }})",
      ends_with_blank ? "'assistant: '" : "'assistant:'");
}

/// What transformers renders, with which its tokenizer makes tokens.
std::string rendered(ChatFormat format, const json& messages, const std::string& begin, const std::string& end) {
  std::string text = begin;
  for (const json& m : messages) {
    const std::string &role = m["role"].get_ref<const std::string&>(), &content = m["content"].get_ref<const std::string&>();
    switch (format) {
      case ChatFormat::chatml: text += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content); break;
      case ChatFormat::llama3: text += fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role, content); break;
      case ChatFormat::plain: text += fmt::format("{}: {}{}\n", role, content, role == "assistant" ? end : ""); break;
    }
  }
  return text;
}

/// An end of text may be letters of any text, which make other tokens beside other letters.
bool gives_its_tokens(const ChatTemplate& chat, const Tokenizer& tokenizer, const std::string& begin, const std::string& end) {
  if (chat.format() == ChatFormat::plain && !tokenizer.decode_bytes(std::array{chat.end_of_turn()}, true).empty()) return false;
  json messages = json::array();
  for (const char* const role : {"system", "user", "assistant", "user", "assistant"})
    messages.push_back({{"role", role}, {"content", "Say 12, then end. "}});
  std::vector<int32_t> tokens;
  tokenizer.encode(rendered(chat.format(), messages, begin, end), tokens);
  return tokens == chat.encode({{"messages", messages}}).tokens;
}

/// The token that an expression names: 'NAME', bos_token or eos_token.
std::optional<int32_t> token_of(const std::string& expression, const Tokenizer& tokenizer) {
  if (expression == "bos_token") return tokenizer.bos_id();
  if (expression == "eos_token") return tokenizer.eos_id();
  return tokenizer.token_id(unquoted_from_jinja(expression));
}

void take_out(std::string& text, const std::string& part) {
  if (const size_t at = text.find(part); at != std::string::npos) text.erase(at, part.size());
}

/// The expression of the first output behind `before`, which goes out of the text.
std::string take_output(std::string& text, const std::string& before) {
  const size_t at = text.find(before + "{{"), begin = at + before.size();
  const size_t end = at == std::string::npos ? at : text.find("}}", begin);
  if (end == std::string::npos) return "";
  std::string expression = text.substr(begin + 2, end - begin - 2);
  text.erase(begin, end + 2 - begin);
  return expression;
}

}  // namespace

std::optional<std::string> chat_jinja(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const auto begin = chat.begin() ? name_of_token(tokenizer, *chat.begin()) : std::optional<std::string>("");
  const auto end = name_of_token(tokenizer, chat.end_of_turn());
  if (!begin || !end || !gives_its_tokens(chat, tokenizer, *begin, *end)) return std::nullopt;
  return jinja_of(chat.format(), begin->empty() ? "" : quoted_for_jinja(*begin), quoted_for_jinja(*end), chat.ends_with_blank());
}

std::optional<KnownChat> known_chat(const std::string& jinja, const Tokenizer& tokenizer) {
  std::string text = plain_jinja(jinja);
  // What many begin with, and what is so anyway.
  take_out(text, plain_jinja("{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"));
  const bool has_begin = text.starts_with("{{");
  const std::string begin = has_begin ? take_output(text, "") : "";
  const std::string end = take_output(text, "{%ifmessage['role']=='assistant'%}");
  KnownChat known{.format = {}, .begin = {token_of(begin, tokenizer)}, .end_of_text = token_of(end, tokenizer)};
  if (has_begin && !known.begin.token) return std::nullopt;
  const auto is = [&](ChatFormat format, bool ends_with_blank) {
    known.format = format;
    return text == plain_jinja(jinja_of(format, "", "", ends_with_blank));
  };
  if (is(ChatFormat::chatml, false) || is(ChatFormat::llama3, false)) return known;
  if (known.end_of_text && (is(ChatFormat::plain, false) || is(ChatFormat::plain, true))) return known;
  return std::nullopt;
}

std::optional<FoundJinja> find_jinja(const TokenizerFiles& files) {
  const auto find = [&](const char* name) {
    const auto found = std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.first == name; });
    return found == files.end() ? nullptr : &found->second;
  };
  if (const std::string* text = find(kJinjaName)) return FoundJinja{*text, kJinjaName};
  const std::string* config = find(kConfigName);
  if (config == nullptr) return std::nullopt;
  const JsonDocument document = parse_json(*config, kConfigName, {.is_of_others = true});
  if (!document.root.is_object() || !document.root.contains(kKey) || document.root[kKey].is_null()) return std::nullopt;
  document.refuse_flaws(fmt::format("/{}", kKey));
  json value = document.root[kKey];
  if (value.is_array()) {
    const auto is_default = [](const json& v) { return v.is_object() && v.value("name", json()) == "default"; };
    const auto found = std::find_if(value.begin(), value.end(), is_default);
    if (found == value.end()) return std::nullopt;
    value = json(found->value("template", json()));
  }
  if (!value.is_string())
    throw InputError(fmt::format("{}: {} is {}, expected a text", document.where(fmt::format("/{}", kKey)), kKey, value.type_name()));
  return FoundJinja{value, kConfigName};
}

void set_jinja(const std::string& jinja, std::map<std::string, std::string>& files) {
  files.erase(kJinjaName);
  files.erase("chat_template.json");  // of processors
  std::string& config = files[kConfigName];
  if (config.empty()) config = "{}";
  const JsonDocument document = parse_json(config, kConfigName, {.is_of_others = true});
  for (const JsonFlaw& flaw : document.flaws)
    if (flaw.is_left_out) document.refuse_flaws(flaw.pointer);  // writing goes down by recursion
  if (!document.root.is_object()) throw InputError(fmt::format("{} is {}, expected an object", kConfigName, document.root.type_name()));
  nlohmann::ordered_json j = parse_ordered_json(with_marks(config));
  j[kKey] = jinja;
  config = without_marks(json_text(j, {.indent = 2})) + "\n";
}

}  // namespace mbt
