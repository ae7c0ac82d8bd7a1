// Reading ahead changes neither order nor content, and errors arrive where they belong.
#include "core/data/prefetcher.h"

#include <atomic>
#include <thread>

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace mbt::test::prefetcher_test {

namespace {

/// Sample i holds i, i + 1, ...; one of them cannot be read.
class Numbers final : public Dataset {
 public:
  explicit Numbers(int64_t broken = -1) : broken_(broken) {}
  int64_t vocab_size() const override { return 1 << 20; }
  int64_t seq_length() const override { return 4; }
  int64_t num_samples(Split) const override { return 10; }
  std::string describe() const override { return "numbers"; }
  void sample(Split, int64_t index, Sample& out) const override {
    if (index == broken_) throw Error("sample is damaged: shard 7, byte 1234");
    ++reads;
    for (int32_t i = 0; i < 5; ++i) out.tokens[static_cast<size_t>(i)] = static_cast<int32_t>(index) + i;
  }
  mutable std::atomic<int> reads{0};

 private:
  int64_t broken_;
};

bool same(const Batch& a, const Batch& b) { return a.tokens == b.tokens && a.targets == b.targets && a.loss_mask == b.loss_mask; }

}  // namespace

TEST_CASE("batches come as the loader gives them, in order, over epochs, and after a jump") {
  const Numbers data;
  const BatchLoader loader(data, Split::train, 3, 1);
  BatchPrefetcher batches(loader, 3);
  for (const int64_t first : {0, 3, 6, 9, 12, 30, 33, 3, 3, 6}) CHECK(same(batches.get(first), loader.get(first)));
}

TEST_CASE("the next batch is read before it is asked for") {
  const Numbers data;
  BatchPrefetcher batches({data, Split::train, 2, 1}, 2);
  static_cast<void>(batches.get(0));
  static_cast<void>(batches.get(2));  // waits for the one that was read ahead
  CHECK(data.reads >= 4);
  {
    const Numbers other;
    BatchPrefetcher ahead({other, Split::train, 2, 1}, 2);
    static_cast<void>(ahead.get(0));
    while (other.reads < 4) std::this_thread::yield();  // ends when the thread reads ahead, and only then
  }
}

TEST_CASE("an error of the reading thread is thrown where its batch is asked for, and reading goes on after it") {
  const int64_t broken = permuted(1, 0, 10, 5);
  const Numbers data(broken);
  BatchPrefetcher batches({data, Split::train, 2, 1}, 2);
  CHECK_NOTHROW(batches.get(0));
  CHECK_NOTHROW(batches.get(2));
  CHECK_THROWS_WITH(batches.get(4), "sample is damaged: shard 7, byte 1234");
  CHECK_THROWS_WITH(batches.get(4), "sample is damaged: shard 7, byte 1234");
  CHECK_NOTHROW(batches.get(6));
  CHECK_NOTHROW(batches.get(2));  // reads the damaged one ahead, which nobody asks for
}

}  // namespace mbt::test::prefetcher_test
