// The model on rows of several documents: each document computes what it computes in a row of its own; and what is no document is refused.
#include <algorithm>
#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::documents_test {

namespace {

/// A row of documents, and the same documents in rows of their own, each filled up with tokens that take no part in the loss.
struct PackedAndAlone {
  PackedAndAlone(const ModelConfig& model, const std::vector<int64_t>& lengths)
      : packed(model, 1, 5), alone(model, static_cast<int64_t>(lengths.size()), 6) {
    std::fill(alone.mask.begin(), alone.mask.end(), 0.0F);
    alone.tokens_in_loss = packed.tokens_in_loss;
    size_t n = 0;
    for (size_t row = 0; row < lengths.size(); ++row)
      for (int64_t t = 0; t < lengths[row]; ++t, ++n) {
        const size_t at = row * static_cast<size_t>(model.seq_length) + static_cast<size_t>(t);
        alone.tokens[at] = packed.tokens[n], alone.targets[at] = packed.targets[n], alone.mask[at] = packed.mask[n];
        packed.document_start.push_back(static_cast<int32_t>(n) - static_cast<int32_t>(t));
        packed.positions.push_back(static_cast<int32_t>(t));
      }
    REQUIRE(n == packed.tokens.size());
  }
  RandomBatch packed, alone;
};

/// Largest difference, relative to the largest magnitude.
double difference(const std::vector<float>& got, const std::vector<float>& want) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - want[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(want[i])));
  }
  return worst / largest;
}

std::vector<float> token_losses(TinyModel& m, const RandomBatch& batch) {
  m.loss(batch);
  std::vector<float> losses(static_cast<size_t>(m.transformer.token_losses().size()));
  m.backend->download(m.transformer.token_losses(), losses.data());
  return losses;
}

}  // namespace

TEST_CASE("documents in one row compute what they compute in rows of their own, forward and backward") {
  const std::vector<int64_t> lengths{5, 1, 6};
  for (const Family& family : tiny_families()) {
    INFO(family.name);
    const PackedAndAlone batches(family.model, lengths);
    const PrecisionPolicy policy = plain_policy(family.model);
    TinyModel packed(family.model, policy, 1, 1, {.document_start = true, .positions = true}), alone(family.model, policy, 3);
    const std::vector<float> got = token_losses(packed, batches.packed), rows = token_losses(alone, batches.alone);
    std::vector<float> want;
    for (size_t row = 0; row < lengths.size(); ++row) {
      const auto first = rows.begin() + static_cast<int64_t>(row) * family.model.seq_length;
      want.insert(want.end(), first, first + lengths[row]);
    }
    CHECK(difference(got, want) < 1e-6);
    CHECK(difference(packed.gradients(batches.packed), alone.gradients(batches.alone)) < 2e-6);
  }
}

TEST_CASE("masks and positions are two settings: each changes the result, and left out they are those of whole rows") {
  for (const Family& family : tiny_families()) {
    INFO(family.name);
    const PrecisionPolicy policy = plain_policy(family.model);
    RandomBatch plain(family.model, 2, 5), both = plain, masked = plain, moved = plain;
    both.add_documents(5);
    masked.document_start = both.document_start;
    moved.positions = both.positions;
    TinyModel without(family.model, policy, 2), with(family.model, policy, 2, 1, {.document_start = true, .positions = true});
    const std::vector<float> expected = without.gradients(plain);
    CHECK((with.gradients(plain) == expected));
    const std::vector<float> of_masked = with.gradients(masked), of_moved = with.gradients(moved), of_both = with.gradients(both);
    CHECK(difference(of_masked, expected) > 1e-3);
    CHECK(difference(of_moved, expected) > 1e-3);
    // Rotary positions are relative: within a document it does not matter where they begin.
    if (family.model.position_embedding_type == PositionEmbedding::rope) CHECK(difference(of_both, of_masked) < 1e-4);
    else CHECK(difference(of_both, of_masked) > 1e-3);
  }
}

TEST_CASE("documents and positions that are none, or for a model made without them, are errors that name the token") {
  const ModelConfig model = tiny_families().front().model;
  const PrecisionPolicy policy = plain_policy(model);
  TinyModel without(model, policy, 2), with(model, policy, 2, 1, {.document_start = true, .positions = true});
  RandomBatch batch(model, 2, 5);
  batch.add_documents(5);
  const auto message = [&](TinyModel& m, auto change) {
    RandomBatch changed = batch;
    change(changed);
    try {
      m.loss(changed);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK_THAT(message(without, [](RandomBatch& b) { b.positions.clear(); }), ContainsSubstring("without BatchInputs"));
  CHECK_THAT(message(without, [](RandomBatch& b) { b.document_start.clear(); }), ContainsSubstring("without BatchInputs"));
  CHECK(message(with, [](RandomBatch&) {}).empty());
  for (int32_t bad : {-1, 12, INT32_MAX, INT32_MIN})
    CHECK_THAT(message(with, [&](RandomBatch& b) { b.positions[15] = bad; }),
               ContainsSubstring(fmt::format("the position of sample 1, token 3 is {}, expected 0 to 11", bad)));
  for (int32_t bad : {-1, 4, 8, INT32_MAX})
    CHECK_THAT(message(with, [&](RandomBatch& b) { b.document_start[7] = bad; }),
               ContainsSubstring(fmt::format("document_start of sample 0, token 7 is {}, expected 7, or 5", bad)));
  CHECK_THAT(message(with, [](RandomBatch& b) { b.document_start[12] = 5; }), ContainsSubstring("a sample begins a document"));
}

}  // namespace mbt::test::documents_test
