// What a Hugging Face folder says of the conversations that a run was trained on.
#pragma once

#include <map>
#include <string>

#include "core/config/run_config.h"
#include "core/hf/hf_config_writer.h"

namespace mbt {

/// Into `files`, with the tokenizer's among them, and `tokens`: the token that the run's documents end with, and of fine-tuning
/// (dataset.kind sft) the token that ends a turn and the chat template. A template of the files that says the same stays as it is, another
/// is replaced. Returns what became of the template, for people; empty: the run was no fine-tuning. `where`: for messages.
std::string add_chat(const RunConfig& run, const std::string& where, std::map<std::string, std::string>& files, HfTokenIds& tokens);

}  // namespace mbt
