// Remembered algorithms: the file's format, lookup, other processes, files that are none; and how the fastest is found.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <tuple>

#include "core/io/files.h"
#include "core/numerics/codecs.h"
#include "kernels/cuda/gemm/gemm_choices.h"
#include "kernels/cuda/gemm/gemm_timing.h"
#include "tests/emulation/gemm/product_twin.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::gemm_choices_test {

using namespace mbt::cuda;

namespace {

constexpr const char* kDevice = "GPU, cuBLASLt 13.1.0";

struct Remembered {
  explicit Remembered(const std::string& path, const std::string& device = kDevice)
      : choices(path, device, [this](const std::string& m) { warnings.push_back(m); }) {}
  std::vector<std::string> warnings;
  AlgorithmChoices choices;
};

/// An environment variable while this lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) before_ = old;
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("an algorithm is remembered by device and product") {
  const TemporaryFolder folder;
  const std::string path = folder.path("a/b/algorithms.json");
  {
    Remembered first(path);
    CHECK_FALSE(first.choices.find("p").has_value());
    CHECK(first.choices.remember("p", {"00ff", 12.5}) == AlgorithmChoice{"00ff", 12.5});
    CHECK(first.choices.find("p") == AlgorithmChoice{"00ff", 12.5});
    CHECK(first.warnings.empty());
  }
  Remembered second(path), other(path, "another GPU");
  CHECK(second.choices.find("p") == AlgorithmChoice{"00ff", 12.5});
  CHECK_FALSE(second.choices.find("q").has_value());
  CHECK_FALSE(other.choices.find("p").has_value());
  CHECK_THAT(second.choices.description(), ContainsSubstring("1 remembered in ") && ContainsSubstring(path));
  other.choices.remember("p", {"aa", 1});
  CHECK(Remembered(path).choices.find("p") == AlgorithmChoice{"00ff", 12.5});
  CHECK(Remembered(path, "another GPU").choices.find("p") == AlgorithmChoice{"aa", 1});
}

TEST_CASE("what another process remembered first counts, and nothing of it is lost") {
  const TemporaryFolder folder;
  const std::string path = folder.path("algorithms.json");
  Remembered a(path), b(path);
  a.choices.remember("both", {"aa", 1});
  a.choices.remember("a", {"a1", 1});
  CHECK(b.choices.remember("both", {"bb", 2}) == AlgorithmChoice{"aa", 1});
  b.choices.remember("b", {"b1", 1});
  CHECK(b.choices.find("a") == AlgorithmChoice{"a1", 1});
  Remembered c(path);
  CHECK((c.choices.find("both")->algorithm == "aa" && c.choices.find("a")->algorithm == "a1" && c.choices.find("b")->algorithm == "b1"));
}

TEST_CASE("processes that remember at the same time lose nothing") {
  const TemporaryFolder folder;
  const std::string path = folder.path("algorithms.json");
  constexpr int kProcesses = 4, kProducts = 10;
  for (int p = 0; p < kProcesses; ++p) {
    if (fork() != 0) continue;
    Remembered own(path);
    for (int i = 0; i < kProducts; ++i) own.choices.remember(fmt::format("{}.{}", p, i), {fmt::format("0{}", p), 1});
    _exit(own.warnings.empty() ? 0 : 1);
  }
  for (int p = 0; p < kProcesses; ++p) {
    int status = -1;
    wait(&status);
    CHECK(status == 0);
  }
  const Remembered all(path);
  for (int p = 0; p < kProcesses; ++p)
    for (int i = 0; i < kProducts; ++i) CHECK(all.choices.find(fmt::format("{}.{}", p, i)) == AlgorithmChoice{fmt::format("0{}", p), 1});
}

TEST_CASE("a choice that works no more is replaced, in the file too") {
  const TemporaryFolder folder;
  const std::string path = folder.path("algorithms.json");
  Remembered(path).choices.remember("p", {"aa", 1});
  Remembered next(path);
  next.choices.reject("p");
  CHECK_FALSE(next.choices.find("p").has_value());
  CHECK(next.choices.remember("p", {"bb", 2}).algorithm == "bb");
  CHECK(Remembered(path).choices.find("p")->algorithm == "bb");
}

TEST_CASE("a file that is none of ours is left alone, with one warning") {
  const TemporaryFolder folder;
  const std::string path = folder.path("algorithms.json");
  for (const std::string content :
       {"", "{", "[]", "null", "{\"format\": \"something else\", \"devices\": {}}", "{\"format\": \"mbtrain gemm algorithms 1\"}",
        "{\"format\": \"mbtrain gemm algorithms 1\", \"devices\": {\"GPU, cuBLASLt 13.1.0\": {\"p\": 7}}}",
        "{\"format\": \"mbtrain gemm algorithms 1\", \"devices\": {\"g\": {\"p\": {\"algorithm\": \"xyz\", \"microseconds\": 1}}}}"}) {
    INFO(content);
    folder.file("algorithms.json", content);
    Remembered r(path);
    REQUIRE(r.warnings.size() == 1);
    CHECK_THAT(r.warnings[0], ContainsSubstring(path) && ContainsSubstring("MBTRAIN_GEMM_ALGORITHMS"));
    CHECK_FALSE(r.choices.find("p").has_value());
    CHECK(r.choices.remember("p", {"aa", 1}).algorithm == "aa");
    CHECK(r.choices.find("p").has_value());
    CHECK(r.warnings.size() == 1);
    CHECK(read_text_file(path) == content);
    CHECK(r.choices.description() == "chosen anew in each run");
  }
}

TEST_CASE("a place that cannot be read or written is a warning, not an error") {
  const TemporaryFolder folder;
  folder.file("file", "x");
  Remembered below_a_file(folder.path("file/algorithms.json")), a_folder(folder.path("."));
  CHECK(below_a_file.choices.remember("p", {"aa", 1}).algorithm == "aa");
  CHECK(below_a_file.warnings.size() == 1);
  CHECK(a_folder.warnings.size() == 1);
  Remembered nowhere("");
  CHECK(nowhere.choices.remember("p", {"aa", 1}).algorithm == "aa");
  CHECK(nowhere.warnings.empty());
}

TEST_CASE("where the file is") {
  const Variable home("HOME", "/home/u");
  {
    const Variable own("MBTRAIN_GEMM_ALGORITHMS", nullptr), cache("XDG_CACHE_HOME", "/cache");
    CHECK(gemm_choices_path() == "/cache/mbtrain/gemm_algorithms.json");
  }
  {
    const Variable own("MBTRAIN_GEMM_ALGORITHMS", nullptr), cache("XDG_CACHE_HOME", nullptr);
    CHECK(gemm_choices_path() == "/home/u/.cache/mbtrain/gemm_algorithms.json");
    const Variable nobody("HOME", nullptr);
    CHECK(gemm_choices_path().empty());
  }
  CHECK((Variable("MBTRAIN_GEMM_ALGORITHMS", "/x.json"), gemm_choices_path()) == "/x.json");
  CHECK((Variable("MBTRAIN_GEMM_ALGORITHMS", "off"), gemm_choices_path()).empty());
}

TEST_CASE("the fastest is the least median, the first of nearly equal ones, and none that cannot run") {
  CHECK(fastest_of({30, 20, 25})->index == 1);
  CHECK(fastest_of({20.2, 20, 19.9})->index == 0);
  CHECK(fastest_of({-1, 50, -1})->index == 1);
  CHECK_FALSE(fastest_of({-1, -1}).has_value());
  CHECK_FALSE(fastest_of(std::vector<double>{}).has_value());
  int runs[3] = {};
  const auto launch = [&](int i) { return ++runs[i], i != 1; };
  const std::optional<Fastest> fastest = fastest_of(3, launch, nullptr);
  REQUIRE(fastest.has_value());
  CHECK(fastest->index != 1);
  CHECK((runs[0] > 3 && runs[1] == 1 && runs[2] == runs[0]));
}

TEST_CASE("operands for timing are a product of the same kind, of ordinary values") {
  using enum DType;
  using enum QuantFormat;
  using enum ScaleMode;
  const std::tuple<ElementType, ScaleMode, int> kinds[] = {{bf16, none, 80},         {f16, none, 80},         {f32, none, 80},
                                                           {e4m3, scalar_32f, 90},   {e5m2, scalar_32f, 90},  {e4m3, vec128_32f, 90},
                                                           {e4m3, vec32_ue8m0, 100}, {e2m1, vec16_ue4m3, 100}};
  for (const auto& [type, mode, capability] : kinds) {
    INFO(name_of(type) << " " << name_of(mode));
    float scalars[2] = {3, 1};
    uint16_t bias[48] = {};
    const ElementType second = type == e5m2 ? e4m3 : type, d_type = type == f16 || type == f32 ? type : bf16;
    Product p{.first = {scalars, type, 96, 48, 96, true, mode, mode == none ? nullptr : scalars},
              .second = {scalars, second, 96, 32, 96, false, mode, mode == none ? nullptr : scalars},
              .d = scalars,
              .d_type = d_type,
              .m = 48,
              .n = 32,
              .k = 96,
              .bias = bias,
              .bias_type = d_type,
              .alpha_beta = scalars};
    const TimingOperands operands(p, 4, nullptr);
    const Product& made = operands.product();
    CHECK(describe(made) != "");
    CHECK(refusal(made, {capability, 130100}).empty());
    for (const void* own : {made.first.data, made.second.data, static_cast<const void*>(made.d), made.bias})
      CHECK(alignment_of(own) == 256);
    multiply_on_host(made);
    double largest = 0;
    for (int64_t i = 0; i < made.m * made.n; ++i) {
      double x = 0;
      if (d_type == f32) x = static_cast<const float*>(made.d)[i];
      else x = d_type == bf16 ? decode_bf16(static_cast<const uint16_t*>(made.d)[i]) : decode_fp16(static_cast<const uint16_t*>(made.d)[i]);
      REQUIRE(std::isfinite(x));
      largest = std::max(largest, std::fabs(x));
    }
    CHECK(largest > 1);
    CHECK(largest < 96 * 36);
  }
}

TEST_CASE("products that an algorithm must not share have other keys and names") {
  alignas(256) static uint8_t memory[1024];
  const Product p{.first = {memory, DType::bf16, 32, 48, 32, true},
                  .second = {memory, DType::bf16, 32, 16, 32, false},
                  .d = memory,
                  .d_type = DType::bf16,
                  .m = 48,
                  .n = 16,
                  .k = 32};
  const auto differs = [&](auto change) {
    Product other = p;
    change(other);
    return key_of(other) != key_of(p) && describe(other) != describe(p);
  };
  CHECK(describe(p) == "bf16 [32x48]^T, bf16 [32x16] -> bf16 [48x16], aligned to 256, 256, 256");
  CHECK(differs([](Product& o) { o.first.type = DType::f16; }));
  CHECK(differs([](Product& o) { o.second.ld = 64; }));
  CHECK(differs([](Product& o) { o.first.scale_mode = ScaleMode::scalar_32f; }));
  CHECK(differs([](Product& o) { o.d_type = DType::f32; }));
  CHECK(differs([](Product& o) { o.n = 32; }));
  CHECK(differs([](Product& o) { o.bias = memory; }));
  CHECK(differs([](Product& o) { o.accumulates = true; }));
  CHECK(differs([](Product& o) { o.alpha_beta = reinterpret_cast<const float*>(memory); }));
  CHECK(differs([](Product& o) { o.fast_accumulation = true; }));
  CHECK(differs([](Product& o) { o.d = memory + 64; }));
  Product moved = p;
  moved.d = memory + 256;
  CHECK(key_of(moved) == key_of(p));
  CHECK(alignment_of(memory + 2) == 2);
}

}  // namespace mbt::test::gemm_choices_test
