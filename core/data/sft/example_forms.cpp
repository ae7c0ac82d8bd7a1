#include "core/data/sft/example_forms.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

using nlohmann::json;

constexpr std::array kMessageKeys{"messages", "conversations"};
constexpr std::array kReadKeys{"messages", "conversations", "history", "prompt", "completion", "instruction", "input", "output", "system"};
constexpr std::array kReadOfMessage{"role", "content", "weight", "from", "value"};

template <size_t N>
bool is_one_of(const std::string& name, const std::array<const char*, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Whether the value at `pointer` is read, or some of it: what nobody reads may be anything.
bool is_read(const std::string& pointer) {
  const std::vector<std::string> path = split(pointer.empty() ? pointer : pointer.substr(1), '/');
  if (path.empty()) return true;
  if (!is_one_of(path[0], kReadKeys)) return false;
  return path.size() < 3 || !is_one_of(path[0], kMessageKeys) || is_one_of(path[2], kReadOfMessage);
}

bool has(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

const std::string& string_under(const json& object, const char* key, const char* of) {
  const auto found = object.find(key);
  if (found == object.end()) throw InputError(fmt::format("{} has no \"{}\"", of, key));
  if (!found->is_string()) throw InputError(fmt::format("\"{}\" is {}, expected a string", key, found->type_name()));
  return found->get_ref<const std::string&>();
}

/// What would change what is learned is not left out in silence.
void refuse_keys(const json& object, std::initializer_list<const char*> keys, const char* what) {
  for (const char* key : keys)
    if (const auto found = object.find(key); found != object.end() && !found->empty() && *found != "")
      throw InputError(fmt::format("{} has \"{}\", which is not supported", what, key));
}

json message(const std::string& role, const std::string& content) { return {{"role", role}, {"content", content}}; }

/// "system" beside the conversation.
json first_messages(const json& example) {
  json messages = json::array();
  if (has(example, "system") && !string_under(example, "system", "the example").empty())
    messages.push_back(message("system", string_under(example, "system", "the example")));
  return messages;
}

std::string role_of_speaker(const std::string& from) {
  constexpr std::array kSame{"system", "user", "assistant", "tool"};
  if (is_one_of(from, kSame)) return from;
  if (from == "human") return "user";
  if (from == "gpt" || from == "chatgpt" || from == "bard" || from == "bing") return "assistant";
  if (from == "observation") return "tool";
  throw InputError(fmt::format("\"from\" is {}, expected human, user, gpt, assistant, system or tool", shown(from)));
}

json of_sharegpt(const json& example) {
  refuse_keys(example, {"tools", "functions", "images", "videos", "audios"}, "the example");
  const json& turns = example.at("conversations");
  if (!turns.is_array()) throw InputError(fmt::format("\"conversations\" is {}, expected an array", turns.type_name()));
  json messages = first_messages(example);
  for (const json& turn : turns) {
    if (!turn.is_object()) throw InputError(fmt::format("a turn is {}, expected an object with \"from\" and \"value\"", turn.type_name()));
    json m = turn;
    if (!turn.contains("role")) {  // some have the names of messages under "conversations"
      m = message(role_of_speaker(string_under(turn, "from", "a turn")), string_under(turn, "value", "a turn"));
      refuse_keys(turn, {"tool_calls", "function_call", "reasoning_content"}, "a turn");
      if (turn.contains("weight")) m["weight"] = turn["weight"];
    }
    messages.push_back(std::move(m));
  }
  json example_of_messages = json::object();
  example_of_messages["messages"] = std::move(messages);
  return example_of_messages;
}

/// [[question, answer], ...]
void add_history(const json& history, json& messages) {
  const auto is_pair = [](const json& p) { return p.is_array() && p.size() == 2 && p[0].is_string() && p[1].is_string(); };
  if (!history.is_array() || !std::all_of(history.begin(), history.end(), is_pair))
    throw InputError("\"history\" is expected to be an array of pairs of strings, question and answer");
  for (const json& pair : history) {
    messages.push_back(message("user", pair[0]));
    messages.push_back(message("assistant", pair[1]));
  }
}

json of_alpaca(const json& example) {
  refuse_keys(example, {"tools", "functions", "images", "videos", "audios"}, "the example");
  json messages = first_messages(example);
  if (has(example, "history")) add_history(example["history"], messages);
  std::string question = string_under(example, "instruction", "the example");
  if (has(example, "input"))
    if (const std::string& input = string_under(example, "input", "the example"); !input.empty())
      question += (question.empty() ? "" : "\n") + input;
  const std::string& answer = string_under(example, "output", "the example");
  if (answer.empty()) throw InputError("\"output\" is empty: nothing to learn; leave the line out");
  messages.push_back(message("user", question));
  messages.push_back(message("assistant", answer));
  json example_of_messages = json::object();
  example_of_messages["messages"] = std::move(messages);
  return example_of_messages;
}

}  // namespace

bool has_example_form(const json& object) {
  const auto has_both = [&](const char* a, const char* b) { return object.contains(a) && object.contains(b); };
  return object.contains("messages") || object.contains("conversations") || has_both("prompt", "completion") ||
         has_both("instruction", "output");
}

json chat_example(const JsonDocument& line) {
  const json& example = line.root;
  for (const JsonFlaw& flaw : line.flaws)
    if (is_read(flaw.pointer)) line.refuse_flaws(flaw.pointer);
  constexpr const char* kExpected =
      "expected an object with \"messages\", with \"prompt\" and \"completion\", with \"conversations\" (ShareGPT), or with "
      "\"instruction\" and \"output\" (Alpaca)";
  if (!example.is_object()) throw InputError(fmt::format("is {}, {}", example.type_name(), kExpected));
  std::vector<std::string> forms;
  for (const char* key : {"messages", "conversations", "instruction"})
    if (example.contains(key)) forms.push_back(fmt::format("\"{}\"", key));
  if (example.contains("prompt") || example.contains("completion")) forms.emplace_back("\"prompt\" or \"completion\"");
  if (forms.empty()) throw InputError(fmt::format("has neither \"messages\" nor another form of fine-tuning data, {}", kExpected));
  if (forms.size() > 1) throw InputError(fmt::format("has {}: give one of them", join(forms, " and ")));
  if (example.contains("conversations")) return of_sharegpt(example);
  return example.contains("instruction") ? of_alpaca(example) : example;
}

}  // namespace mbt
