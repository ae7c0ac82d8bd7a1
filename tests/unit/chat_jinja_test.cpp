// Chat templates as jinja texts: written, recognized in any layout, found in a model's files; and prompts with the ids of transformers.
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/sft/chat_jinja.h"
#include "core/data/sft/jinja_text.h"
#include "core/io/files.h"
#include "tests/support/catch.h"

namespace mbt::test::chat_jinja_test {

using nlohmann::json;

namespace {

constexpr const char* kChatml =
    R"({% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %})"
    R"({% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";

/// The golden tokenizer of GPT-2's kind with the tokens of all templates; has_bos: one that it puts in front of any text.
std::unique_ptr<Tokenizer> tokenizer_with(bool has_bos, std::vector<std::string> more) {
  const std::string folder = std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/" + (has_bos ? "llama3" : "gpt2");
  json file = json::parse(read_text_file(folder + "/tokenizer.json"));
  int id = 422;
  for (const std::string& name : more) {
    json token = file["added_tokens"][0];
    token["content"] = name, token["id"] = id++, token["special"] = true;
    file["added_tokens"].push_back(token);
  }
  return open_tokenizer({{"tokenizer.json", file.dump()}, {"special_tokens_map.json", R"({"bos_token": "<|start|>"})"}}, "made up");
}

const std::vector<std::string> kAll{"<|im_start|>",        "<|im_end|>",        "<|endoftext|>", "<|begin_of_text|>",
                                    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};

std::string with(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("Jinja texts that differ in layout alone are the same", "[chat_jinja]") {
  const std::string chatml = plain_jinja(kChatml);
  CHECK(plain_jinja("{%- for message in messages -%}\n  {{- \"<|im_start|>\" + message.role + \"\\n\" + message.content + \"<|im_end|>\" + "
                    "\"\\n\" -}}\n{%- endfor -%}\n{%- if add_generation_prompt -%}\n  {{- '<|im_start|>assistant\\n' -}}\n{%- endif -%}") ==
        chatml);
  // text outside of tags; a block's own line leaves nothing behind, and the last line end is none
  CHECK(plain_jinja("{# a comment #}\n{% for message in messages %}\n<|im_start|>{{ message['role'] }}\n{{ message['content'] "
                    "}}<|im_end|>\n  {% endfor %}\n{% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}\n") == chatml);
  CHECK(plain_jinja(with(kChatml, "'\\n' + message['content']", "' ' + message['content']")) != chatml);
  CHECK(plain_jinja(with(kChatml, "message['content']", "message['content'] | trim")) != chatml);
  CHECK(plain_jinja(with(kChatml, "'<|im_end|>\\n'", "'<|im_end|> \\n'")) != chatml);
  CHECK(plain_jinja(with(kChatml, "{% endfor %}", "{% endfor %} ")) != chatml);
  for (const std::string text : {"", "{", "{{", "{% '", "{#", "{{ 'a\\", "{%-", "}}", "{{-"}) CHECK_NOTHROW(plain_jinja(text));
  CHECK(unquoted_from_jinja(quoted_for_jinja("it's\n\\n")) == "it's\n\\n");
}

TEST_CASE("A template that is written is recognized, with what begins conversations and ends answers", "[chat_jinja]") {
  for (const bool has_bos : {false, true}) {
    const auto tokenizer = tokenizer_with(has_bos, kAll);
    const int32_t end = *tokenizer->token_id("<|endoftext|>");
    for (const ChatFormat format : {ChatFormat::chatml, ChatFormat::llama3, ChatFormat::plain}) {
      const ChatTemplate chat(format, *tokenizer, end);
      CAPTURE(has_bos, name_of(format));
      const std::optional<std::string> jinja = chat_jinja(chat, *tokenizer);
      REQUIRE(jinja);
      const std::optional<KnownChat> known = known_chat(*jinja, *tokenizer);
      REQUIRE(known);
      CHECK(known->format == format);
      CHECK(known->begin.token == chat.begin());
      CHECK(known->begin.token.has_value() == (has_bos || format == ChatFormat::llama3));
      CHECK(known->end_of_text == (format == ChatFormat::plain ? std::optional(end) : std::nullopt));
      const ChatTemplate again(known->format, *tokenizer, known->end_of_text, {.begin = known->begin});
      const json talk = {{{"role", "system"}, {"content", "S"}}, {{"role", "user"}, {"content", "12 dogs"}}};
      CHECK(again.prompt(talk).tokens == chat.prompt(talk).tokens);
    }
  }
  const auto tokenizer = tokenizer_with(false, kAll);
  CHECK(*chat_jinja(ChatTemplate(ChatFormat::chatml, *tokenizer, 424), *tokenizer) == kChatml);
  // an end of text that is a letter of any text
  CHECK_FALSE(chat_jinja(ChatTemplate(ChatFormat::plain, *tokenizer, 5), *tokenizer));
}

TEST_CASE("Templates of others are recognized where they say the same, and no others", "[chat_jinja]") {
  const auto tokenizer = tokenizer_with(true, kAll);
  const auto known = known_chat(kChatml, *tokenizer);
  REQUIRE(known);
  CHECK_FALSE(known->begin.token);  // whatever the tokenizer does
  const std::string no_op =
      "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}";
  CHECK(known_chat(no_op + kChatml, *tokenizer)->begin.token == tokenizer->bos_id());
  CHECK_FALSE(known_chat(with(kChatml, "message['content']", "message['content'] | trim"), *tokenizer));
  CHECK_FALSE(known_chat(with(kChatml, "{% if add", "{{ 'x' }}{% if add"), *tokenizer));
  CHECK_FALSE(known_chat(R"({{ '<|im_start|>system\nHelp.<|im_end|>\n' }})" + std::string(kChatml), *tokenizer));
  CHECK_FALSE(known_chat("{{ messages }}", *tokenizer));
  CHECK_FALSE(known_chat("", *tokenizer));
}

TEST_CASE("The template of a model's files is the one that transformers takes", "[chat_jinja]") {
  const auto text = [](const TokenizerFiles& files) {
    const auto found = find_jinja(files);
    return found ? found->file + ": " + found->text : "";
  };
  CHECK(text({}) == "");
  CHECK(text({{"tokenizer_config.json", R"({"chat_template": null})"}}) == "");
  CHECK(text({{"tokenizer_config.json", R"({"chat_template": "a"})"}}) == "tokenizer_config.json: a");
  CHECK(text({{"tokenizer_config.json", R"({"chat_template": "a"})"}, {"chat_template.jinja", "b"}}) == "chat_template.jinja: b");
  CHECK(text({{"tokenizer_config.json",
               R"({"chat_template": [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]})"}}) ==
        "tokenizer_config.json: d");
  CHECK_THROWS_WITH(text({{"tokenizer_config.json", "{\n\"chat_template\": 7}"}}),
                    ContainsSubstring("tokenizer_config.json:2: chat_template is number, expected a text"));

  std::map<std::string, std::string> files{{"tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656, "a": 1})"},
                                           {"chat_template.jinja", "old"}};
  set_jinja("new", files);
  CHECK(files.count("chat_template.jinja") == 0);
  CHECK(text({files.begin(), files.end()}) == "tokenizer_config.json: new");
  CHECK_THAT(files["tokenizer_config.json"], ContainsSubstring("1000000000000000019884624838656"));
}

TEST_CASE("A prompt has the ids of apply_chat_template with add_generation_prompt", "[chat_jinja]") {
  for (const bool has_bos : {false, true}) {  // ids by transformers 5.24 of the exported folders
    const auto tokenizer = tokenizer_with(has_bos, {"<|im_start|>", "<|im_end|>", "<|endoftext|>"});
    const json talk = {{{"role", "system"}, {"content", "Be brief."}}, {{"role", "user"}, {"content", "Say hello "}}};
    const ChatPrompt chatml = ChatTemplate(ChatFormat::chatml, *tokenizer, 424).prompt(talk);
    const ChatPrompt plain = ChatTemplate(ChatFormat::plain, *tokenizer, 424).prompt(talk);
    CHECK(chatml.tokens ==
          (has_bos
               ? std::vector<int32_t>{421, 422, 82, 88,  82,  83,  68, 76, 198, 33,  68,  363, 72,  68, 69, 13, 423, 198, 422, 84,  82, 68,
                                      81,  198, 50, 288, 220, 262, 75, 75, 78,  220, 423, 198, 422, 64, 82, 82, 72,  82,  83,  287, 83, 198}
               : std::vector<int32_t>{422, 82, 88,  82,  83,  68, 76, 198, 33,  68,  364, 72,  68, 69, 13, 423, 198, 422, 84,  82, 68, 81,
                                      198, 50, 287, 220, 262, 75, 75, 78,  220, 423, 198, 422, 64, 82, 82, 72,  82,  83,  286, 83, 198}));
    CHECK(plain.tokens ==
          (has_bos ? std::vector<int32_t>{421, 82,  88, 82,  83,  68,  76, 25, 220, 33,  68,  363, 72, 68, 69, 13, 198, 84,  82, 68, 81,
                                          25,  220, 50, 288, 220, 262, 75, 75, 78,  220, 198, 64,  82, 82, 72, 82, 83,  287, 83, 25, 220}
                   : std::vector<int32_t>{82,  88, 82,  83,  68,  76, 25, 220, 33,  68,  364, 72, 68, 69, 13, 198, 84,  82, 68, 81, 25,
                                          220, 50, 287, 220, 262, 75, 75, 78,  220, 198, 64,  82, 82, 72, 82, 83,  286, 83, 25, 220}));
    CHECK_FALSE(chatml.skips_blank);
    CHECK_FALSE(plain.skips_blank);  // these tokenizers join few blanks with words
  }
}

}  // namespace mbt::test::chat_jinja_test
