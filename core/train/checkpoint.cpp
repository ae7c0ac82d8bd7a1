#include "core/train/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/json_reader.h"
#include "core/base/strings.h"
#include "core/config/assign.h"
#include "core/config/field_table.h"
#include "core/config/validate.h"
#include "core/io/files.h"
#include "core/io/safetensors.h"
#include "core/numerics/codecs.h"
#include "core/recipe/validate.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kTracker = "latest_checkpointed_iteration.txt";
constexpr const char* kTemporary = ".tmp-iter_";

std::string iteration_name(int64_t iteration) {
  char name[32];
  std::snprintf(name, sizeof name, "iter_%07lld", static_cast<long long>(iteration));
  return name;
}

/// A file of tensors in the dtypes that the device has them in: f32 or bf16.
class TensorWriter {
 public:
  explicit TensorWriter(Backend& backend) : backend_(backend) {}

  /// One tensor a parameter, from a flat buffer.
  void add_params(const Weights& weights, const TensorView& flat, const std::string& prefix) {
    for (int64_t i = 0; i < weights.num_params(); ++i) add(prefix + weights.spec(i).name, weights.part(flat, i));
  }
  void add(const std::string& name, const TensorView& t) {
    std::vector<int64_t> extents;
    for (int d = 0; d < t.shape.rank(); ++d) extents.push_back(t.shape[d]);
    values_.emplace_back(static_cast<size_t>(t.size_bytes()));
    backend_.download(t, values_.back().data());
    tensors_.push_back({name, t.dtype == DType::bf16 ? SafetensorsType::BF16 : SafetensorsType::F32, extents, values_.back().data()});
  }
  void write(const fs::path& path) const { write_safetensors(path.string(), tensors_, {{"format", "mbtrain"}}); }

 private:
  Backend& backend_;
  std::vector<std::vector<char>> values_;  // moving a vector keeps its elements in place
  std::vector<TensorToWrite> tensors_;
};

std::vector<float> read_checked(const SafetensorsFile& file, const std::string& name, const Shape& shape) {
  const SafetensorsEntry& e = file.at(name);
  std::vector<int64_t> want;
  for (int d = 0; d < shape.rank(); ++d) want.push_back(shape[d]);
  if (e.shape != want) {
    std::string have = "[";
    for (size_t d = 0; d < e.shape.size(); ++d) have += (d ? "," : "") + std::to_string(e.shape[d]);
    throw InputError(text(file.path(), ": tensor '", name, "' has shape ", have, "], this model's is ", shape.str(),
                          ". The checkpoint is of another model; its config is in run_config.json beside it"));
  }
  return file.read_f32(e);
}

/// Into an f32 or bf16 tensor, rounded to nearest even where that is narrower than the file's.
void upload_rounded(Backend& backend, const std::vector<float>& values, const TensorView& to) {
  if (to.dtype == DType::f32) return backend.upload(values.data(), to);
  std::vector<uint16_t> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), encode_bf16);
  backend.upload(rounded.data(), to);
}

json state_json(const TrainState& s, const LossScaler& scaler) {
  return {{"iteration", s.iteration},
          {"consumed_samples", s.consumed_samples},
          {"scheduler_samples", s.scheduler_samples},
          {"optimizer_updates", s.optimizer_updates},
          {"skipped_iterations", s.skipped_iterations},
          {"flops", s.flops},
          {"loss_scaler", {{"scale", scaler.scale}, {"growth_tracker", scaler.growth_tracker}, {"hysteresis_tracker", scaler.hysteresis_tracker}}}};
}

/// The iteration in the name of a checkpoint's folder; -1: it is none.
int64_t iteration_of(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  long long iteration = -1;
  return entry.is_directory() && std::sscanf(name.c_str(), "iter_%lld", &iteration) == 1 && name == iteration_name(iteration) ? iteration : -1;
}

void remove_old(const fs::path& folder, int64_t current, int64_t keep) {
  std::vector<std::pair<bool, int64_t>> found;  // those beyond `current` sort first
  for (const fs::directory_entry& e : fs::directory_iterator(folder)) {
    if (const int64_t iteration = iteration_of(e); iteration >= 0) found.emplace_back(iteration <= current, iteration);
  }
  std::sort(found.begin(), found.end());
  for (size_t i = 0; i + static_cast<size_t>(keep) < found.size(); ++i) fs::remove_all(folder / iteration_name(found[i].second));
}

