#include "core/data/dataset.h"

namespace mbt {

std::string_view name_of(Split split) {
  constexpr std::array<std::string_view, 3> names{"training", "validation", "test"};
  return names[static_cast<size_t>(split)];
}

}  // namespace mbt
