// Remembers between runs which cuBLASLt algorithm computes each product. A second run then starts without timing algorithms and gives the
// same bits (another algorithm may sum in another order).
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

/// gemm_algorithms_path() (core/io/remembered.h).
std::string gemm_choices_path();

/// Used by one thread of a process; several processes may share a file.
class AlgorithmChoices {
 public:
  using Warn = std::function<void(const std::string& message)>;
  /// path empty: remembers only within this process. A file of another format, or one that cannot be read or written, is left unchanged and
  /// not used, with a warning. Problems with the file never throw.
  AlgorithmChoices(std::string path, std::string device, Warn warn);

  std::optional<AlgorithmChoice> find(const std::string& product) const;
  /// Remembers a choice and returns the valid one: a choice that another process has written meanwhile for this product takes precedence.
  AlgorithmChoice remember(const std::string& product, const AlgorithmChoice& choice);
  /// Drops a choice that no longer works. The next choice replaces it, in the file too.
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
