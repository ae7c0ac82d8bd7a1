// XXH64: values that others publish, and pieces of every size.
#include "core/base/xxhash.h"

#include "tests/support/catch.h"

namespace mbt::test::xxhash_test {

TEST_CASE("hashes are XXH64 with seed 0, as xxhsum -H1 prints them") {
  CHECK(hash_text(xxhash64("")) == "ef46db3751d8e999");
  CHECK(hash_text(xxhash64("a")) == "d24ec4f1a98c6e5b");
  CHECK(hash_text(xxhash64("abc")) == "44bc2cf5ad770999");
  CHECK(hash_text(XxHash64().value()) == "ef46db3751d8e999");
  CHECK(hash_text(0x12) == "0000000000000012");
}

TEST_CASE("a hash does not depend on the pieces, and more can be added after it was asked for") {
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += static_cast<char>(i * 131 + i / 7);
  for (size_t piece = 1; piece <= 70; ++piece) {
    XxHash64 hash;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      hash.add(std::string_view(bytes).substr(at, piece));
      hash.add(nullptr, 0);
      CHECK(hash.value() == xxhash64(std::string_view(bytes).substr(0, at + piece)));
    }
  }
}

}  // namespace mbt::test::xxhash_test
