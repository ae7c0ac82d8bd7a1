#include "core/train/checkpoint/checkpoint_writer.h"

#include <cstdio>
#include <filesystem>

#include "core/train/checkpoint/checkpoint.h"

namespace mbt {
namespace {

constexpr const char *kWeights = "weights", *kOptimizer = "optimizer";

std::string file_name(const char* what, int rank, int ranks) {
  char name[64];
  std::snprintf(name, sizeof name, "%s_%05d_of_%05d.safetensors", what, rank, ranks);
  return name;
}

SafetensorsType type_of(DType dtype) {
  MBT_CHECK(dtype == DType::f32 || dtype == DType::bf16, "a checkpoint keeps f32 and bf16");
  return dtype == DType::bf16 ? SafetensorsType::BF16 : SafetensorsType::F32;
}

void list_tensors(std::vector<CheckpointTensor>& tensors, const ParamList& params, const std::string& prefix, DType dtype,
                  const char* what) {
  const size_t begin = tensors.size();
  for (const ParamSpec& s : params.specs)
    tensors.push_back({.name = prefix + s.name, .type = type_of(dtype), .shape = extents_of(s.shape), .pieces = {}});
  ParamList of_rank = params;
  for (int r = 0; r < params.sharding.ranks; ++r) {
    of_rank.sharding.rank = r;
    const std::string file = file_name(what, r, params.sharding.ranks);
    for (size_t i = 0; i < params.specs.size(); ++i) {
      const ElementRange own = of_rank.own_range(static_cast<int64_t>(i));
      if (own.count > 0) tensors[begin + i].pieces.push_back({file, own.first, own.count});
    }
  }
}

}  // namespace

std::string weights_file_name(int rank, int ranks) { return file_name(kWeights, rank, ranks); }

std::vector<CheckpointTensor> list_checkpoint_tensors(const Weights& weights, bool with_optimizer) {
  std::vector<CheckpointTensor> tensors;
  list_tensors(tensors, weights.params(), "", weights.master().dtype, kWeights);
  if (!with_optimizer) return tensors;
  list_tensors(tensors, weights.params(), "exp_avg.", weights.exp_avg().dtype, kOptimizer);
  list_tensors(tensors, weights.params(), "exp_avg_sq.", weights.exp_avg_sq().dtype, kOptimizer);
  return tensors;
}

int64_t checkpoint_bytes(const ParamList& params, MomentTypes moments, bool with_optimizer) {
  int64_t elements = 0;
  for (size_t i = 0; i < params.specs.size(); ++i) elements += params.own_range(static_cast<int64_t>(i)).count;
  const int64_t of_moments = with_optimizer ? size_of(moments.exp_avg) + size_of(moments.exp_avg_sq) : 0;
  return elements * (size_of(DType::f32) + of_moments);
}

CheckpointWriter::CheckpointWriter(Backend& backend, Weights& weights, bool with_optimizer) : backend_(backend) {
  const Sharding& s = weights.sharding();
  files_.push_back({file_name(kWeights, s.rank, s.ranks), {}, {}});
  add_pieces(files_.back(), weights, "", weights.master());
  if (with_optimizer) {
    files_.push_back({file_name(kOptimizer, s.rank, s.ranks), {}, {}});
    add_pieces(files_.back(), weights, "exp_avg.", weights.exp_avg());
    add_pieces(files_.back(), weights, "exp_avg_sq.", weights.exp_avg_sq());
  }
  if (const DelayedState& delayed = weights.delayed(); !delayed.empty() && s.rank == 0) {  // maxima over ranks: the same on all
    files_.push_back({kPrecisionFile, {}, {}});
    add(files_.back(), "amax_history", extents_of(delayed.history().shape), delayed.history());
    add(files_.back(), "scale", extents_of(delayed.scale().shape), delayed.scale());
  }
}

void CheckpointWriter::add_pieces(TensorFile& file, const Weights& weights, const std::string& prefix, const TensorView& buffer) {
  for (int64_t i = 0; i < weights.num_params(); ++i) {
    const TensorView own = weights.own_part(buffer, i);
    const Shape& whole = weights.spec(i).shape;
    if (!own.empty()) add(file, prefix + weights.spec(i).name, extents_of(own.size() == whole.size() ? whole : own.shape), own);
  }
}

void CheckpointWriter::add(TensorFile& file, const std::string& name, const std::vector<int64_t>& shape, const TensorView& device) {
  file.tensors.push_back({.name = name, .type = type_of(device.dtype), .shape = shape});
  file.sources.push_back({device, {}});
}

void CheckpointWriter::copy_to_host() {
  for (TensorFile& file : files_) {
    for (Source& source : file.sources) {
      source.host.resize(static_cast<size_t>(source.device.size_bytes()));
      backend_.download(source.device, source.host.data());
    }
  }
}

FileDigest CheckpointWriter::write_tensors(const TensorFile& file, const std::string& path) {
  std::vector<char> staging;  // one tensor at a time where there is no copy of all
  return write_safetensors(path, file.tensors, {{"format", "mbtrain"}}, [&](size_t i) -> const void* {
    const Source& source = file.sources[i];
    if (!source.host.empty()) return source.host.data();
    staging.resize(static_cast<size_t>(source.device.size_bytes()));
    backend_.download(source.device, staging.data());
    return staging.data();
  });
}

std::vector<CheckpointFile> CheckpointWriter::write(const std::string& folder) {
  const auto path = [&](const std::string& name) { return (std::filesystem::path(folder) / name).string(); };
  std::vector<CheckpointFile> written;
  for (TensorFile& file : files_) {
    written.push_back({file.name, write_tensors(file, path(file.name))});
    file.sources.clear();  // the copy's memory
  }
  for (const auto& [name, content] : texts_) written.push_back({name, write_file_atomically(path(name), content)});
  return written;
}

}  // namespace mbt