/// An integer from 0 on, whatever the file says.
int64_t count_at(const json& object, const char* key) {
  const json& value = object.at(key);
  if (!value.is_number_integer() || value < 0) throw InputError(text("'", key, "' is ", value.dump(), ", expected an integer from 0 on"));
  return value.get<int64_t>();
}

TrainState state_from(const json& j, LossScaler& scaler) {
  TrainState s;
  s.iteration = count_at(j, "iteration");
  s.consumed_samples = count_at(j, "consumed_samples");
  s.scheduler_samples = count_at(j, "scheduler_samples");
  s.optimizer_updates = count_at(j, "optimizer_updates");
  s.skipped_iterations = count_at(j, "skipped_iterations");
  s.flops = j.at("flops");
  const json& l = j.at("loss_scaler");
  if (scaler.kind == LossScaling::constant) return s;  // a constant scale is the config's
  scaler.scale = l.at("scale");
  if (!(scaler.scale > 0) || !std::isfinite(scaler.scale)) throw InputError(text("'scale' is ", l.at("scale").dump(), ", expected a number above 0"));
  scaler.growth_tracker = count_at(l, "growth_tracker");
  scaler.hysteresis_tracker = l.at("hysteresis_tracker");
  return s;
}

/// A part of a checkpoint that other settings would not have written.
SafetensorsFile open_part(const fs::path& path, const char* hint) {
  if (!fs::exists(path)) throw InputError(text(path.string(), ": there is no such file. ", hint));
  return SafetensorsFile::open(path.string());
}

}  // namespace

void check_save_folder(const std::string& folder) {
  std::error_code error;
  const bool is_taken = fs::exists(folder, error) && !fs::is_directory(folder, error);
  if (!is_taken) fs::create_directories(folder, error);
  if (is_taken || error) {
    throw InputError(text("checkpoint.save: cannot create the folder ", folder, ": ", is_taken ? "something else has that name" : error.message()));
  }
  for (const fs::directory_entry& e : fs::directory_iterator(folder)) {
    if (e.path().filename().string().rfind(kTemporary, 0) == 0) fs::remove_all(e.path(), error);
  }
  write_file_atomically((fs::path(folder) / ".mbtrain-write-test").string(), "");
  fs::remove(fs::path(folder) / ".mbtrain-write-test", error);
}

std::string save_checkpoint(const std::string& folder, const RunConfig& config, Backend& backend, Weights& weights, const TrainState& state,
                            const LossScaler& scaler, bool with_optimizer, int64_t keep) {
  const fs::path target = fs::path(folder) / iteration_name(state.iteration), temporary = fs::path(folder) / (kTemporary + std::to_string(state.iteration));
  try {
    fs::remove_all(temporary);
    fs::create_directories(temporary);
    TensorWriter weights_file(backend);
    weights_file.add_params(weights, weights.master(), "");
    weights_file.write(temporary / "weights.safetensors");
    if (with_optimizer) {
      TensorWriter optimizer_file(backend);
      optimizer_file.add_params(weights, weights.exp_avg(), "exp_avg.");
      optimizer_file.add_params(weights, weights.exp_avg_sq(), "exp_avg_sq.");
      optimizer_file.write(temporary / "optimizer.safetensors");
    }
    if (const DelayedState& delayed = weights.delayed(); !delayed.empty()) {
      TensorWriter precision_file(backend);
      precision_file.add("amax_history", delayed.history());
      precision_file.add("scale", delayed.scale());
      precision_file.write(temporary / "precision.safetensors");
    }
    write_file_atomically((temporary / "train_state.json").string(), state_json(state, scaler).dump(2) + "\n");
    write_file_atomically((temporary / "run_config.json").string(), to_json(config).dump(2) + "\n");
    fs::remove_all(target);  // the same iteration saved again, after a rewind
    fs::rename(temporary, target);
    write_file_atomically((fs::path(folder) / kTracker).string(), std::to_string(state.iteration) + "\n");
    if (keep > 0) remove_old(folder, state.iteration, keep);
  } catch (const fs::filesystem_error& e) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw InputError(text("checkpoint.save: cannot write ", target.string(), ": ", e.code().message()));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  return target.string();
}

