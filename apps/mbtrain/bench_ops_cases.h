// The memory-bound ops that `mbtrain bench ops` times, each with its tensors and the bytes that it has to move.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/mbtrain/bench_tools.h"

namespace mbt {

struct OpBenchShape {
  int64_t tokens = 0;      ///< N
  int64_t width = 0;       ///< C: of the model, and F of the feed-forward part
  int64_t vocabulary = 0;  ///< V
  DType act = DType::bf16;

  static constexpr int64_t kHeadDim = 64;
  int64_t num_heads() const { return width / kHeadDim; }
  int64_t num_kv_heads() const { return num_heads() % 4 == 0 ? num_heads() / 4 : num_heads(); }
  int64_t qkv_cols() const { return (num_heads() + 2 * num_kv_heads()) * kHeadDim; }
  /// Rows of logits, such that they have about N C elements.
  int64_t logit_rows() const { return std::max<int64_t>(1, tokens * width / vocabulary); }
};

/// One op with its memory. Its bytes count each read and write of a tensor that no implementation of the op can avoid. More than 100 % of
/// the copy bandwidth is possible when a cache keeps a tensor between two passes.
class OpBench {
 public:
  OpBench(Backend& backend, std::string name) : name_(std::move(name)), backend_(&backend) {}

  const std::string& name() const { return name_; }
  int64_t bytes() const { return bytes_; }
  /// "reads x, weight; writes y".
  std::string traffic() const;
  void run() const { call_(); }

  // For the maker of the case: adds a tensor that the op reads `times`, writes, or both. Tensors that are read hold random numbers.
  TensorView read(const char* what, DType dtype, const Shape& shape, int times = 1);
  TensorView written(const char* what, DType dtype, const Shape& shape);
  TensorView updated(const char* what, DType dtype, const Shape& shape);
  /// Counts traffic of memory that is not a whole tensor.
  void count_read(const std::string& what, int64_t bytes);
  void count_written(const std::string& what, int64_t bytes);
  template <class T>
  T& keep(T object) {
    auto kept = std::make_shared<T>(std::move(object));
    kept_.push_back(kept);
    return *kept;
  }
  void set_call(std::function<void()> call) { call_ = std::move(call); }

 private:
  std::string name_, reads_, writes_;
  Backend* backend_;
  int64_t bytes_ = 0;
  std::vector<std::shared_ptr<void>> kept_;
  std::function<void()> call_;
};

/// Makes one case when it is needed: all cases together may not fit in memory.
struct OpBenchMaker {
  std::string name;
  std::function<OpBench(Backend&, const OpBenchShape&)> make;
};
/// `has_transposed`: the backend wants the column-wise codes of per-tensor scales transposed (Backend::wants_transposed).
std::vector<OpBenchMaker> op_benches(bool has_transposed);

/// A copy of N C f32, the measure of all others.
OpBench copy_bench(Backend& backend, const OpBenchShape& shape);

}  // namespace mbt
