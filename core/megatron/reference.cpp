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

std::vector<BridgeField> of_bridge(std::initializer_list<BridgeKind> kinds) {
  std::vector<BridgeField> chosen;
  for (const BridgeField& f : bridge_fields())
    if (std::find(kinds.begin(), kinds.end(), f.kind) != kinds.end()) chosen.push_back(f);
  return chosen;
}

/// One line per reason: its fields.
std::string bridge_by_reason(const std::vector<BridgeField>& fields) {
  std::map<std::string, std::vector<std::string>> groups;
  for (const BridgeField& f : fields) groups[f.reason].push_back("`" + f.path + "`");
  std::string lines;
  for (const auto& [reason, paths] : groups) lines += "- " + reason + "<br>" + join(paths, ", ") + "\n";
  return lines;
}

/// One line per section: its fields, without the section in front.
std::string bridge_by_section(const std::vector<BridgeField>& fields) {
  std::map<std::string, std::vector<std::string>> sections;
  for (const BridgeField& f : fields) {
    const size_t dot = f.path.find('.');
    sections[f.path.substr(0, dot)].push_back("`" + f.path.substr(dot + 1) + "`");
  }
  std::string lines;
  for (const auto& [section, names] : sections) lines += "- **" + section + "**: " + join(names, ", ") + "\n";
  return lines;
}

std::string becomes(const BridgeField& f) {
  if (f.kind == BridgeKind::special) return f.reason;
  std::vector<std::string> parts;
  for (const std::string& field : f.fields) parts.push_back("`" + field + "`");
  for (const std::string& set : f.sets) parts.push_back("true: `" + set + "`");
  for (const auto& [theirs, ours] : f.values) parts.push_back(theirs + ": " + (ours.empty() ? "no effect" : ours));
  return join(parts, ", ");
}

std::string bridge_reference() {
  const auto same = of_bridge({BridgeKind::same}), others = of_bridge({BridgeKind::mapped, BridgeKind::special}),
             idle = of_bridge({BridgeKind::without_effect}), refused = of_bridge({BridgeKind::refused});
  std::string page = fmt::format(
      "\n## Overrides of Megatron Bridge\n\n"
      "`section.field=value` of Bridge's ConfigContainer is taken by every verb that takes a run config, and so are the same fields in a "
      "JSON "
      "run config. Our defaults hold there, not Bridge's. Of its {} fields {} are fields here ({} of the same name), {} have no effect, "
      "and "
      "{} are refused where they ask for something: at upstream's own default, and at 0, False and None, they ask for nothing.\n\n"
      "Values may be in Python's spelling: `True`, `None`, `'text'`, `(1, 2)`, `['a', 'b']`. Hydra's `+` and `++` in front of a name make "
      "no "
      "difference; `~` is refused. A whole section is switched off with `peft=null`.\n",
      bridge_fields().size(), same.size() + others.size(), same.size(), idle.size(), refused.size());
  page += "\n### The same here\n\n" + bridge_by_section(same);
  page += "\n### Other fields\n\n| Field | Becomes |\n|---|---|\n";
  for (const BridgeField& f : others) page += "| `" + f.path + "` | " + cell(becomes(f)) + " |\n";
  page += "\n### Bridge's without effect here\n\n" + bridge_by_reason(idle);
  return page + "\n### Bridge's refused\n\n" + bridge_by_reason(refused);
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
      "# Megatron-LM's arguments and Megatron Bridge's fields\n\n"
      "Made by `mbtrain config megatron` from `core/megatron/arguments.json` and `bridge.json`; a test keeps it up to date.\n\n"
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
  return page + bridge_reference();
}

}  // namespace mbt
