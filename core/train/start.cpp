#include "core/train/start.h"

#include "core/base/error.h"
#include "core/data/loader.h"
#include "core/train/checkpoint/checkpoint.h"
#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace {

/// A plan is often made where the data is not.
std::unique_ptr<Dataset> open_data(const RunConfig& config, DataWork work) {
  const DatasetConfig& d = config.dataset;
  const bool names_data = !d.path.empty() || !d.blend.empty() || d.is_per_split();
  if (work == DataWork::all || !names_data) return make_dataset(config, work);
  try {
    return make_dataset(config, work);
  } catch (const InputError& e) {
    throw InputError(fmt::format(
        "{}\nThe run would be refused too. To plan without the data, leave its paths out, or set them aside with {}", e.what(),
        d.is_per_split()  ? "dataset.train_data_path=[] dataset.valid_data_path=[] dataset.test_data_path=[] dataset.kind=synthetic"
        : d.blend.empty() ? "dataset.path= dataset.kind=synthetic"
                          : "dataset.blend=[] dataset.kind=synthetic"));
  }
}

void check_samples(const RunConfig& config, const Dataset& dataset) {
  const std::string nothing = nothing_to_evaluate(config, dataset);
  if (!nothing.empty()) throw InputError(nothing);
  if (!config.validation.skip_train)
    static_cast<void>(BatchLoader(dataset, Split::train, config.train.micro_batch_size, data_seed(config.dataset, config.rng.seed)));
}

}  // namespace

std::string nothing_to_evaluate(const RunConfig& config, const Dataset& dataset) {
  if (!config.validation.skip_train || dataset.num_samples(Split::valid) > 0 || dataset.num_samples(Split::test) > 0) return "";
  return "validation.skip_train is true, but the validation and test splits have no sample: nothing is left to do. Give dataset.split a "
         "share for validation";
}

std::unique_ptr<Dataset> check_start(const RunConfig& config, DataWork work) {
  const CheckpointConfig& c = config.checkpoint;
  refuse_filled_folder(c);
  if (const std::optional<FoundCheckpoint> found = find_start(c)) check_loadable(CheckpointReader(found->path, c.verify_integrity), config);
  std::unique_ptr<Dataset> dataset = open_data(config, work);
  check_samples(config, *dataset);
  return dataset;
}

}  // namespace mbt
