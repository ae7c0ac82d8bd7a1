#include "core/config/upstream_names.h"

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

constexpr Switch kSwitches[] = {
    {"no_fp8_wgrad", "mixed_precision", "fp8_wgrad", false},
    {"grad_reduce_in_bf16", "mixed_precision", "grad_reduce_in_fp32", false},
    {"accumulate_allreduce_grads_in_fp32", "mixed_precision", "grad_reduce_in_fp32", true},
};

}  // namespace

std::span<const Switch> switches() { return kSwitches; }

const Switch* find_switch(std::string_view flag) {
  for (const Switch& s : kSwitches)
    if (underscored(flag) == s.flag) return &s;
  return nullptr;
}

std::vector<Assignment> in_own_fields(const Assignment& assignment) {
  if (underscored(assignment.section) != "dataset" || underscored(assignment.field) != kBlendPerSplit) return {assignment};
  using nlohmann::json;
  const json lists = assignment.is_text() ? parse_json_or_discard(assignment.value->get_ref<const std::string&>()) : *assignment.value;
  if (lists.is_null()) return {};
  if (!lists.is_array() || lists.size() != 3) return {assignment};
  std::vector<Assignment> own;
  const char* const fields[] = {"train_data_path", "valid_data_path", "test_data_path"};
  for (size_t i = 0; i < 3; ++i)
    if (!lists[i].is_null())
      own.push_back({assignment.section, fields[i], assignment.is_text() ? json(json_text(lists[i])) : lists[i], assignment.origin});
  return own;
}

}  // namespace mbt
