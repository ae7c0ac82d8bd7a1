// The fields of a RunConfig by name: one list, type-erased, from which JSON, command line, --help, the schema, the reference and
// comparisons are made without further templates.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/fields.h"
#include "core/config/run_config.h"

namespace mbt {

enum class FieldType { boolean, integer, number, string, integer_list, string_list };

/// One field of one RunConfig, which must outlive it.
struct Field {
  using Pointer = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*, std::vector<std::string>*,
                               std::optional<bool>*, std::optional<int64_t>*, std::optional<double>*, std::optional<std::string>*>;
  std::string section;
  FieldInfo info;
  Pointer pointer;

  std::string path() const { return section + "." + info.name; }
  FieldType type() const;
  bool is_optional() const;
  /// "integer >= 1, or null", "one of e4m3, hybrid": what set() accepts.
  std::string expected() const;

  nlohmann::json get() const;
  /// Sets the field from a JSON value of its type (an integer is also a number) within its range and choices; null only when optional.
  /// Returns what is wrong, leaving the field as it is, or nothing.
  [[nodiscard]] std::optional<std::string> set(const nlohmann::json& value);
  /// The same from text as typed on a command line: true/false/1/0, "null" or "none", lists as [1,2] or 1,2, of text also
  /// with blanks between the items.
  [[nodiscard]] std::optional<std::string> set_text(std::string_view text);
};

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

struct SectionInfo {
  const char* name;
  const char* doc;
};
/// The sections in the order they are shown.
const std::vector<SectionInfo>& config_sections();

/// The whole config, one object a section, fields in their order. Reading it back gives an equal config.
nlohmann::ordered_json to_json(const RunConfig& config);

struct FieldDifference {
  std::string path;  ///< "section.field"
  nlohmann::json left;
  nlohmann::json right;
};
/// The fields whose values differ, in the order of the sections.
std::vector<FieldDifference> difference(const RunConfig& left, const RunConfig& right);

}  // namespace mbt
