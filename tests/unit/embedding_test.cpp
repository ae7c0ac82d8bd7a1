#include "core/ops/embedding.h"

#include "tests/support/op_cases.h"

namespace mbt::test::embedding_test {
namespace {

constexpr int64_t kVocab = 11;

TEST_CASE("embedding_fwd adds token and position rows", "[loops]") {
  for_each_case([](DType dtype, int64_t rows, int64_t cols) {
    const int64_t length = rows % 2 == 0 ? rows / 2 : rows;
    const int64_t first = 3;
    Indices tokens(rows, kVocab, 1);
    GuardedTensor table = normal_tensor(dtype, {kVocab, cols}, 2);
    GuardedTensor positions = normal_tensor(dtype, {first + length, cols}, 3);
    GuardedTensor out(dtype, {rows, cols}), plain(dtype, {rows, cols});
    backend().embedding_fwd({.tokens = tokens, .table = table, .out = plain, .sequence_length = length});
    backend().embedding_fwd(
        {.tokens = tokens, .table = table, .out = out, .sequence_length = length, .position_table = positions, .first_position = first});
    std::vector<double> want, want_plain;
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t c = 0; c < cols; ++c) {
        want_plain.push_back(table.at(tokens[n] * cols + c));
        want.push_back(want_plain.back() + positions.at((first + n % length) * cols + c));
      }
    CHECK(plain.values() == want_plain);
    CHECK(plain.guards_intact());
    CHECK(mismatch("embedding_fwd", out, want) == "");
  });
}

TEST_CASE("embedding_bwd accumulates into both tables", "[loops]") {
  for_each_case([](DType dtype, int64_t rows, int64_t cols) {
    const int64_t length = rows % 2 == 0 ? rows / 2 : rows;
    Indices tokens(rows, kVocab, 1);
    GuardedTensor d_out = normal_tensor(dtype, {rows, cols}, 2);
    GuardedTensor d_table = normal_tensor(DType::f32, {kVocab, cols}, 3);
    GuardedTensor d_positions = normal_tensor(DType::f32, {length, cols}, 4);
    std::vector<double> want = d_table.values(), want_positions = d_positions.values();
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t c = 0; c < cols; ++c) {
        want[static_cast<size_t>(tokens[n] * cols + c)] += d_out.at(n * cols + c);
        want_positions[static_cast<size_t>(n % length * cols + c)] += d_out.at(n * cols + c);
      }
    backend().embedding_bwd(
        {.d_out = d_out, .tokens = tokens, .d_table = d_table, .sequence_length = length, .d_position_table = d_positions});
    CHECK(mismatch("embedding_bwd", d_table, want) == "");
    CHECK(mismatch("embedding_bwd", d_positions, want_positions) == "");
  });
}

TEST_CASE("embedding_bwd has the same bits on any number of threads", "[loops]") {
  Indices tokens(500, kVocab, 1);
  GuardedTensor d_out = normal_tensor(DType::bf16, {500, 200}, 2);
  CHECK(same_bits_on_any_threads(GuardedTensor(DType::f32, {kVocab, 200}), [&](Backend& cpu, GuardedTensor& d_table) {
    cpu.embedding_bwd({.d_out = d_out, .tokens = tokens, .d_table = d_table, .sequence_length = 500});
  }));
}

TEST_CASE("embeddings by position ids, forward and backward", "[loops]") {
  for_each_case([](DType dtype, int64_t rows, int64_t cols) {
    constexpr int32_t kPositions = 7;
    Indices tokens(rows, kVocab, 1), ids(rows, kPositions, 5);
    GuardedTensor table = normal_tensor(dtype, {kVocab, cols}, 2), positions = normal_tensor(dtype, {kPositions, cols}, 3);
    GuardedTensor out(dtype, {rows, cols});
    GuardedTensor d_out = normal_tensor(dtype, {rows, cols}, 4), d_table(DType::f32, {kVocab, cols});
    GuardedTensor d_positions = normal_tensor(DType::f32, {kPositions, cols}, 6);
    std::vector<double> want, want_d = d_positions.values();
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t c = 0; c < cols; ++c) {
        want.push_back(table.at(tokens[n] * cols + c) + positions.at(ids[n] * cols + c));
        want_d[static_cast<size_t>(ids[n] * cols + c)] += d_out.at(n * cols + c);
      }
    // A sequence longer than the table: its length says nothing where there are ids.
    backend().embedding_fwd(
        {.tokens = tokens, .table = table, .out = out, .sequence_length = rows, .position_table = positions, .positions = ids});
    backend().embedding_bwd(
        {.d_out = d_out, .tokens = tokens, .d_table = d_table, .sequence_length = rows, .d_position_table = d_positions, .positions = ids});
    CHECK(mismatch("embedding_fwd", out, want) == "");
    CHECK(mismatch("embedding_bwd", d_positions, want_d) == "");
  });
}

