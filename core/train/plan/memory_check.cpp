#include "core/train/plan/memory_check.h"

#include <algorithm>
#include <iomanip>
#include <optional>

#include "core/base/strings.h"
#include "core/recipe/finalize.h"
#include "core/recipe/library.h"
#include "core/recipe/synchronize.h"
#include "core/train/plan/plan_memory.h"

namespace mbt {
namespace {

std::string readable(int64_t bytes) {
  std::ostringstream out;
  const bool is_large = bytes >= int64_t{1} << 30;
  out << std::fixed << std::setprecision(2) << static_cast<double>(bytes) / (1 << (is_large ? 30 : 20)) << (is_large ? " GiB" : " MiB");
  return out.str();
}

std::vector<MemoryItem> items_of(const RunConfig& config, const PrecisionPolicy& policy, const DeviceQueries& device, int ranks) {
  return plan_memory(config, policy, device, ranks, !config.validation.skip_train);
}

std::string table_of(const std::vector<MemoryItem>& items) {
  std::ostringstream out;
  const auto row = [&](const MemoryItem& item) {
    const int width = item.what.empty() ? 0 : 18;  // no blanks at the end of a line
    out << "\n  " << std::setw(12) << readable(item.bytes) << "  " << std::left << std::setw(width) << item.category << std::right
        << item.what;
  };
  for (const MemoryItem& item : items)
    if (item.bytes > 0) row(item);
  row({"total", total_bytes(items), ""});
  return out.str();
}

/// Looks for settings under which a run fits.
class Advisor {
 public:
  /// device.memory is known.
  Advisor(const RunConfig& config, const DeviceQueries& device, int ranks) : config_(config), device_(device), ranks_(ranks) {}

  std::string advice() const {
    RunConfig c = config_;
    const int64_t global = c.train.global_batch_size;
    for (int64_t m = c.train.micro_batch_size; m >= 1; --m) {  // memory grows with it; those that divide the global batch are few
      c.train.micro_batch_size = m;
      if (global % (m * ranks_) == 0 && fits(c)) return fmt::format("The largest train.micro_batch_size that fits is {}.", m);
    }
    return fmt::format("No train.micro_batch_size fits, not even 1{}", advice_for_one(c));
  }

 private:
  bool fits(const RunConfig& c) const {
    const PrecisionPolicy policy = make_policy(c.model, c.ddp);
    if (!takes_sizes(c, policy)) return false;
    return static_cast<size_t>(total_bytes(items_of(c, policy, device_, ranks_))) <= device_.memory->bytes;
  }

  bool takes_sizes(const RunConfig& c, const PrecisionPolicy& policy) const {
    try {
      require_sizes(c, policy, device_);
    } catch (const InputError&) {
      return false;
    }
    return true;
  }

  std::string advice_for_one(RunConfig c) const {
    for (const RecomputeGranularity granularity : {RecomputeGranularity::selective, RecomputeGranularity::full}) {
      c.model.recompute_granularity = granularity;
      c.model.recompute_method = RecomputeMethod::uniform;
      c.model.recompute_num_layers.reset();
      if (fits(c)) return fmt::format("; with model.recompute_granularity={} 1 does.", name_of(granularity));
    }
    std::vector<std::string> ways;
    RunConfig short_moments = c;
    short_moments.optimizer.use_precision_aware_optimizer = true;
    short_moments.optimizer.exp_avg_dtype = short_moments.optimizer.exp_avg_sq_dtype = MomentDtype::bf16;
    if (fits(short_moments)) ways.emplace_back(fmt::format("with Adam's moments in bf16 ({})", kShortMoments));
    if (const std::string recipes = join(recipes_that_fit(c), ", "); !recipes.empty()) ways.push_back("under " + recipes);
    if (ways.empty())
      if (const std::string recipes = join(recipes_that_fit(short_moments), ", "); !recipes.empty())
        ways.push_back(fmt::format("with Adam's moments in bf16 ({}) under {}", kShortMoments, recipes));
    if (!ways.empty()) return fmt::format("; with model.recompute_granularity=full it does {}.", join(ways, ", or "));
    return ". No recompute, no bf16 moments and no built-in recipe make it fit: take a smaller model, a shorter model.seq_length or a "
           "device "
           "with more memory.";
  }

  std::vector<std::string> recipes_that_fit(const RunConfig& config) const {
    std::vector<std::string> names;
    const RecipeLibrary library = RecipeLibrary::load();
    for (const Recipe& recipe : library.all()) {
      RunConfig c = config;
      c.mixed_precision = recipe.config;
      finalize(c.mixed_precision);
      Origins origins;
      std::vector<Problem> problems;
      static_cast<void>(synchronize(c, origins, problems));
      if (problems.empty() && fits(c)) names.push_back(recipe.name);
    }
    return names;
  }

  static constexpr const char* kShortMoments = "--use-precision-aware-optimizer --exp-avg-dtype bf16 --exp-avg-sq-dtype bf16";

  const RunConfig& config_;
  const DeviceQueries& device_;
  int ranks_;
};

std::string owners_of(const std::vector<MemoryItem>& items, const DeviceQueries& device) {
  return fmt::format("Memory that this run needs on {}:{}", device.name, table_of(items));
}

}  // namespace

MemoryFit fit_memory(const RunConfig& config, const PrecisionPolicy& policy, const DeviceQueries& device, int ranks) {
  MemoryFit fit{.needed = total_bytes(items_of(config, policy, device, ranks)), .available = device.memory, .advice = {}};
  if (!fit.fits()) fit.advice = Advisor(config, device, ranks).advice();
  return fit;
}

std::string memory_owners(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, int ranks) {
  const DeviceQueries device = queries_of(backend);
  return owners_of(items_of(config, policy, device, ranks), device);
}

MemoryCheck check_memory(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, int ranks) {
  const DeviceQueries device = queries_of(backend);
  const std::vector<MemoryItem> items = items_of(config, policy, device, ranks);
  MemoryCheck result;
  result.owners = owners_of(items, device);
  for (const MemoryItem& item : items)
    if (item.category == "device_scratch") result.scratch_bytes = item.bytes;
  const MemoryFit fit = fit_memory(config, policy, device, ranks);
  if (fit.fits()) return result;
  const std::string what = fmt::format("memory: the run needs {}, {} has {} free.\n{}\n{}", readable(fit.needed), device.name,
                                       readable(static_cast<int64_t>(fit.available->bytes)), result.owners, fit.advice);
  if (fit.available->is_limit) throw InputError(what);
  result.warning = fmt::format(
      "{} It starts all the same: pages come when they are touched, and others may give theirs back; but it may end without memory, or "
      "swap.",
      what);
  return result;
}

}  // namespace mbt
