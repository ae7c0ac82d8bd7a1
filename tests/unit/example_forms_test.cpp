// Forms of fine-tuning examples: Alpaca and ShareGPT become messages, and keys that nobody reads stop nothing.
#include "core/data/sft/example_forms.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace mbt::test::example_forms_test {

namespace {

nlohmann::json messages_of(const std::string& text) {
  return chat_example(parse_json(text, "x.jsonl", {.is_of_others = true})).at("messages");
}

nlohmann::json talk(std::initializer_list<std::pair<const char*, const char*>> turns) {
  nlohmann::json messages = nlohmann::json::array();
  for (const auto& [role, content] : turns) messages.push_back({{"role", role}, {"content", content}});
  return messages;
}

void refuse(const std::string& text, const std::string& message) {
  INFO(text);
  CHECK_THROWS_AS(messages_of(text), InputError);
  CHECK_THROWS_WITH(messages_of(text), ContainsSubstring(message));
}

}  // namespace

TEST_CASE("Alpaca's form is a question and an answer", "[sft]") {
  CHECK(messages_of(R"({"instruction": "Add", "input": "2+2", "output": "4"})") == talk({{"user", "Add\n2+2"}, {"assistant", "4"}}));
  for (const char* input : {"", R"("input": "", )", R"("input": null, )"})
    CHECK(messages_of(std::string("{") + input + R"("instruction": "Hi", "output": "Yo", "text": "all of it"})") ==
          talk({{"user", "Hi"}, {"assistant", "Yo"}}));
  CHECK(messages_of(R"({"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]})") ==
        talk({{"system", "s"}, {"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}}));
  refuse(R"({"instruction": "a", "input": "b"})", "has no \"output\"");
  refuse(R"({"instruction": "a", "output": ""})", "\"output\" is empty");
  refuse(R"({"instruction": "a", "output": 4})", "\"output\" is number, expected a string");
  refuse(R"({"instruction": "a", "input": ["b"], "output": "c"})", "\"input\" is array");
  refuse(R"({"instruction": "a", "output": "c", "history": [["a"]]})", "\"history\" is expected");
  refuse(R"({"instruction": "a", "output": "c", "images": ["a.png"]})", "has \"images\", which is not supported");
}

TEST_CASE("ShareGPT's form is a conversation", "[sft]") {
  CHECK(messages_of(R"({"id": "x", "system": "s", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"},
                       {"from": "user", "value": "c"}, {"from": "assistant", "value": "d"}, {"from": "tool", "value": "e"}]})") ==
        talk({{"system", "s"}, {"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}, {"tool", "e"}}));
  CHECK(messages_of(R"({"conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})") ==
        talk({{"user", "a"}, {"assistant", "b"}}));
  CHECK(messages_of(R"({"conversations": [{"from": "gpt", "value": "b", "weight": 0}]})")[0]["weight"] == 0);
  refuse(R"({"conversations": {"from": "gpt"}})", "\"conversations\" is object, expected an array");
  refuse(R"({"conversations": ["a"]})", "a turn is string");
  refuse(R"({"conversations": [{"from": "narrator", "value": "b"}]})", "\"from\" is \"narrator\", expected human");
  refuse(R"({"conversations": [{"from": "function_call", "value": "b"}]})", "\"from\" is \"function_call\"");
  refuse(R"({"conversations": [{"from": "gpt"}]})", "a turn has no \"value\"");
  refuse(R"({"conversations": [{"from": "gpt", "value": "b"}], "tools": "[{}]"})", "has \"tools\"");
}

TEST_CASE("An example has one form", "[sft]") {
  refuse("[]", "is array, expected an object with \"messages\"");
  refuse(R"({"text": "a"})", "has neither \"messages\"");
  refuse(R"({"messages": [], "conversations": []})", "has \"messages\" and \"conversations\": give one of them");
  refuse(R"({"instruction": "a", "output": "b", "prompt": "c"})", "give one of them");
  CHECK(has_example_form({{"instruction", ""}, {"output", ""}}));
  CHECK_FALSE(has_example_form({{"instruction", ""}, {"text", ""}}));
}

TEST_CASE("Keys that nobody reads stop no example; those that are read are checked", "[sft]") {
  const nlohmann::json want = talk({{"user", "a"}, {"assistant", "b"}});
  CHECK(
      messages_of(
          R"({"conversations": [{"from": "human", "value": "a", "t": NaN}, {"from": "gpt", "value": "b"}], "id": 18446744073709551615})") ==
      want);
  CHECK(messages_of(R"({"instruction": "a", "output": "b", "score": 1e999, "score": 2})") == want);
  CHECK(messages_of(R"({"messages": [{"role": "assistant", "content": "b", "logprobs": [NaN]}]})").size() == 1);
  refuse(R"({"instruction": "a", "output": "b", "output": "c"})", "x.jsonl:1: key \"output\" appears twice");
  refuse(R"({"messages": [{"role": "user", "content": "b", "content": "c"}]})", "key \"content\" appears twice");
  refuse(R"({"messages": [{"role": "assistant", "content": "b", "weight": NaN}]})", "NaN is no number");
  refuse(R"({"instruction": "a", "output": "b", "history": [["a", NaN]]})", "NaN is no number");
}

}  // namespace mbt::test::example_forms_test
