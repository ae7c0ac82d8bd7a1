#include "core/hf/hf_rope.h"

#include <utility>

#include "core/base/error.h"

namespace mbt {
namespace {

using nlohmann::json;

constexpr int64_t kMostPositions = int64_t{1} << 30;

class RopeReader {
 public:
  explicit RopeReader(const HfConfig& config) : hf_(config) {}

  std::vector<Assignment> run() {
    std::vector<std::string> objects;
    for (const char* object : {"/rope_scaling", "/rope_parameters"})
      if (hf_.has(object) && hf_.at(object) != json::object()) objects.emplace_back(object);
    for (const std::string& object : objects) check_rope_object(object);
    if (objects.size() == 2) compare_rope_objects(objects[0], objects[1]);
    const std::string object = objects.empty() ? "/rope_parameters" : objects.front();
    rope_base(object);
    set("rotary_percent", 1.0, "/model_type");
    const std::string kind = rope_kind(object);
    const bool is_scaled = hf_.string_or(kind, "default") == "llama3";
    set("rope_scaling", is_scaled, hf_.has(kind) ? kind : object);
    if (is_scaled) llama3_scaling(object);
    return std::move(assignments_);
  }

 private:
  void set(const char* field, json value, const std::string& pointer) {
    assignments_.push_back(hf_.assignment(field, std::move(value), pointer));
  }

  std::string rope_kind(const std::string& object) const {
    return hf_.has(object + "/rope_type") ? object + "/rope_type" : object + "/type";
  }

  void check_rope_object(const std::string& object) const {
    if (!hf_.at(object).is_object()) hf_.refuse(object, "expected an object");
    for (const auto& [key, value] : hf_.at(object).items()) {
      if (value.is_object())
        hf_.refuse(fmt::format("{}/{}", object, json_pointer_member(key)), "RoPE that differs between layers is not implemented");
    }
    const std::string kind = rope_kind(object), partial = object + "/partial_rotary_factor";
    if (object == "/rope_scaling" && !hf_.has(kind)) hf_.refuse(object, "has no rope_type");
    const std::string type = hf_.string_or(kind, "default");
    if (type != "default" && type != "llama3") hf_.refuse(kind, "this kind of RoPE is not implemented; known are default and llama3");
    if (hf_.has(partial) && hf_.number(partial) != 1) hf_.refuse(partial, "not implemented, and it would change the result");
  }

  /// rope_theta apart, which also has a place of its own.
  void compare_rope_objects(const std::string& a, const std::string& b) const {
    const auto settings = [&](const std::string& object) {
      json s = json::object();
      for (const auto& [key, value] : hf_.at(object).items())
        if (!value.is_null() && key != "rope_theta" && key != "type") s[key] = value;
      s["rope_type"] = hf_.string_or(rope_kind(object), "default");
      return s;
    };
    if (settings(a) != settings(b)) hf_.refuse(a, fmt::format("contradicts {}", b.substr(1)));
  }

  void rope_base(const std::string& object) {
    constexpr double kDefault = 10000.0, kLargest = 1e15;
    const std::string nested = object + "/rope_theta", theta = hf_.has(nested) ? nested : "/rope_theta";
    const double base = hf_.has(theta) ? hf_.number_within(theta, 1, kLargest) : kDefault;
    for (const char* place : {"/rope_theta", "/rope_scaling/rope_theta", "/rope_parameters/rope_theta"}) {
      if (!hf_.has(place) || hf_.number(place) == base) continue;
      if (hf_.has(theta)) hf_.refuse(place, fmt::format("contradicts {}", theta == nested ? object.substr(1) : theta.substr(1)));
      hf_.refuse(place,
                 fmt::format("transformers does not read it beside rope_scaling, and takes {}; put it into rope_scaling too", kDefault));
    }
    set("rotary_base", base, theta);
  }

  void llama3_scaling(const std::string& object) {
    constexpr double kLargest = 1e6;
    const std::string low = object + "/low_freq_factor", high = object + "/high_freq_factor", factor = object + "/factor";
    set("rope_scaling_factor", hf_.number_within(factor, 1, kLargest), factor);
    if (hf_.number_within(low, 0, kLargest) == 0) hf_.refuse(low, "expected a number above 0");
    if (hf_.number_within(high, 0, kLargest) <= hf_.number(low))
      hf_.refuse(high, fmt::format("expected a number above low_freq_factor, which is {}", hf_.number(low)));
    set("rope_low_freq_factor", hf_.number(low), low);
    set("rope_high_freq_factor", hf_.number(high), high);
    const std::string outer = "/original_max_position_embeddings", inner = object + outer;
    if (hf_.has(outer) && hf_.has(inner) && hf_.at(outer) != hf_.at(inner))
      hf_.refuse(outer, fmt::format("contradicts {}", object.substr(1)));
    const std::string& original = hf_.has(outer) && !hf_.has(inner) ? outer : inner;
    if (hf_.integer(original) < 1 || hf_.integer(original) > kMostPositions)
      hf_.refuse(original, fmt::format("expected an integer from 1 to {}", kMostPositions));
    set("rope_original_max_position_embeddings", hf_.integer(original), original);
  }

  const HfConfig& hf_;
  std::vector<Assignment> assignments_;
};

}  // namespace

std::vector<Assignment> rope_assignments(const HfConfig& config) { return RopeReader(config).run(); }

}  // namespace mbt
