// Talking with a fine-tuned model: from its checkpoint, its export and its import again, with the same answer; stops; scores of answers.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/io/files.h"
#include "tests/support/catch.h"
#include "tests/support/run_binary.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::chat_test {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

RunResult succeed(const TemporaryFolder& folder, std::vector<std::string> args, const std::vector<std::string>& more = {}) {
  args.insert(args.end(), more.begin(), more.end());
  RunResult r = run_binary(args, folder.path());
  INFO(r.out << r.err);
  REQUIRE(r.exit_code == 0);
  return r;
}

void refuse(const TemporaryFolder& folder, const std::vector<std::string>& args, const std::string& words) {
  const RunResult r = run_binary(args, folder.path());
  CAPTURE(args, r.err, r.out);
  CHECK(r.exit_code == 2);
  CHECK_THAT(r.err, ContainsSubstring(words));
}

/// The golden tokenizer with ChatML's tokens, which puts <|start|> before any text.
void write_tokenizer(const TemporaryFolder& folder) {
  json file = json::parse(read_text_file(std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/llama3/tokenizer.json"));
  int id = 422;
  for (const char* name : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
    json token = file["added_tokens"][0];
    token["content"] = name, token["id"] = id++, token["special"] = true;
    file["added_tokens"].push_back(token);
  }
  fs::create_directory(folder.path("tokenizer"));
  folder.file("tokenizer/tokenizer.json", file.dump());
  folder.file("tokenizer/special_tokens_map.json", R"({"bos_token": "<|start|>", "eos_token": "<|end|>"})");
}

constexpr const char *kQuestion = "What color is the sky?", *kAnswer = "The sky is blue.";

void write_talk(const TemporaryFolder& folder) {
  const json ask{{"role", "user"}, {"content", kQuestion}}, say{{"role", "assistant"}, {"content", kAnswer}};
  const json brief{{"role", "system"}, {"content", "Be brief."}}, blue{{"role", "assistant"}, {"content", "Blue."}};
  std::ofstream file(folder.path("chat.jsonl"));
  for (int i = 0; i < 20; ++i) file << json{{"messages", {ask, say}}} << "\n" << json{{"messages", {brief, ask, blue}}} << "\n";
}

/// Fine-tuned on the two lines until it knows them, in run.
void train(const TemporaryFolder& folder, const std::string& form, const std::vector<std::string>& more) {
  succeed(folder,
          {"--dataset.kind",
           "sft",
           "--dataset.path",
           "chat.jsonl",
           "--dataset.chat_template",
           form,
           "--split",
           "1,0,0",
           "--vocab-size",
           "448",
           "--model.hidden_size",
           "64",
           "--model.num_layers",
           "2",
           "--num-attention-heads",
           "4",
           "--seq-length",
           "128",
           "--train-iters",
           "50",
           "--micro-batch-size",
           "2",
           "--global-batch-size",
           "4",
           "--eval-iters",
           "0",
           "--lr",
           "0.005",
           "--checkpoint.save",
           "run"},
          more);
}

std::vector<std::string> ask(const std::string& model, const std::vector<std::string>& more = {}) {
  std::vector<std::string> args = {"generate",      "--chat", "--load",           model, "--prompt",          kQuestion,
                                   "--temperature", "0",      "--max-new-tokens", "40",  "--mixed-precision", "bf16_mixed"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

const std::vector<std::string> kTokenizer{"--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", "tokenizer"};

}  // namespace

TEST_CASE("A fine-tuned model answers from its checkpoint, its export and the import of that") {
  for (const char* form : {"chatml", "plain"}) {
    const TemporaryFolder folder;
    write_tokenizer(folder);
    write_talk(folder);
    train(folder, form, kTokenizer);
    CAPTURE(form);
    CHECK_THAT(succeed(folder, {"convert", "to-hf", "run", "hf"}).out, ContainsSubstring(std::string("chat template: ") + form));
    succeed(folder, {"convert", "from-hf", "hf", "again"});
    const std::string first = succeed(folder, ask("run", {"--json"})).out;
    for (const char* model : {"run", "hf", "again"}) {
      CAPTURE(model);
      CHECK(succeed(folder, ask(model)).out == kAnswer + std::string("\n"));
      CHECK(succeed(folder, ask(model, {"--system", "Be brief."})).out == "Blue.\n");
      CHECK(succeed(folder, ask(model, {"--json"})).out == first);
    }
    const int end = form == std::string("chatml") ? 423 : 424;
    const json line = json::parse(first);
    CHECK(line["prompt"] == kQuestion);
    CHECK(line["text"] == kAnswer);
    CHECK(line["finished"] == true);
    CHECK(line["ended_by"] == "end_token");
    CHECK(line["end_token"] == end);
    CHECK(line["prompt_tokens"][0] == 421);
    const json ends = json::parse(read_text_file(folder.path("hf/generation_config.json")))["eos_token_id"];
    CHECK(ends == (end == 423 ? json{420, 424, 423} : json{420, 424}));
    succeed(folder, {"convert", "to-hf", "again", "back"});  // no fine-tuning: as it came
    for (const char* file : {"tokenizer_config.json", "generation_config.json"})
      CHECK(read_text_file(folder.path("back/") + file) == read_text_file(folder.path("hf/") + file));
  }
}

TEST_CASE("Stops end a text, with and without a template, and are not printed") {
  const TemporaryFolder folder;
  write_tokenizer(folder);
  write_talk(folder);
  train(folder, "chatml", kTokenizer);
  CHECK(succeed(folder, ask("run", {"--stop", "ky is bl"})).out == "The s\n");
  CHECK(succeed(folder, ask("run", {"--stop", "blues", "--stop", "sky is not"})).out == kAnswer + std::string("\n"));
  CHECK(succeed(folder, ask("run", {"--stop", "[x]", "--stop", "e."})).out == "The sky is blu\n");
  const json line = json::parse(succeed(folder, ask("run", {"--stop", "blue", "--json"})).out);
  CHECK(line["text"] == "The sky is ");
  CHECK(line["ended_by"] == "stop");
  CHECK(line["stop"] == "blue");
  const std::vector<std::string> text = {"generate", "--load", "run", "--temperature", "0", "--prompt", "<|im_start|>assistant\nThe sky"};
  CHECK(succeed(folder, text, {"--stop", "lue"}).out == "<|im_start|>assistant\nThe sky is b\n");
  const json by_name = json::parse(succeed(folder, text, {"--ignore-eos", "--stop", "<|im_end|>", "--json"}).out);
  CHECK(by_name["text"] == " is blue.");
  CHECK(by_name["stop"] == "<|im_end|>");
  CHECK(json::parse(succeed(folder, text, {"--max-new-tokens", "2", "--json"}).out)["ended_by"] == "length");
  refuse(folder, ask("run", {"--stop", "a<|im_end|>"}), "has the name of a special token in it");
  refuse(folder, ask("run", {"--stop", "\xff"}), "is not UTF-8");
}

TEST_CASE("Without a template that is known, one is asked for by name") {
  const TemporaryFolder folder;
  write_tokenizer(folder);
  write_talk(folder);
  train(folder, "chatml", kTokenizer);
  succeed(folder, {"convert", "to-hf", "run", "hf"});
  folder.file("hf/chat_template.jinja", "{{ messages | tojson }}");
  refuse(folder, ask("hf"), "(chat_template.jinja) is \"{{ messages | tojson }}\", none of those that are known here");
  refuse(folder, ask("hf"), "choose one with --chat-template NAME");
  CHECK(succeed(folder, ask("hf", {"--chat-template", "chatml"})).out == kAnswer + std::string("\n"));
  refuse(folder, ask("hf", {"--chat-template", "llama3"}), "--chat-template llama3 needs the token <|begin_of_text|>");
  succeed(folder, {"generate", "--load", "hf", "--prompt", "x", "--max-new-tokens", "2"});  // without --chat nobody asks
  CHECK_THAT(succeed(folder, ask("run", {"--chat-template", "plain"})).err, ContainsSubstring("the model's own is chatml"));

  // fine-tuned from that folder, the run's template takes the place of the one that is not known
  std::vector<std::string> more = kTokenizer;
  more.back() = "hf";
  more.insert(more.end(), {"--model.hf_path", "hf", "--train-iters", "1", "--checkpoint.save", "tuned"});
  succeed(folder, {"--dataset.kind", "sft", "--dataset.path", "chat.jsonl", "--split", "1,0,0", "--seq-length", "128", "--eval-iters", "0"},
          more);
  CHECK_THAT(succeed(folder, {"convert", "to-hf", "tuned", "out"}).out,
             ContainsSubstring("takes the place of the one in chat_template.jinja"));
  CHECK_FALSE(fs::exists(folder.path("out/chat_template.jinja")));
  CHECK(succeed(folder, ask("out")).out == kAnswer + std::string("\n"));

  succeed(folder, {"--train.exit_interval", "1", "--checkpoint.save", "bytes"});
  refuse(folder, ask("bytes"), "and the run was no fine-tuning (dataset.kind sft); choose one with --chat-template NAME");
  refuse(folder, {"generate", "--chat", "--load", "run"}, "--chat: needs --prompt or --prompt-file");
  refuse(folder, {"generate", "--load", "run", "--system", "x"}, "--system: only --chat uses it");
  refuse(folder, {"generate", "--load", "run", "--chat-template", "chatml"}, "--chat-template: only --chat uses it");
}

TEST_CASE("Perplexity of conversations is that of their answers, with the run's template") {
  const TemporaryFolder folder;
  write_tokenizer(folder);
  write_talk(folder);
  train(folder, "chatml", kTokenizer);
  const auto score = [&](const std::string& file, const std::vector<std::string>& more = {}) {
    return json::parse(succeed(folder, {"eval", "perplexity", "--load", "run", "--json", file}, more).out);
  };
  const std::string question = kQuestion, answer = kAnswer;
  folder.file("one.jsonl",
              json{{"messages", {{{"role", "user"}, {"content", question}}, {{"role", "assistant"}, {"content", answer}}}}}.dump());
  folder.file("alpaca.jsonl", json{{"instruction", question}, {"output", answer}}.dump());
  folder.file("sharegpt.jsonl",
              json{{"conversations", {{{"from", "human"}, {"value", question}}, {{"from", "gpt"}, {"value", answer}}}}}.dump());
  folder.file("rendered.jsonl", json{{"prompt", "<|im_start|>user\n" + question + "<|im_end|>\n<|im_start|>assistant\n"},
                                     {"completion", answer + "<|im_end|>"}}
                                    .dump());
  const json one = score("one.jsonl");
  CHECK(one["kind"] == "chat");
  CHECK(one["chat_template"] == "chatml");
  CHECK(one["bytes"] == answer.size());
  CHECK(one["nats_per_token"].get<double>() < 0.3);
  CHECK(score("alpaca.jsonl") == one);
  CHECK(score("sharegpt.jsonl") == one);
  CHECK_FALSE(score("rendered.jsonl")["chat_template"].is_string());
  CHECK(score("rendered.jsonl")["tokens"] == one["tokens"].get<int>() + 1);  // the end of the text
  CHECK_THAT(succeed(folder, {"eval", "perplexity", "--load", "run", "one.jsonl"}).out,
             ContainsSubstring("1 example, ") && ContainsSubstring("of their answers alone scored, with the chat template chatml"));
  CHECK(score("one.jsonl", {"--chat-template", "plain"})["nats_per_token"] != one["nats_per_token"]);

  folder.file("text.jsonl", json{{"text", answer}}.dump());
  folder.file("both.jsonl", json{{"text", answer}, {"instruction", question}, {"output", answer}}.dump());
  const json text = score("text.jsonl");
  CHECK(text["kind"] == "text");
  CHECK(score("both.jsonl", {"--kind", "text"}) == text);
  CHECK(score("both.jsonl", {"--json-key", "text"}) == text);
  CHECK(score("both.jsonl", {"--kind", "chat"}) == one);
  CHECK(score("both.jsonl", {"--json-key", "output"})["kind"] == "text");
  const auto refused = [&](std::vector<std::string> args, const std::string& words) {
    args.insert(args.begin(), {"eval", "perplexity", "--load", "run"});
    refuse(folder, args, words);
  };
  refused({"both.jsonl"}, "both.jsonl:1: has \"text\", and a conversation or a completion too: --kind text");
  refused({"one.jsonl", "text.jsonl"}, "text.jsonl:1: is a text, but the documents before it are conversations");
  refused({"text.jsonl", "one.jsonl"}, "one.jsonl:1: is a conversation, but the documents before it are texts");
  refused({"text.jsonl", "--kind", "chat"}, "text.jsonl:1: has neither \"messages\"");
  refused({"one.jsonl", "--kind", "text"}, "one.jsonl:1: has no key \"text\"");
  refused({"one.jsonl", "--kind", "chat", "--json-key", "x"}, "--json-key: names the key of a text");
  refused({"text.jsonl", "--chat-template", "plain"}, "--chat-template: the input is text");
}

TEST_CASE("A model of bytes that ends answers with a byte of the run's choice answers") {
  const TemporaryFolder folder;
  write_talk(folder);
  train(folder, "plain", {"--dataset.eod_token_id", "0", "--seq-length", "160"});
  CHECK(succeed(folder, ask("run")).out == kAnswer + std::string("\n"));
  CHECK_THAT(succeed(folder, {"convert", "to-hf", "run", "hf"}).out, ContainsSubstring("plain is not written: there is no tokenizer"));
  CHECK(json::parse(read_text_file(folder.path("hf/generation_config.json")))["eos_token_id"] == 0);
  CHECK(succeed(folder, ask("hf", {"--tokenizer", "bytes", "--chat-template", "plain"})).out == kAnswer + std::string("\n"));
}

}  // namespace mbt::test::chat_test
