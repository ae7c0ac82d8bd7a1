#include "core/train/memory_check.h"

#include <algorithm>
#include <iomanip>
#include <optional>

#include "core/base/strings.h"
#include "core/recipe/finalize.h"
#include "core/recipe/library.h"
#include "core/recipe/synchronise.h"
#include "core/train/plan_memory.h"

namespace mbt {
namespace {

constexpr int64_t kKernelBytes = int64_t{128} << 20;  // estimated: CUDA loads kernels when they are first called

std::string readable(int64_t bytes) {
  std::ostringstream out;
  const bool is_large = bytes >= int64_t{1} << 30;
  out << std::fixed << std::setprecision(2) << static_cast<double>(bytes) / (1 << (is_large ? 30 : 20)) << (is_large ? " GiB" : " MiB");
  return out.str();
}

/// What lies on the device.
std::vector<MemoryItem> items_of(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend, bool is_gpu) {
  std::vector<MemoryItem> items = plan_memory(config, policy, queries_of(backend), !config.validation.skip_train);
  if (is_gpu) items.back() = {"kernels", kKernelBytes, "code and libraries that load when they are first called, estimated"};
  return items;
}

std::string table_of(const std::vector<MemoryItem>& items) {
  std::ostringstream out;
  const auto row = [&](const MemoryItem& item) {
    const int width = item.what.empty() ? 0 : 18;  // no blanks at the end of a line
    out << "\n  " << std::setw(12) << readable(item.bytes) << "  " << std::left << std::setw(width) << item.category << std::right << item.what;
  };
  for (const MemoryItem& item : items)
    if (item.bytes > 0) row(item);
  row({"total", total_bytes(items), ""});
  return out.str();
}

/// Looks for settings under which a run fits.
class Advisor {
 public:
  Advisor(const RunConfig& config, const Backend& backend, AvailableMemory memory)
      : config_(config), backend_(backend), memory_(memory) {}

  std::string advice() const {
    RunConfig c = config_;
    const int64_t global = c.train.global_batch_size;
    for (int64_t m = c.train.micro_batch_size; m >= 1; --m) {  // memory grows with it; those that divide the global batch are few
      c.train.micro_batch_size = m;
      if (global % m == 0 && fits(c)) return text("The largest train.micro_batch_size that fits is ", m, ".");
    }
    return text("No train.micro_batch_size fits, not even 1", advice_for_one(c));
  }

 private:
  bool fits(const RunConfig& c) const {
    const PrecisionPolicy policy = make_policy(c.model, c.ddp);
    if (!takes_sizes(c, policy)) return false;
    return static_cast<size_t>(total_bytes(items_of(c, policy, backend_, memory_.is_limit))) <= memory_.bytes;
  }

  bool takes_sizes(const RunConfig& c, const PrecisionPolicy& policy) const {
    try {
      require_sizes(c, policy, queries_of(backend_));
    } catch (const InputError&) {
      return false;
    }
    return true;
  }

  std::string advice_for_one(RunConfig c) const {
    for (const char* granularity : {"selective", "full"}) {
      c.model.recompute_granularity = granularity;
      c.model.recompute_method = "uniform";
      c.model.recompute_num_layers.reset();
      if (fits(c)) return text("; with model.recompute_granularity=", granularity, " 1 does.");
    }
    const std::vector<std::string> recipes = recipes_that_fit(c);
    if (!recipes.empty()) return text("; with model.recompute_granularity=full it does under ", join(recipes, ", "), ".");
    return ". No recompute and no built-in recipe makes it fit: take a smaller model, a shorter model.seq_length or a device with more memory.";
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
      static_cast<void>(synchronise(c, origins, problems));
      if (problems.empty() && fits(c)) names.push_back(recipe.name);
    }
    return names;
  }

  const RunConfig& config_;
  const Backend& backend_;
  AvailableMemory memory_;
};

std::string owners_of(const std::vector<MemoryItem>& items, const Backend& backend) {
  return text("Memory that this run needs on ", backend.name(), ":", table_of(items));
}

}  // namespace

std::string memory_owners(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend) {
  const std::optional<AvailableMemory> memory = backend.available_memory();
  return owners_of(items_of(config, policy, backend, memory && memory->is_limit), backend);
}

MemoryCheck check_memory(const RunConfig& config, const PrecisionPolicy& policy, const Backend& backend) {
  const std::optional<AvailableMemory> memory = backend.available_memory();
  const std::vector<MemoryItem> items = items_of(config, policy, backend, memory && memory->is_limit);
  MemoryCheck result;
  result.owners = owners_of(items, backend);
  for (const MemoryItem& item : items)
    if (item.category == "device_scratch") result.scratch_bytes = item.bytes;
  const int64_t wanted = total_bytes(items);
  if (!memory || static_cast<size_t>(wanted) <= memory->bytes) return result;
  const std::string what = text("memory: the run needs ", readable(wanted), ", ", backend.name(), " has ",
                                readable(static_cast<int64_t>(memory->bytes)), " free.\n", result.owners, "\n",
                                Advisor(config, backend, *memory).advice());
  if (memory->is_limit) throw InputError(what);
  result.warning = text(what, " It starts all the same: pages come when they are touched, and others may give theirs back; but it may end "
                              "without memory, or swap.");
  return result;
}

}  // namespace mbt
