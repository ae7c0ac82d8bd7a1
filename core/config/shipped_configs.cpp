#include "core/config/shipped_configs.h"

#include <utility>

namespace mbt {

extern const std::vector<std::pair<const char*, const char*>> embedded_configs;

const char* shipped_config(std::string_view name) {
  for (const auto& [known, text] : embedded_configs)
    if (name == known) return text;
  return nullptr;
}

std::vector<std::string> shipped_config_names() {
  std::vector<std::string> names;
  for (const auto& [name, unused] : embedded_configs) names.emplace_back(name);
  return names;
}

}  // namespace mbt
