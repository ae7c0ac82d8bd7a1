// Data order: a permutation in every epoch, a function of the seed and the position alone.
#include "core/data/loader.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace mbt::test::loader_test {

namespace {

/// Sample i consists of the token i alone.
class Numbers final : public Dataset {
 public:
  explicit Numbers(int64_t n) : n_(n) {}
  int64_t vocab_size() const override { return n_; }
  int64_t seq_length() const override { return 3; }
  int64_t num_samples(Split split) const override { return split == Split::train ? n_ : 0; }
  std::string describe() const override { return "numbers"; }
  void sample(Split, int64_t index, Sample& out) const override {
    for (int32_t t = 0; t <= 3; ++t) out.tokens[static_cast<size_t>(t)] = static_cast<int32_t>(index * 10) + t;
  }

 private:
  int64_t n_;
};

}  // namespace

TEST_CASE("permuted is a permutation for every size", "[loader]") {
  for (int64_t size : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < size; ++i) seen.insert(permuted(1234, 5, size, i));
    CHECK(static_cast<int64_t>(seen.size()) == size);
    CHECK(*seen.begin() == 0);
    CHECK(*seen.rbegin() == size - 1);
  }
  const int64_t huge = int64_t{1} << 61;
  const int64_t far = permuted(1, 0, huge, huge - 1);
  CHECK((far >= 0 && far < huge));
}

TEST_CASE("permutations differ by seed and epoch and mix well", "[loader]") {
  constexpr int64_t n = 1000;
  int64_t same_epoch = 0, same_seed = 0, neighbors = 0;
  double correlation = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t p = permuted(1, 0, n, i);
    same_epoch += p == permuted(1, 1, n, i);
    same_seed += p == permuted(2, 0, n, i);
    neighbors += i > 0 && std::abs(p - permuted(1, 0, n, i - 1)) == 1;
    correlation += (static_cast<double>(i) - 499.5) * (static_cast<double>(p) - 499.5);
  }
  CHECK(same_epoch < 8);  // a random permutation has one such place on average
  CHECK(same_seed < 8);
  CHECK(neighbors < 10);                                               // two on average
  CHECK(std::abs(correlation) / (n * (n * n - 1.0) / 12) < 4 / 31.6);  // four standard deviations
}

TEST_CASE("the order of samples is fixed by these numbers", "[loader]") {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < 8; ++i) order.push_back(permuted(1234, 0, 8, i));
  CHECK(order == std::vector<int64_t>{6, 3, 7, 4, 0, 2, 5, 1});
}

TEST_CASE("every epoch holds every sample once, whatever the batch", "[loader]") {
  const Numbers data(10);
  const BatchLoader loader(data, Split::train, 4, 1234);
  CHECK(loader.samples_per_epoch() == 10);
  std::vector<int32_t> first;
  for (int64_t s = 0; s < 20; s += 4) {
    const Batch batch = loader.get(s);
    for (size_t b = 0; b < 4; ++b) first.push_back(batch.tokens[3 * b]);
  }
  CHECK_FALSE(std::equal(first.begin(), first.begin() + 10, first.begin() + 10));  // another order in every epoch
  std::sort(first.begin(), first.begin() + 10);
  std::sort(first.begin() + 10, first.end());
  for (size_t i = 0; i < 20; ++i) CHECK(first[i] == static_cast<int32_t>(i % 10 * 10));
}

TEST_CASE("a batch depends on its position alone; targets are the next tokens", "[loader]") {
  const Numbers data(100);
  const BatchLoader two(data, Split::train, 2, 7), one(data, Split::train, 1, 7);
  const Batch batch = two.get(98), second = one.get(99);
  CHECK(batch.batch == 2);
  CHECK(batch.seq == 3);
  CHECK(std::equal(second.tokens.begin(), second.tokens.end(), batch.tokens.begin() + 3));
  for (size_t i = 0; i < 6; ++i) CHECK(batch.targets[i] == batch.tokens[i] + 1);
  CHECK(batch.loss_mask == std::vector<float>(6, 1.0F));
  CHECK_THROWS_WITH(BatchLoader(data, Split::valid, 1, 7), ContainsSubstring("no data for validation"));
}

}  // namespace mbt::test::loader_test