TEST_CASE("positions that occur hundreds of times, as those of short documents, sum every row", "[loops]") {
  constexpr int64_t kTokens = 1100, kWidth = 6;
  Indices tokens(kTokens, kVocab, 1), ids(kTokens, 1, 1);
  for (int64_t n = 0; n < kTokens; ++n) ids[n] = static_cast<int32_t>(n % 3);
  GuardedTensor d_out = normal_tensor(DType::bf16, {kTokens, kWidth}, 2);
  GuardedTensor d_table(DType::f32, {kVocab, kWidth}), d_positions(DType::f32, {5, kWidth});
  backend().embedding_bwd({.d_out = d_out,
                           .tokens = tokens,
                           .d_table = d_table,
                           .sequence_length = kTokens,
                           .d_position_table = d_positions,
                           .positions = ids});
  for (int64_t i = 0; i < 5 * kWidth; ++i) {
    double want = 0;
    for (int64_t n = i / kWidth; n < kTokens && i < 3 * kWidth; n += 3) want += d_out.at(n * kWidth + i % kWidth);
    CHECK(d_positions.at(i) == Approx(want).epsilon(0).margin(fp32_units("embedding_bwd") * 0x1p-24 * std::sqrt(kTokens) * 3));
  }
}

TEST_CASE("the default's position ids give the default's bits", "[loops]") {
  constexpr int64_t kRowsOf = 66, kLength = 33, kWidth = 24;
  Indices tokens(kRowsOf, kVocab, 1), ids(kRowsOf, 1, 1);
  for (int64_t n = 0; n < kRowsOf; ++n) ids[n] = static_cast<int32_t>(n % kLength);
  GuardedTensor table = normal_tensor(DType::bf16, {kVocab, kWidth}, 2), positions = normal_tensor(DType::bf16, {kLength, kWidth}, 3);
  GuardedTensor d_out = normal_tensor(DType::bf16, {kRowsOf, kWidth}, 4);
  const auto run = [&](const ConstTensorView& given) {
    GuardedTensor out(DType::bf16, {kRowsOf, kWidth}), d_table(DType::f32, {kVocab, kWidth}), d_positions(DType::f32, {kLength, kWidth});
    backend().embedding_fwd(
        {.tokens = tokens, .table = table, .out = out, .sequence_length = kLength, .position_table = positions, .positions = given});
    backend().embedding_bwd({.d_out = d_out,
                             .tokens = tokens,
                             .d_table = d_table,
                             .sequence_length = kLength,
                             .d_position_table = d_positions,
                             .positions = given});
    return std::pair(out, d_positions);
  };
  const auto by_default = run({}), by_ids = run(ids);
  CHECK(by_ids.first.same_bits(by_default.first));
  CHECK(by_ids.second.same_bits(by_default.second));
}

TEST_CASE("a position outside the table is an error, not an access outside", "[loops]") {
  for (int32_t bad : {-1, 7, 70000}) {
    Indices tokens(5, kVocab, 1), ids(5, 7, 2);
    ids[3] = bad;
    GuardedTensor table(DType::f32, {kVocab, 4}), positions(DType::f32, {7, 4}), out(DType::f32, {5, 4});
    const std::string expected = fmt::format("positions[3] is {}, expected 0 to 6", bad);
    CHECK_THROWS_WITH(
        backend().embedding_fwd(
            {.tokens = tokens, .table = table, .out = out, .sequence_length = 5, .position_table = positions, .positions = ids}),
        ContainsSubstring(expected));
    CHECK_THROWS_WITH(
        backend().embedding_bwd(
            {.d_out = out, .tokens = tokens, .d_table = table, .sequence_length = 5, .d_position_table = positions, .positions = ids}),
        ContainsSubstring(expected));
    CHECK(positions.guards_intact());
  }
}

TEST_CASE("a token outside the table is an error, not a read outside", "[loops]") {
  for (int32_t bad : {-1, 11, 70000}) {
    Indices tokens(5, kVocab, 1);
    tokens[3] = bad;
    GuardedTensor table(DType::f32, {kVocab, 4}), out(DType::f32, {5, 4});
    CHECK_THROWS_WITH(backend().embedding_fwd({.tokens = tokens, .table = table, .out = out, .sequence_length = 5}),
                      ContainsSubstring("tokens[3] is " + std::to_string(bad)));
    CHECK_THROWS_AS(backend().embedding_bwd({.d_out = out, .tokens = tokens, .d_table = table, .sequence_length = 5}), Error);
  }
}

}  // namespace
}  // namespace mbt::test::embedding_test
