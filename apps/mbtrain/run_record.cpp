#include "apps/mbtrain/run_record.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/log.h"
#include "apps/mbtrain/program.h"
#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/comm/gather.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/data/data_files.h"
#include "core/io/files.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using RunJson = nlohmann::ordered_json;

constexpr size_t kMostDataFiles = 1000;  // that are named; hashing the heads of more would take minutes

constexpr JsonStyle kRunJsonStyle{.indent = 2, .is_ascii = false, .replaces_invalid = true};  // arguments may be any bytes

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

RunJson data_file_list(const DatasetConfig& config) {
  const std::vector<std::string> files = data_files(config);
  RunJson list = RunJson::array();
  for (size_t i = 0; i < std::min(files.size(), kMostDataFiles); ++i) {
    const DataFileFacts f = data_file_facts(files[i]);
    list.push_back(f.problem.empty() ? RunJson{{"path", f.path}, {"bytes", f.bytes}, {"head_xxh64", hash_text(f.head_hash)}}
                                     : RunJson{{"path", f.path}, {"problem", f.problem}});
  }
  if (files.size() > kMostDataFiles) list.push_back({{"and_more_files", files.size() - kMostDataFiles}});
  return list;
}

/// What is there under a name that is free stays there.
std::string put_aside(const std::string& path) {
  std::string name = path + ".unreadable";
  for (int i = 2; fs::exists(name); ++i) name = fmt::format("{}.unreadable-{}", path, i);
  fs::rename(path, name);
  return name;
}

/// The records of earlier runs in the file, the newest last.
RunJson earlier_records(const std::string& path) {
  RunJson earlier = RunJson::array();
  std::error_code none;
  if (!fs::exists(path, none)) return earlier;
  RunJson last;
  try {
    last = parse_ordered_json(read_text_file(path));
  } catch (const std::exception&) {  // no JSON
  }
  if (!last.is_object()) {
    log_warning(fmt::format("{} cannot be read as the record of a run; it is kept as {}", path, put_aside(path)));
    return earlier;
  }
  if (last.contains("earlier") && last["earlier"].is_array()) earlier = last["earlier"];
  last.erase("earlier");
  earlier.push_back(std::move(last));
  return earlier;
}

TextWithHole with_hole(const std::string& text) {
  const std::string hole = no_end_members();  // unescaped quotes: no string in the file can hold it
  const size_t at = text.find(hole);
  MBT_CHECK(at != text.npos, "run.json has no place for its end");
  return {text.substr(0, at), text.substr(at + hole.size())};
}

std::string reason_text(const std::string& reason) { return json_text(nlohmann::json(reason), {.replaces_invalid = true}); }

RunJson setting(const nlohmann::json& value, const Origin& origin) { return {{"value", value}, {"origin", to_string(origin)}}; }

}  // namespace

std::vector<std::string> devices_of_ranks(World& world, const Backend& backend) {
  RunJson mine = {{"rank", world.rank()}, {"host", host_name()}, {"device", backend.name()}};
  agree(world, [&] {
    for (const auto& [what, value] : backend.facts()) mine[what] = value;
  });
  return gather_texts(world, json_text(mine, {.replaces_invalid = true}));
}

nlohmann::ordered_json user_settings(const ConfigInput& input, const ResolvedRun& run) {
  RunConfig config = run.config;  // a table is bound to a config that it may change
  const FieldTable table(config);
  RunJson all = RunJson::object();
  if (input.recipe) all["mixed_precision"] = setting(*input.recipe, input.recipe_origin);
  if (input.inline_recipe) all["mixed_precision"] = setting(**input.inline_recipe, input.recipe_origin);
  for (const BaseChoice& base : input.bases) all[base.type()] = setting(true, base.origin);
  for (const char* recipe : {"mixed_precision", "fp16", "bf16"})
    if (all.contains(recipe)) all[recipe]["resolved"] = config.mixed_precision.name;
  for (const Assignment& a : input.assignments) {  // the later ones win
    RunJson& s = all[underscored(a.section) + "." + underscored(a.field)] = setting(*a.value, a.origin);
    if (const Field* field = table.find(a.section, a.field)) s["resolved"] = field->get();
  }
  return all;
}

RunRecord::RunRecord(const std::string& folder, const ConfigInput& input, const ResolvedRun& run, const std::vector<std::string>& devices)
    : path_((fs::path(folder) / "run.json").string()), started_(utc_text(::time(nullptr))) {
  RunJson ranks = RunJson::array();
  for (const std::string& device : devices) ranks.push_back(parse_ordered_json(device));
  RunJson record = {{"version", program_version()},
                    {"commit", program_commit()},
                    {"argv", command_line()},
                    {"folder", fs::current_path().string()},
                    {"host", host_name()},
                    {"process", ::getpid()},
                    {"started", started_},
                    {"ended", nullptr},
                    {"exit_code", nullptr},
                    {"ended_by", nullptr},
                    {"ranks", devices.size()},
                    {"devices", std::move(ranks)},
                    {"recipe", run.config.mixed_precision.name},
                    {"user_settings", user_settings(input, run)},
                    {"data_files", data_file_list(run.config.dataset)},
                    {"config", to_json(run.config)},
                    {"earlier", earlier_records(path_)}};
  text_ = with_hole(json_text(record, kRunJsonStyle) + "\n");
  write_file_atomically(path_, text_.before + no_end_members() + text_.after);
  inode_ = inode_of(path_.c_str());
  signals_.emplace(path_, text_);
}

void RunRecord::complete(int exit_code, const std::string& ended_by) noexcept try {
  const std::lock_guard lock(mutex_);
  if (is_complete_) return;
  is_complete_ = true;
  if (inode_of(path_.c_str()) == inode_)
    write_file_atomically(path_, text_.before + end_members(utc_text(::time(nullptr)), exit_code, reason_text(ended_by)) + text_.after);
  signals_.reset();
} catch (const std::exception& e) {
  log_warning(fmt::format("the end of the run is not in its record: {}", e.what()));
}

void complete_record_of_first_rank(const std::string& folder, int exit_code, const std::string& ended_by) noexcept try {
  const std::string path = (fs::path(folder) / "run.json").string();
  if (!fs::exists(path)) return;
  const TextWithHole text = with_hole(read_text_file(path));
  write_file_atomically(path, text.before + end_members(utc_text(::time(nullptr)), exit_code, reason_text(ended_by)) + text.after);
} catch (const std::exception&) {  // it is complete, or of another run: the message on stderr is all there is to say
}

}  // namespace mbt
