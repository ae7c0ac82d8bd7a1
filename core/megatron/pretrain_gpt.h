// Megatron-LM's command line (pretrain_gpt.py ARGS) as arguments of our own. Where an argument is absent, Megatron's default holds, not
// ours.
#pragma once

#include <string>
#include <vector>

namespace mbt {

/// One argument that was given, and what became of it.
struct TranslatedArgument {
  std::string argument;  ///< as typed: "--lr 1e-4"
  std::string became;    ///< "optimizer.lr=1e-4", or "no effect: ..."
};

struct MegatronTranslation {
  std::vector<std::string> arguments;     ///< section.field=value, --fp16, ...: as for core/config/command_line.h
  std::vector<TranslatedArgument> given;  ///< in the order typed
  std::vector<std::string> defaults;      ///< section.field=value where Megatron's default counts: nobody has said it
};

/// `ranks`: data-parallel processes, of which the default of --global-batch-size is a multiple. Arguments of our own are handed on as they
/// are: section.field=value, --section.field value, --mixed-precision, --recipes, --device, --emulate-precision. Throws one InputError
/// with every argument that is refused, unknown or lacks its value; arguments that are refused for one reason are one problem.
MegatronTranslation translate_pretrain_gpt(const std::vector<std::string>& args, int ranks);

}  // namespace mbt
