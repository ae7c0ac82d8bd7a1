// The fields of a RunConfig by name: one list, type-erased, from which JSON, command line, --help, the schema, the reference and
// comparisons are made without further templates.
#pragma once

#include <string_view>
#include <vector>

#include "core/config/field.h"
#include "core/config/run_config.h"

namespace mbt {

/// All fields of `config`, in the order of the sections. Names match with '-' for '_'.
class FieldTable {
 public:
  explicit FieldTable(RunConfig& config);

  std::vector<Field>& all() & { return fields_; }
  const std::vector<Field>& all() const& { return fields_; }
  const std::vector<Field>& all() && = delete;  // fields of a temporary table would dangle, as in `for (... : FieldTable(c).all())`
  /// nullptr when there is no such field.
  Field* find(std::string_view section, std::string_view name) &;
  const Field* find(std::string_view section, std::string_view name) const& { return const_cast<FieldTable*>(this)->find(section, name); }
  const Field* find(std::string_view section, std::string_view name) && = delete;
  /// By Megatron's flag, without dashes in front: "micro-batch-size" or "micro_batch_size".
  const Field* find_alias(std::string_view alias) const&;
  const Field* find_alias(std::string_view alias) && = delete;

 private:
  std::vector<Field> fields_;
};

/// Throws Error when two fields have the same alias: neither may be chosen silently.
void check_aliases(const std::vector<Field>& fields);

struct SectionInfo {
  const char* name;
  const char* doc;
};
/// The sections in the order they are shown.
const std::vector<SectionInfo>& config_sections();

}  // namespace mbt
