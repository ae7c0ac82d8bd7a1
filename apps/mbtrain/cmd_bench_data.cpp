// mbtrain bench data: how fast the loader reads, beside what training consumes.
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/mbtrain/cmd_bench.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/json_text.h"
#include "core/data/loader.h"
#include "core/data/make_dataset.h"
#include "core/train/resolve_loading.h"

namespace mbt {

int bench_data(const std::vector<std::string>& args) {
  VerbOptions options("Time the data of a run: making the dataset (index, cache) and reading batches on one thread", "mbtrain bench data");
  double seconds = 3;
  bool as_json = false;
  options.add_option("--seconds", seconds, "How long to read").range(0.1, 3600.0);
  options.add_flag("--json", as_json, "Print JSON");
  const ConfigInput input = options.parse_with_config(args);
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); };
  const RunConfig config = resolve_loading(input, 1).config;
  const auto begin = Clock::now();
  const std::unique_ptr<Dataset> data = make_dataset(config);
  const double made = since(begin);
  const BatchLoader loader(*data, Split::train, config.train.micro_batch_size, data_seed(config.dataset, config.rng.seed));
  int64_t samples = 0;
  const auto reading = Clock::now();
  for (; since(reading) < seconds; samples += config.train.micro_batch_size) static_cast<void>(loader.get(samples));
  const double read = since(reading), rate = static_cast<double>(samples * data->seq_length()) / read;
  if (as_json) {
    std::printf("%s\n", json_text(nlohmann::ordered_json{{"data", data->describe()},
                                                         {"seconds_to_make", made},
                                                         {"samples", samples},
                                                         {"seconds", read},
                                                         {"tokens_per_second", rate}},
                                  {.indent = 2})
                            .c_str());
  } else {
    std::printf("%s\nmade in %.3f s; %lld samples read in %.2f s: %.2f M tokens a second on one thread\n", data->describe().c_str(), made,
                static_cast<long long>(samples), read, rate * 1e-6);
  }
  return 0;
}

}  // namespace mbt
