#include "core/megatron/reference.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/megatron/argument_table.h"
#include "core/megatron/bridge_fields.h"

namespace mbt {
namespace {

std::vector<MegatronArgument> of(std::initializer_list<MegatronKind> kinds) {
  std::vector<MegatronArgument> chosen;
  for (const MegatronArgument& a : megatron_arguments())
    if (std::find(kinds.begin(), kinds.end(), a.kind) != kinds.end()) chosen.push_back(a);
  std::sort(chosen.begin(), chosen.end(), [](const MegatronArgument& a, const MegatronArgument& b) { return a.flag < b.flag; });
  return chosen;
}

std::string cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string spelled(const MegatronArgument& a) {
  std::string all = "`" + a.flag + "`";
  for (const std::string& other : a.also) all += ", `" + other + "`";
  return all;
}

/// One line per reason: its arguments.
std::string by_reason(const std::vector<MegatronArgument>& arguments) {
  std::map<std::string, std::vector<std::string>> groups;
  for (const MegatronArgument& a : arguments) groups[a.reason].push_back(spelled(a));
  std::string lines;
  for (const auto& [reason, flags] : groups) lines += "- " + reason + "<br>" + join(flags, ", ") + "\n";
  return lines;
}

}  // namespace

std::string what_becomes_of(const MegatronArgument& a) {
  switch (a.kind) {
    case MegatronKind::mapped: return a.field.empty() ? join(a.sets, " ") : a.field;
    case MegatronKind::special: return a.reason;
    case MegatronKind::conditional: return join(a.only, ", ") + " only: " + a.reason;
    case MegatronKind::without_effect: return "no effect: " + a.reason;
    case MegatronKind::refused: return "refused: " + a.reason;
  }
  return "";
}

std::string megatron_reference() {
  const auto fields = of({MegatronKind::mapped, MegatronKind::special}), conditional = of({MegatronKind::conditional}),
             idle = of({MegatronKind::without_effect}), refused = of({MegatronKind::refused});
  std::string page = fmt::format(
      "# Megatron-LM's arguments\n\n"
      "Made by `mbtrain config megatron` from `core/megatron/arguments.json`; a test keeps it up to date.\n\n"
      "`mbtrain pretrain_gpt ARGS` takes the arguments of Megatron-LM's `pretrain_gpt.py`. Its defaults hold there, not ours. Of its {} "
      "arguments {} are fields here, {} may have the values that change nothing, {} have no effect, and {} are refused with what to do.\n",
      megatron_arguments().size(), fields.size(), conditional.size(), idle.size(), refused.size());
  page += "\n## Fields\n\n| Argument | Becomes | Values |\n|---|---|---|\n";
  for (const MegatronArgument& a : fields) {
    const std::string becomes = a.kind == MegatronKind::special ? a.reason
                                : a.field.empty()               ? "`" + join(a.sets, "` `") + "`"
                                                                : "`" + a.field + "`";
    page += "| " + spelled(a) + " | " + cell(becomes) + " | " + join(a.only, ", ") + " |\n";
  }
  page += "\n## With one value only\n\n| Argument | Value | Otherwise |\n|---|---|---|\n";
  for (const MegatronArgument& a : conditional) page += "| " + spelled(a) + " | " + join(a.only, ", ") + " | " + cell(a.reason) + " |\n";
  page += "\n## Without effect here\n\n" + by_reason(idle);
  page += "\n## Refused\n\n" + by_reason(refused);
  page +=
      "\n## Overrides of Megatron Bridge\n\n"
      "`section.field=value` of Bridge's ConfigContainer is taken by every verb that takes a run config. Most fields are fields here, or "
      "have the "
      "name of an argument above, whose answer holds for them; what is refused may be set to 0, False or None. Beside these:\n\n"
      "| Field | Here |\n|---|---|\n"
      "| `model.gated_linear_unit` | true: `model.activation_func` silu is swiglu, gelu is geglu |\n"
      "| `checkpoint.pretrained_checkpoint` | `checkpoint.load` with `checkpoint.finetune=true` |\n";
  for (const auto& [field, answer] : bridge_rows()) {
    const bool is_refused = answer.kind == BridgeAnswer::Kind::refused, is_renamed = answer.kind == BridgeAnswer::Kind::renamed;
    page += "| `" + field + "` | " +
            (is_renamed ? "`" + answer.reason + "`" : (is_refused ? "refused: " : "no effect: ") + cell(answer.reason)) + " |\n";
  }
  return page;
}

}  // namespace mbt
