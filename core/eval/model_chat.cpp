#include "core/eval/model_chat.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/data/sft/chat_jinja.h"
#include "core/io/files.h"
#include "core/train/checkpoint/checkpoint.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

constexpr const char* kChoose = "choose one with --chat-template NAME (chatml, llama3, plain)";

std::optional<FoundJinja> jinja_of(const ModelFolder& model) {
  if (model.checkpoint) {
    if (auto found = find_jinja(load_tokenizer_files(*model.checkpoint))) return found;
    const std::optional<HfSource> source = load_hf_source(*model.checkpoint);
    return source ? find_jinja(source->files) : std::nullopt;
  }
  TokenizerFiles files;
  for (const char* name : {"chat_template.jinja", "tokenizer_config.json"}) {
    const fs::path path = fs::path(model.config.model.hf_path) / name;
    if (fs::exists(path)) files.emplace_back(name, read_text_file(path.string()));
  }
  return find_jinja(files);
}

struct OwnChat {
  std::optional<KnownChat> known;
  bool is_of_run = false;  ///< which begins as the tokenizer says
  std::string problem;     ///< why it is not known
};

OwnChat own_chat(const ModelFolder& model) {
  const DatasetConfig& data = model.config.dataset;
  if (model.checkpoint && data.kind == DatasetKind::sft)
    return {.known = KnownChat{data.chat_template, {}, model.end_of_text}, .is_of_run = true, .problem = ""};
  const std::string where = model.checkpoint ? model.checkpoint->path() : model.config.model.hf_path;
  const std::optional<FoundJinja> jinja = jinja_of(model);
  if (!jinja)
    return {.known = {},
            .problem = fmt::format("{} says nothing of a chat template: its tokenizer has none{}", where,
                                   model.checkpoint ? ", and the run was no fine-tuning (dataset.kind sft)" : "")};
  std::optional<KnownChat> known = known_chat(jinja->text, *model.tokenizer);
  std::string problem;
  if (!known)
    problem = fmt::format("the chat template of {} ({}) is {}, none of those that are known here; expected chatml, llama3 or plain", where,
                          jinja->file, shown(jinja->text, 60));
  return {.known = std::move(known), .problem = std::move(problem)};
}

/// What plain ends answers with, where the template does not say it.
std::optional<int32_t> any_end(const ModelFolder& model) {
  if (model.end_of_text || model.end_tokens.empty()) return model.end_of_text;
  return model.end_tokens.front();
}

ChatTemplate with_end(const ModelFolder& model, ChatFormat format, std::optional<int32_t> end, const ChatOrigin& origin) {
  if (format == ChatFormat::plain && !end)
    throw InputError(
        fmt::format("{} plain: an answer ends with the end-of-text token, but the tokenizer has none ({}); take another template",
                    origin.setting, model.tokenizer->describe()));
  ChatTemplate chat(format, *model.tokenizer, end, origin);
  static_cast<void>(chat.end_of_turn());  // the tokenizer has its tokens
  return chat;
}

}  // namespace

ModelChat find_chat(const ModelFolder& model, const std::optional<ChatFormat>& named, const std::string& option) {
  OwnChat own;
  try {
    own = own_chat(model);
  } catch (const InputError& e) {  // of a file that nobody needs when the template is named
    own.problem = e.what();
  }
  if (own.known && (!named || named == own.known->format)) {
    ChatOrigin origin{.begin = std::nullopt, .setting = "the model's chat template"};
    if (!own.is_of_run) origin.begin = own.known->begin;
    return {with_end(model, own.known->format, own.known->end_of_text ? own.known->end_of_text : any_end(model), origin), ""};
  }
  if (!named) throw InputError(fmt::format("{}: {}; {}", option, own.problem, kChoose));
  const std::string note =
      own.known ? fmt::format("--chat-template {}: the model's own is {}", name_of(*named), name_of(own.known->format)) : "";
  return {with_end(model, *named, any_end(model), {.begin = std::nullopt, .setting = "--chat-template"}), note};
}

ChatTemplate completion_template(const ModelFolder& model) { return {ChatFormat::plain, *model.tokenizer, any_end(model)}; }

}  // namespace mbt
