#include "core/config/origin.h"

namespace mbt {

std::string to_string(const Origin& origin) {
  const char* kind = "";
  switch (origin.kind) {
    case Origin::Kind::default_value: kind = "default"; break;
    case Origin::Kind::config_file: kind = "config file"; break;
    case Origin::Kind::command_line: kind = "command line"; break;
    case Origin::Kind::recipe: kind = "recipe"; break;
    case Origin::Kind::synchronized: kind = "synchronized"; break;
    case Origin::Kind::derived: kind = "derived"; break;
    case Origin::Kind::hf_config: kind = "hf config"; break;
    case Origin::Kind::resolved: kind = "resolved in"; break;
    case Origin::Kind::checkpoint: kind = "checkpoint"; break;
  }
  return origin.text.empty() ? kind : std::string(kind) + " " + origin.text;
}

Origin origin_of(const Origins& origins, const std::string& path) {
  const auto found = origins.find(path);
  return found == origins.end() ? Origin{} : found->second;
}

}  // namespace mbt
