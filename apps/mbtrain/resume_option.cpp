#include "apps/mbtrain/resume_option.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace {

bool sets(const Assignment& a, const char* field) { return underscored(a.section) == "checkpoint" && underscored(a.field) == field; }

std::string text_of(const Assignment& a) { return a.value->is_string() ? a.value->get<std::string>() : std::string(); }

/// What else the command line says about the folders; the same folder twice is no contradiction.
void refuse_contradiction(const std::string& folder, const Assignment& a) {
  const std::string value = text_of(a);
  const bool is_folder = sets(a, "load") || sets(a, "save");
  if (is_folder && !is_same_folder(value, folder))
    throw InputError(fmt::format("--resume {} loads and saves there, and {} names {}: leave one of the two out", folder,
                                 to_string(a.origin), shown(value)));
  const bool is_off = value == "false" || value == "False" || value == "0";
  if (sets(a, "finetune") && !is_off)
    throw InputError(
        fmt::format("--resume {} continues a run, and finetuning ({}) begins a new one: leave one of the two out; a new run "
                    "takes --load and another folder for --save",
                    folder, to_string(a.origin)));
}

/// A new run would begin from random weights where the file names those that it should begin with.
void refuse_lost_start(const std::string& folder, const Assignment& a) {
  const std::string value = text_of(a);
  if (!sets(a, "load") || value.empty() || is_same_folder(value, folder) || holds_checkpoints(folder)) return;
  throw InputError(
      fmt::format("--resume {}: nothing is there to continue, and checkpoint.load ({}) names {}. To begin there: --save {}, and "
                  "--resume from the second start on",
                  folder, to_string(a.origin), shown(value), folder));
}

}  // namespace

void add_resume(VerbOptions& options, std::string& folder) {
  options.add_option("--resume", folder, "Continue the run in this folder and save there; begin it where the folder holds no checkpoint")
      .called("FOLDER");
}

void apply_resume(const std::string& folder, ConfigInput& input) {
  if (folder.empty()) return;
  for (const Assignment& a : input.assignments) {
    if (a.is_text()) refuse_contradiction(folder, a);
    else refuse_lost_start(folder, a);
  }
  std::erase_if(input.assignments, [](const Assignment& a) {
    return !a.is_text() && (sets(a, "load") || sets(a, "save") || sets(a, "finetune") || sets(a, "ckpt_step"));
  });
  for (const char* field : {"save", "load"})
    input.assignments.push_back({"checkpoint", field, nlohmann::json(folder), {Origin::Kind::command_line, "--resume"}});
}

}  // namespace mbt
