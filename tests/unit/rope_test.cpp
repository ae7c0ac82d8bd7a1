#include "core/reference/rope.h"
#include "core/ops/attention.h"
#include "tests/support/op_cases.h"

namespace mbt::test::rope_test {
namespace {

using Case = ref::RopeCase;
constexpr Case kCases[] = {{1, 1, 1, 1, 2, 2, 0}, {6, 3, 3, 1, 10, 6, 2}, {33, 33, 4, 2, 64, 64, 0}, {34, 17, 2, 2, 128, 62, 5}};

RopeArgs args_of(const Case& c, GuardedTensor& qkv, const ConstTensorView& table, bool inverse) {
  return {.qkv = qkv,
          .cos_sin = table,
          .num_heads = c.heads,
          .num_kv_heads = c.kv_heads,
          .sequence_length = c.length,
          .inverse = inverse,
          .first_position = c.first};
}

TEST_CASE("rope rotates query and key pairs by their position", "[loops]") {
  for (DType dtype : kActTypes)
    for (const Case& c : kCases) {
      GuardedTensor table = ref::rope_angles(c), qkv = normal_tensor(dtype, {c.rows, c.cols()}, 1);
      const std::vector<double> want = ref::rope_reference(c, qkv, table, false, [&](int64_t n) { return c.first + n % c.length; });
      backend().rope(args_of(c, qkv, table, false));
      CHECK(mismatch("rope", qkv, want) == "");
    }
}

TEST_CASE("rope's inverse takes it back", "[loops]") {
  for (const Case& c : kCases) {
    GuardedTensor table = ref::rope_angles(c), qkv = normal_tensor(DType::f32, {c.rows, (c.heads + 2 * c.kv_heads) * c.width}, 1);
    const std::vector<double> before = qkv.values();
    backend().rope(args_of(c, qkv, table, false));
    backend().rope(args_of(c, qkv, table, true));
    CHECK(mismatch("rope", qkv, before) == "");
  }
}

TEST_CASE("rope by position ids: rows of the table in any order; the default's ids give the default's bits", "[loops]") {
  for (DType dtype : kActTypes)
    for (const Case& c : kCases) {
      const int64_t cols = (c.heads + 2 * c.kv_heads) * c.width;
      GuardedTensor table = ref::rope_angles(c), qkv = normal_tensor(dtype, {c.rows, cols}, 1), by_default = qkv, by_ids = qkv, one = qkv;
      Indices ids(c.rows, static_cast<int32_t>(c.first + c.length), 3);
      RopeArgs args = args_of(c, qkv, table, false);
      args.positions = ids;
      backend().rope(args);
      for (int64_t n = 0; n < c.rows; ++n) {  // each row as a sequence of one token
        RopeArgs single = args_of({1, 1, c.heads, c.kv_heads, c.width, c.rotated, ids[n]}, one, table, false);
        single.qkv = one.view().row_range(n, 1);
        backend().rope(single);
      }
      CHECK(qkv.same_bits(one));
      for (int64_t n = 0; n < c.rows; ++n) ids[n] = static_cast<int32_t>(c.first + n % c.length);
      backend().rope(args_of(c, by_default, table, false));
      RopeArgs same = args_of(c, by_ids, table, false);
      same.positions = ids;
      backend().rope(same);
      CHECK(by_ids.same_bits(by_default));
    }
}

TEST_CASE("rope: a position outside of the table is an error, not a read outside", "[loops]") {
  const Case& c = kCases[2];
  for (int32_t bad : {-1, 33, 70000}) {
    GuardedTensor table = ref::rope_angles(c), qkv = normal_tensor(DType::bf16, {c.rows, (c.heads + 2 * c.kv_heads) * c.width}, 1);
    Indices ids(c.rows, 33, 3);
    ids[17] = bad;
    RopeArgs args = args_of(c, qkv, table, false);
    args.positions = ids;
    CHECK_THROWS_WITH(backend().rope(args), ContainsSubstring(fmt::format("positions[17] is {}, expected 0 to 32", bad)));
  }
}

}  // namespace
}  // namespace mbt::test::rope_test
