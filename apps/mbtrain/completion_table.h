// What the shells complete, as rows that the scripts in apps/mbtrain/shell look up.
//   scope                  word               values             doc
//   mbtrain                plan               @verb              Show what a run will do ...
//   mbtrain plan           --ranks            @any               Number of data-parallel ranks ...
//   mbtrain plan           +config            @rows              the rows of scope "config" count here too
//   mbtrain recipes show   *                  @recipe,@file      a positional argument
//   config                 --model.hf_path    @folder            Hugging Face folder ...
// Values, separated by commas: words; @none (a flag), @optional (a flag; after '=' the words count), @any (nothing to propose), @file,
// @folder, @recipe (the rows of scope "recipe"), @config (those of "shipped"), @many (several values may follow).
#pragma once

#include <string>
#include <vector>

namespace mbt {

struct CompletionRow {
  std::string scope, word, values, doc;  ///< none is empty, none has a tab or a line break
};

/// From the table of verbs, their options, the fields of the config, Megatron-LM's arguments, the recipes and the shipped configs.
std::vector<CompletionRow> completion_table();

}  // namespace mbt