std::optional<std::string> find_checkpoint(const std::string& folder, std::optional<int64_t> step) {
  const fs::path base(folder);
  if (!fs::is_directory(base)) throw InputError(text("checkpoint.load: there is no folder ", folder));
  if (fs::exists(base / "train_state.json")) return folder;  // a checkpoint itself, not the folder of a run
  if (!step) {
    if (!fs::exists(base / kTracker)) return std::nullopt;
    const std::string content = read_text_file((base / kTracker).string(), 64);
    char* end = nullptr;
    errno = 0;
    const long long value = std::strtoll(content.c_str(), &end, 10);
    if (end == content.c_str() || errno != 0 || value < 0 || std::strspn(end, " \n\r\t") != std::strlen(end)) {
      throw InputError(text((base / kTracker).string(), ": expected the number of an iteration, found ", shown(content)));
    }
    step = value;
  }
  const fs::path path = base / iteration_name(*step);
  if (!fs::is_directory(path)) throw InputError(text("checkpoint.load: there is no checkpoint ", path.string()));
  return path.string();
}

void load_weights(const std::string& checkpoint, Weights& weights) {
  const SafetensorsFile file = SafetensorsFile::open((fs::path(checkpoint) / "weights.safetensors").string());
  for (const SafetensorsEntry& e : file.entries()) {
    if (weights.params().index_of(e.name) < 0) throw InputError(text(file.path(), ": tensor '", e.name, "' is none of this model's parameters"));
  }
  for (int64_t i = 0; i < weights.num_params(); ++i) weights.set_master(i, read_checked(file, weights.spec(i).name, weights.spec(i).shape));
}

void load_precision_state(const std::string& checkpoint, Backend& backend, Weights& weights) {
  const DelayedState& delayed = weights.delayed();
  if (delayed.empty()) return;
  const SafetensorsFile file = open_part(fs::path(checkpoint) / "precision.safetensors",
                                         "If it was saved by a recipe without delayed scaling, continue with that one, or set checkpoint.finetune=true; else the checkpoint is incomplete: load another");
  backend.upload(read_checked(file, "amax_history", delayed.history().shape).data(), delayed.history());
  backend.upload(read_checked(file, "scale", delayed.scale().shape).data(), delayed.scale());
}

TrainState load_training_state(const std::string& checkpoint, Backend& backend, Weights& weights, LossScaler& scaler, bool with_optimizer) {
  const fs::path base(checkpoint);
  if (with_optimizer) {
    const SafetensorsFile file = open_part(base / "optimizer.safetensors", "If it was saved with checkpoint.save_optim=false, set checkpoint.load_optim=false (Adam's moments start afresh); else the checkpoint is incomplete: load another");
    for (int64_t i = 0; i < weights.num_params(); ++i) {
      const ParamSpec& s = weights.spec(i);
      upload_rounded(backend, read_checked(file, "exp_avg." + s.name, s.shape), weights.part(weights.exp_avg(), i));
      upload_rounded(backend, read_checked(file, "exp_avg_sq." + s.name, s.shape), weights.part(weights.exp_avg_sq(), i));
    }
  }
  load_precision_state(checkpoint, backend, weights);
  const std::string path = (base / "train_state.json").string();
  const JsonDocument document = read_json_file(path);
  try {
    const TrainState state = state_from(document.root, scaler);
    const int64_t named = iteration_of(fs::directory_entry(fs::weakly_canonical(base)));
    if (named >= 0 && named != state.iteration) throw InputError(text("'iteration' is ", state.iteration, " in the checkpoint of iteration ", named));
    return state;
  } catch (const std::exception& e) {
    throw InputError(text(path, ": not the state of a training run: ", e.what()));
  }
}

RunConfig load_run_config(const std::string& checkpoint) {
  const std::string path = (fs::path(checkpoint) / "run_config.json").string();
  const JsonDocument document = read_json_file(path);
  std::vector<Assignment> assignments;
  std::vector<Problem> problems;
  for (const auto& [section, fields] : document.root.items()) {
    if (!fields.is_object()) throw InputError(text(path, ": section ", section, " is not an object"));
    for (const auto& [field, value] : fields.items()) {
      assignments.push_back({section, field, value, {Origin::Kind::config_file, document.where("/" + section + "/" + field)}});
    }
  }
  RunConfig config;
  Origins origins;
  apply_assignments(config, assignments, origins, problems);
  if (!problems.empty()) throw_problems(problems);
  validate_shape(config, 1, problems);
  validate_precision(config, origins, problems);
  if (!problems.empty()) throw_problems(problems);
  return config;
}

}  // namespace mbt
