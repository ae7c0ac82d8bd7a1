// One object of a tokenizer.json. Members that are never read are rejected.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace mbt {

class JsonFields {
 public:
  /// `where`: the file and the path within, "tokenizer.json: model". InputError when `value` is not an object.
  JsonFields(const nlohmann::json& value, std::string where);

  /// The member; nullptr when it is absent or null.
  const nlohmann::json* find(const std::string& key);
  bool flag(const std::string& key, bool otherwise);
  /// The text; `otherwise` when absent or null.
  std::string string(const std::string& key, const std::string& otherwise);
  std::string string(const std::string& key);
  int64_t integer(const std::string& key);
  const nlohmann::json& array(const std::string& key);
  const nlohmann::json& object(const std::string& key);
  /// The member "type".
  std::string type() { return string("type"); }
  /// Marks a member as known: it has no effect on the tokens.
  void ignore(const std::string& key) { known_.insert(key); }
  /// Call it after all reading. Throws InputError for a member that was never read and is not null.
  void refuse_others() const;

  [[noreturn]] void refuse(const std::string& key, const std::string& what) const;
  std::string where(const std::string& key) const;

 private:
  const nlohmann::json& need(const std::string& key);
  const nlohmann::json& value_;
  std::string where_;
  std::set<std::string> known_;
};

/// A value as messages show it: at most 60 bytes of its JSON.
std::string shown_json(const nlohmann::json& value);

}  // namespace mbt
