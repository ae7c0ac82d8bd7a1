// Which of cuBLASLt's algorithms computes each product, remembered between runs: a second run starts at once and, as another algorithm may
// sum in another order, gives the same bits.
//
// The file is JSON: {"format": "mbtrain gemm algorithms 1", "devices": {DEVICE: {PRODUCT: {"algorithm": HEX, "microseconds": T}}}}. DEVICE
// names the GPU and cuBLASLt's version, since an algorithm means nothing to another. Deleting the file makes the next run choose again.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace mbt::cuda {

struct AlgorithmChoice {
  std::string algorithm;  ///< hexadecimal digits
  double microseconds = 0;
  bool operator==(const AlgorithmChoice&) const = default;
};

/// MBTRAIN_GEMM_ALGORITHMS names the file ("off": none); else $XDG_CACHE_HOME/mbtrain/gemm_algorithms.json or, without that variable,
/// ~/.cache/mbtrain/gemm_algorithms.json. Empty: none.
std::string gemm_choices_path();

/// Used by one thread of a process; several processes may share a file.
class AlgorithmChoices {
 public:
  using Warn = std::function<void(const std::string& message)>;
  /// path empty: remembers in this process alone. A file that is no such file is left as it is and not used, with a warning; so is one
  /// that cannot be read or written. Never throws for the sake of a file.
  AlgorithmChoices(std::string path, std::string device, Warn warn);

  std::optional<AlgorithmChoice> find(const std::string& product) const;
  /// Remembers and returns the choice that counts: what another process wrote meanwhile for this product goes before.
  AlgorithmChoice remember(const std::string& product, const AlgorithmChoice& choice);
  /// A choice that does not work any more: the next one takes its place, in the file too.
  void reject(const std::string& product);
  /// "12 remembered in PATH".
  std::string description() const;

 private:
  using Products = std::map<std::string, AlgorithmChoice>;
  using Devices = std::map<std::string, Products>;

  Devices read() const;
  void write(const std::string& product);
  void stop_using_file(const std::string& reason);

  std::string path_, device_;
  Warn warn_;
  Products mine_, rejected_;
};

}  // namespace mbt::cuda
