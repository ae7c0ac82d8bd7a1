#include "core/recipe/synchronize.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/config/field_table.h"

namespace mbt {
namespace {

class Synchronizer {
 public:
  Synchronizer(RunConfig& config, Origins& origins) : table_(config), origins_(origins) {}

  void copy_precision() {
    for (const char* section : {"model", "optimizer", "ddp"})
      for (const Field& from : table_.all())
        if (from.section == "mixed_precision")
          if (Field* to = table_.find(section, from.info.name)) copy(from, *to);
  }

  void equalize(const char* name, std::vector<Problem>& problems) {
    Field& ddp = *table_.find("ddp", name);
    Field& optimizer = *table_.find("optimizer", name);
    if (ddp.get() == optimizer.get()) return;
    const bool ddp_given = was_given(origin_of(origins_, ddp.path()));
    const bool optimizer_given = was_given(origin_of(origins_, optimizer.path()));
    if (ddp_given && optimizer_given) {
      problems.push_back({ddp.path(), fmt::format("is {} ({}) and {} is {} ({}); they are one setting, give one of them or both alike",
                                                  json_text(ddp.get()), to_string(origin_of(origins_, ddp.path())), optimizer.path(),
                                                  json_text(optimizer.get()), to_string(origin_of(origins_, optimizer.path())))});
      return;
    }
    if (ddp_given) copy(ddp, optimizer);
    else copy(optimizer, ddp);
  }

  std::vector<Overwrite> take() { return std::move(overwrites_); }

 private:
  void copy(const Field& from, Field& to) {
    const nlohmann::json old_value = to.get(), new_value = from.get();
    if (old_value != new_value) {
      const auto wrong = to.set(new_value);
      MBT_CHECK(!wrong, "{} to {}: {}", from.path(), to.path(), wrong.value_or(""));
      overwrites_.push_back({to.section, to.info.name, old_value, new_value, origin_of(origins_, to.path()), from.path()});
    }
    origins_[to.path()] = {Origin::Kind::synchronized, from.path()};
  }

  FieldTable table_;
  Origins& origins_;
  std::vector<Overwrite> overwrites_;
};

}  // namespace

std::vector<Overwrite> synchronize(RunConfig& config, Origins& origins, std::vector<Problem>& problems) {
  Synchronizer s(config, origins);
  s.copy_precision();
  s.equalize("use_distributed_optimizer", problems);
  s.equalize("overlap_param_gather", problems);
  return s.take();
}

}  // namespace mbt
