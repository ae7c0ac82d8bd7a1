// What happens to a text before it is split: the section "normalizer" of a tokenizer.json.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

class Normalizer {
 public:
  Normalizer() = default;
  /// InputError: a normalizer that is not there (the message names those that are), or one of Unicode's forms in a build without utf8proc.
  Normalizer(const nlohmann::json& section, const std::string& where);

  bool is_empty() const { return steps_.empty(); }
  /// Text must be UTF-8; so is the result.
  std::string apply(std::string_view text) const;

 private:
  void add(const nlohmann::json& section, const std::string& where);
  std::vector<std::function<std::string(std::string_view)>> steps_;
};

}  // namespace mbt
