#include "core/hf/convert/exported_chat.h"

#include "core/base/error.h"
#include "core/data/sft/chat_jinja.h"

namespace mbt {
namespace {

/// Whether a template of the files says what the run's does.
bool is_same(const std::string& jinja, const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const std::optional<KnownChat> known = known_chat(jinja, tokenizer);
  return known && known->format == chat.format() && known->begin.token == chat.begin() &&
         (chat.format() != ChatFormat::plain || known->end_of_text == chat.end_of_turn());
}

std::string add_template(const ChatTemplate& chat, const Tokenizer& tokenizer, std::map<std::string, std::string>& files) {
  const char* const name = name_of(chat.format());
  const std::optional<FoundJinja> there = find_jinja({files.begin(), files.end()});
  if (there && is_same(there->text, chat, tokenizer)) return fmt::format("chat template: {}, as {} has it", name, there->file);
  const std::optional<std::string> jinja = chat_jinja(chat, tokenizer);
  if (!jinja)
    return fmt::format("chat template: {} is not written: transformers would not give a conversation the run's tokens{}", name,
                       there ? fmt::format("; that of {} is another", there->file) : "");
  set_jinja(*jinja, files);
  return fmt::format("chat template: {}, which the run was trained with{}", name,
                     there ? fmt::format("; it takes the place of the one in {}", there->file) : "");
}

}  // namespace

std::string add_chat(const RunConfig& run, const std::string& where, std::map<std::string, std::string>& files, HfTokenIds& tokens) {
  const DatasetConfig& data = run.dataset;
  if (data.eod_token_id) tokens.eod = data.eod_token_id;
  if (data.kind != DatasetKind::sft) return "";
  const TokenizerFiles list{files.begin(), files.end()};
  if (!has_tokenizer(list)) return fmt::format("chat template: {} is not written: there is no tokenizer", name_of(data.chat_template));
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(list, where);
  const std::optional<int32_t> end = data.eod_token_id ? std::optional(static_cast<int32_t>(*data.eod_token_id)) : tokenizer->eod_id();
  if (end) tokens.eod = *end;
  const ChatTemplate chat(data.chat_template, *tokenizer, end);
  try {
    tokens.end_of_turn = chat.end_of_turn();
  } catch (const InputError&) {  // completions need none of a template's tokens
    return "";
  }
  return add_template(chat, *tokenizer, files);
}

}  // namespace mbt
