// The files of a checkpoint that one rank writes: weights_00002_of_00004.safetensors and optimizer_..., of the elements in its pieces of
// the buckets; and on the first rank those that are one for all. The pieces are the same with and without a sharded optimizer, so a
// checkpoint does not tell which it was.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/backend/backend.h"
#include "core/io/safetensors.h"
#include "core/model/weights.h"
#include "core/train/checkpoint/checkpoint_index.h"

namespace mbt {

/// "weights_00002_of_00004.safetensors".
std::string weights_file_name(int rank, int ranks);

/// The tensors of all ranks' files, by parameter.
std::vector<CheckpointTensor> list_checkpoint_tensors(const Weights& weights, bool with_optimizer);

/// Bytes of tensors that this rank writes: what an asynchronous save copies to host memory first. The precision state, some KiB, is not in
/// it.
int64_t checkpoint_bytes(const ParamList& params, MomentTypes moments, bool with_optimizer);

/// Made on the thread that uses the backend. Makes no exchanges.
class CheckpointWriter {
 public:
  /// This rank's tensors, not yet read.
  CheckpointWriter(Backend& backend, Weights& weights, bool with_optimizer);
  void add_text(std::string name, std::string content) { texts_.emplace_back(std::move(name), std::move(content)); }

  /// Reads all tensors into host memory: write() then needs neither the backend nor the weights.
  void copy_to_host();
  /// Writes and syncs every file into the folder, which exists; hashes are taken on the way. InputError with the file and the system's
  /// reason.
  std::vector<CheckpointFile> write(const std::string& folder);

 private:
  struct Source {
    TensorView device;
    std::vector<char> host;  ///< a copy; empty before copy_to_host()
  };
  struct TensorFile {
    std::string name;
    std::vector<TensorToWrite> tensors;
    std::vector<Source> sources;  ///< of `tensors`
  };

  void add_pieces(TensorFile& file, const Weights& weights, const std::string& prefix, const TensorView& buffer);
  void add(TensorFile& file, const std::string& name, const std::vector<int64_t>& shape, const TensorView& device);
  FileDigest write_tensors(const TensorFile& file, const std::string& path);

  Backend& backend_;
  std::vector<TensorFile> files_;
  std::vector<std::pair<std::string, std::string>> texts_;
};

}  // namespace mbt
