#include "core/parallel/replica_check.h"

#include <vector>

#include "core/base/strings.h"
#include "core/base/xxhash.h"

namespace mbt {
namespace {

class WeightHasher {
 public:
  explicit WeightHasher(Backend& backend) : backend_(backend) {}

  uint64_t of(const Weights& weights, int64_t i) {
    XxHash64 hash;
    if (!weights.working(i).empty()) add(hash, weights.working(i));
    const QuantTensorView& q = weights.quantized(i);
    if (weights.spec(i).is_codes_only) {
      const QuantCopyShape shape = quant_copy_shape(q.spec, q.rows, q.cols, false);
      add(hash, {q.rowwise.codes, DType::u8, {shape.codes_bytes}});
      add(hash, {q.rowwise.scale_inv, DType::u8, {shape.scale_bytes}});
    }
    return hash.value();
  }

 private:
  void add(XxHash64& hash, const TensorView& t) {
    bytes_.resize(static_cast<size_t>(t.size_bytes()));
    backend_.download(t, bytes_.data());
    hash.add(bytes_.data(), bytes_.size());
  }

  Backend& backend_;
  std::vector<char> bytes_;
};

}  // namespace

void check_replicas(Backend& backend, World& world, const Weights& weights) {
  if (world.ranks() == 1) return;
  WeightHasher hasher(backend);
  const auto n = static_cast<size_t>(weights.num_params());
  std::vector<uint64_t> mine(n), all(n * static_cast<size_t>(world.ranks()));
  for (size_t i = 0; i < n; ++i) mine[i] = hasher.of(weights, static_cast<int64_t>(i));
  world.all_gather(mine.data(), n * sizeof(uint64_t), all.data());
  for (size_t i = 0; i < n; ++i) {
    std::vector<std::string> others;
    for (size_t r = 1; r < static_cast<size_t>(world.ranks()); ++r)
      if (all[r * n + i] != all[i]) others.push_back(fmt::format("{} ({})", r, hash_text(all[r * n + i])));
    if (others.empty()) continue;
    throw AgreedError(fmt::format("the ranks' weights differ: {} is {} on rank 0, but not on rank {}. A rank has computed "
                                  "a different result: resume from the last checkpoint, and check the memory of that machine",
                                  weights.spec(static_cast<int64_t>(i)).name, hash_text(all[i]), join(others, ", ")),
                      1);
  }
}

}  // namespace mbt
