#include "core/config/field_table.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

template <class E>
void set_enum(void* member, std::optional<uint8_t> value) {
  *static_cast<E*>(member) = static_cast<E>(*value);
}
template <class E>
std::optional<uint8_t> get_enum(const void* member) {
  return static_cast<uint8_t>(*static_cast<const E*>(member));
}
template <class E>
void set_optional_enum(void* member, std::optional<uint8_t> value) {
  *static_cast<std::optional<E>*>(member) = value ? std::optional(static_cast<E>(*value)) : std::nullopt;
}
template <class E>
std::optional<uint8_t> get_optional_enum(const void* member) {
  const auto& e = *static_cast<const std::optional<E>*>(member);
  return e ? std::optional(static_cast<uint8_t>(*e)) : std::nullopt;
}

template <NamedEnum E>
constexpr std::span<const EnumName> accepted_names_of() {
  if constexpr (requires { EnumNames<E>::also; }) return EnumNames<E>::also;
  else return {};
}
template <NamedEnum E>
constexpr std::span<const EnumName> other_names_of() {
  if constexpr (requires { EnumNames<E>::others; }) return EnumNames<E>::others;
  else return {};
}

std::string with_dashes(const char* name) {
  std::string flag = name;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

/// Notes the fields of a section. It is called once per field: what it does stands in functions that are not templates of the section.
class Collector {
 public:
  Collector(const char* section, std::vector<Field>& fields) : section_(section), fields_(fields) {}

  template <class Member>
  void operator()(Member& member, const FieldInfo& info) const {
    add(&member, info);
  }
  template <NamedEnum E>
  void operator()(E& member, const FieldInfo& info) const {
    add(EnumMember{&member, false, EnumNames<E>::all, accepted_names_of<E>(), other_names_of<E>(), get_enum<E>, set_enum<E>}, info);
  }
  template <NamedEnum E>
  void operator()(std::optional<E>& member, const FieldInfo& info) const {
    add(EnumMember{&member, true, EnumNames<E>::all, accepted_names_of<E>(), other_names_of<E>(), get_optional_enum<E>,
                   set_optional_enum<E>},
        info);
  }

 private:
  void add(Field::Pointer pointer, const FieldInfo& info) const {
    fields_.push_back({section_, info, info.alias ? info.alias : with_dashes(info.name), pointer});
  }

  const char* section_;
  std::vector<Field>& fields_;
};

}  // namespace

FieldTable::FieldTable(RunConfig& config) {
  fields_.reserve(256);
  RunConfig::visit_sections(config, [&](const char* name, auto& section, const char*) {
    using Section = std::decay_t<decltype(section)>;
    Section::visit(section, Collector(name, fields_));
  });
  static const bool is_checked = (check_aliases(fields_), true);
  static_cast<void>(is_checked);
}

void check_aliases(const std::vector<Field>& fields) {
  std::map<std::string, std::string> owners;
  for (const Field& field : fields) {
    if (field.alias.empty()) continue;
    const auto [known, is_new] = owners.emplace(underscored(field.alias), field.path());
    MBT_CHECK(is_new, "--{} is the flag of {} and of {}: give one of them kNoAlias", field.alias, known->second, field.path());
  }
}

Field* FieldTable::find(std::string_view section, std::string_view name) & {
  const std::string wanted_section = underscored(section), wanted_name = underscored(name);
  for (Field& field : fields_)
    if (field.section == wanted_section && field.info.name == wanted_name) return &field;
  return nullptr;
}

const Field* FieldTable::find_alias(std::string_view alias) const& {
  const std::string wanted = underscored(alias);
  for (const Field& field : fields_)
    if (!field.alias.empty() && underscored(field.alias) == wanted) return &field;
  return nullptr;
}

const std::vector<SectionInfo>& config_sections() {
  static const std::vector<SectionInfo> sections = [] {
    std::vector<SectionInfo> all;
    const RunConfig config;
    RunConfig::visit_sections(config, [&](const char* name, const auto&, const char* doc) { all.push_back({name, doc}); });
    return all;
  }();
  return sections;
}

}  // namespace mbt
