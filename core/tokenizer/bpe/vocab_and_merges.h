// GPT-2's older form of a tokenizer: vocab.json and merges.txt.
#pragma once

#include <string>
#include <string_view>

namespace mbt {

/// The same as a tokenizer.json. class_name: transformers' class, which says how text is cut: "GPT2Tokenizer" (also when it is empty) or
/// "Qwen2Tokenizer". InputError: another class, with `class_where`; files of another form.
std::string vocab_and_merges_json(std::string_view vocab, const std::string& vocab_path, std::string_view merges,
                                  const std::string& merges_path, const std::string& class_name, const std::string& class_where);

}  // namespace mbt
