#include "core/recipe/bridge_overrides.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/field_table.h"
#include "core/megatron/bridge_fields.h"

namespace mbt {
namespace {

std::string path_of(const Assignment& a) { return underscored(a.section) + "." + underscored(a.field); }

std::string text_of(const Assignment& a) { return a.value->is_string() ? a.value->get<std::string>() : json_text(a.value); }

/// "torch.nn.functional.silu" is silu; swish too.
std::string plain_activation(std::string name) {
  name = name.substr(name.rfind('.') + 1);
  return name == "swish" ? "silu" : name;
}

/// Bridge has the activation function and whether it is gated; here a gated one has a name of its own.
void join_gated(std::vector<Assignment>& assignments, std::vector<Problem>& problems) {
  Assignment *gated = nullptr, *function = nullptr;
  for (Assignment& a : assignments) {
    if (path_of(a) == "model.gated_linear_unit") gated = &a;
    if (path_of(a) != "model.activation_func") continue;
    function = &a;
    a.value = nlohmann::json(plain_activation(text_of(a)));
  }
  if (!gated) return;
  const std::string on = text_of(*gated), name = function ? text_of(*function) : "silu";
  const bool is_gated = on == "true" || on == "True" || on == "1";
  const std::string of_gated = name == "silu" || name == "swiglu" ? "swiglu" : name == "gelu" || name == "geglu" ? "geglu" : "";
  if (is_gated && of_gated.empty())
    problems.push_back({fmt::format("{} ({})", path_of(*gated), to_string(gated->origin)),
                        fmt::format("is true, but the activation function is {}; gated ones are silu (swiglu) and gelu (geglu)", name)});
  if (is_gated && function) function->value = nlohmann::json(of_gated);
  if (is_gated && !function) assignments.push_back({"model", "activation_func", nlohmann::json(of_gated), gated->origin});
  std::erase_if(assignments, [](const Assignment& a) { return path_of(a) == "model.gated_linear_unit"; });
}

/// A checkpoint to begin from, without its optimizer: two fields here.
bool join_pretrained(const Assignment& a, std::vector<Assignment>& own) {
  if (path_of(a) != "checkpoint.pretrained_checkpoint") return false;
  const std::string folder = text_of(a);
  if (folder.empty() || folder == "null" || folder == "None") return true;
  own.push_back({"checkpoint", "load", nlohmann::json(folder), a.origin});
  own.push_back({"checkpoint", "finetune", a.is_text() ? nlohmann::json("true") : nlohmann::json(true), a.origin});
  return true;
}

}  // namespace

std::vector<Assignment> in_own_terms(const std::vector<Assignment>& assignments, std::vector<std::string>& notes,
                                     std::vector<Problem>& problems) {
  RunConfig config;
  const FieldTable table(config);
  std::vector<Assignment> theirs = assignments, own;
  join_gated(theirs, problems);
  for (Assignment& a : theirs) {
    if (table.find(a.section, a.field)) {
      own.push_back(std::move(a));
      continue;
    }
    if (join_pretrained(a, own)) continue;
    const BridgeAnswer answer = bridge_field(a.section, a.field, text_of(a));
    const std::string where = fmt::format("{} ({})", path_of(a), to_string(a.origin));
    switch (answer.kind) {
      case BridgeAnswer::Kind::unknown: own.push_back(std::move(a)); break;
      case BridgeAnswer::Kind::renamed: {
        const size_t dot = answer.reason.find('.');
        a.section = answer.reason.substr(0, dot);
        a.field = answer.reason.substr(dot + 1);
        own.push_back(std::move(a));
        break;
      }
      case BridgeAnswer::Kind::without_effect: notes.push_back(fmt::format("{} has no effect: {}", where, answer.reason)); break;
      case BridgeAnswer::Kind::refused: problems.push_back({where, answer.reason}); break;
    }
  }
  return own;
}

}  // namespace mbt
