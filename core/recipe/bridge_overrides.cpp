#include "core/recipe/bridge_overrides.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/field_table.h"
#include "core/megatron/bridge_fields.h"
#include "core/recipe/bridge_joins.h"

namespace mbt {
namespace {

/// Puts assignments of fields of ours together.
class OwnTerms {
 public:
  OwnTerms(std::vector<std::string>& notes, std::vector<Problem>& problems) : fields_(config_), notes_(notes), problems_(problems) {}

  void take(Assignment&& a) {
    const BridgeField* const theirs = find_bridge_field(a.section, a.field);
    const bool is_ours = fields_.find(a.section, a.field) != nullptr;
    const BridgeKind kind = theirs != nullptr ? theirs->kind : BridgeKind::unknown;
    if (kind == BridgeKind::mapped) return map(a, *theirs);
    if (kind == BridgeKind::same && !theirs->only.empty() && !asks_for_nothing(*theirs, text_of(a))) {
      problems_.push_back({where_of(a), fmt::format("got {}, expected {}, the only value that is possible here. {}", shown(text_of(a)),
                                                    theirs->only[0], theirs->reason)});
      return;
    }
    const bool is_idle = kind == BridgeKind::without_effect || kind == BridgeKind::refused;
    if (is_ours || !is_idle) return add(std::move(a), theirs);  // special ones left here are taken apart when they are applied
    const bool is_refused = kind == BridgeKind::refused && !asks_for_nothing(*theirs, text_of(a));
    if (is_refused) problems_.push_back({where_of(a), theirs->reason});
    else note(a, kind == BridgeKind::refused ? "it asks for nothing that is not there" : theirs->reason);
  }

  std::vector<Assignment> finish() && { return std::move(own_); }

 private:
  void note(const Assignment& a, const std::string& why) { notes_.push_back(fmt::format("{} has no effect: {}", where_of(a), why)); }

  void map(const Assignment& a, const BridgeField& theirs) {
    if (!theirs.sets.empty() && !python_bool(text_of(a))) {
      problems_.push_back({where_of(a), fmt::format("got {}, expected True or False", shown(text_of(a)))});
      return;
    }
    const auto ours = mapped_fields(theirs, text_of(a));
    if (ours.empty())
      return note(a, fmt::format("{} leaves {} as it is", text_of(a), theirs.fields.empty() ? "the run" : theirs.fields[0]));
    for (const auto& [path, value] : ours) {
      Assignment own = in_place_of(a, path, value.value_or(""));
      if (!value) own.value = a.value;
      add(std::move(own), &theirs);
    }
  }

  /// None, where it is Bridge's default and no value here, takes back what was set before: our default holds.
  void add(Assignment&& a, const BridgeField* theirs) {
    const Field* const field = fields_.find(a.section, a.field);
    const bool is_unset = field != nullptr && theirs != nullptr && theirs->upstream == "null" && is_python_none(text_of(a)) &&
                          !field->is_optional() && field->type() != FieldType::string;
    if (!is_unset) return own_.push_back(std::move(a));
    std::erase_if(own_, [&](const Assignment& before) { return path_of(before) == path_of(a); });
    note(a, fmt::format("None leaves {} at the default of mbtrain", field->path()));
  }

  RunConfig config_;
  FieldTable fields_;
  std::vector<std::string>& notes_;
  std::vector<Problem>& problems_;
  std::vector<Assignment> own_;
};

}  // namespace

std::vector<Assignment> in_own_terms(const std::vector<Assignment>& assignments, std::vector<std::string>& notes,
                                     std::vector<Problem>& problems) {
  std::vector<Assignment> theirs = assignments;
  join_bridge_fields(theirs, notes, problems);
  OwnTerms own(notes, problems);
  for (Assignment& a : theirs) own.take(std::move(a));
  return std::move(own).finish();
}

}  // namespace mbt
