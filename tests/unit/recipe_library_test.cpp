// Recipes: the built-in ones have upstream's exact values, files of users add to them, mistakes are explained.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/recipe/library.h"
#include "tests/support/catch.h"

namespace mbt::test::recipe_library_test {

namespace {

/// A file in the temporary folder that goes away with the test.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& name, const std::string& content)
      : path_((std::filesystem::temp_directory_path() / ("mbt_recipes_" + name)).string()) {
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string error_of(const std::string& library) {
  const TemporaryFile file("bad.json", library);
  try {
    RecipeLibrary::load({file.path()});
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

std::string error_of_name(const std::string& name) {
  try {
    RecipeLibrary::load().get_or_read(name);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

/// What 12.5 says of one recipe.
struct Expected {
  const char* name;
  WeightDtype base;
  std::optional<Fp8Format> fp8;
  Fp8Recipe scaling;
  bool fp8_param;
  bool fp4_param;
  int64_t start, end;  // -1: first_last_layers_bf16 is false
};
using enum WeightDtype;
using enum Fp8Format;
using enum Fp8Recipe;
constexpr Expected kUpstream[] = {
    {"bf16_mixed", bf16, {}, tensorwise, false, false, -1, -1},
    {"fp16_mixed", fp16, {}, tensorwise, false, false, -1, -1},
    {"bf16_with_fp8_delayed_scaling_mixed", bf16, hybrid, delayed, true, false, -1, -1},
    {"fp16_with_fp8_delayed_scaling_mixed", fp16, hybrid, delayed, true, false, -1, -1},
    {"bf16_with_mxfp8_mixed", bf16, e4m3, mxfp8, true, false, -1, -1},
    {"fp16_with_mxfp8_mixed", fp16, e4m3, mxfp8, true, false, -1, -1},
    {"bf16_with_fp8_current_scaling_mixed", bf16, hybrid, tensorwise, true, false, 1, 1},
    {"fp16_with_fp8_current_scaling_mixed", fp16, hybrid, tensorwise, true, false, 1, 1},
    {"nemotron_h_bf16_with_fp8_current_scaling_mixed", bf16, hybrid, tensorwise, true, false, 2, 2},
    {"nanov2_bf16_with_fp8_current_scaling_mixed", bf16, hybrid, blockwise, true, false, 2, 2},
    {"bf16_with_fp8_subchannel_scaling_mixed", bf16, hybrid, blockwise, false, false, -1, -1},
    {"fp16_with_fp8_subchannel_scaling_mixed", fp16, hybrid, blockwise, false, false, -1, -1},
    {"bf16_with_nvfp4_mixed", bf16, {}, tensorwise, false, true, -1, -1},
    {"nemotron_3_super_bf16_with_nvfp4_mixed", bf16, {}, tensorwise, false, true, 0, 14},
};

}  // namespace

TEST_CASE("the built-in recipes are upstream's fourteen and fp32") {
  const RecipeLibrary library = RecipeLibrary::load();
  CHECK(library.all().size() == std::size(kUpstream) + 1);
  for (const Expected& e : kUpstream) {
    CAPTURE(e.name);
    const MixedPrecisionConfig& c = library.get(e.name).config;
    const bool is_bf16 = e.base == bf16;
    const bool is_delayed = e.scaling == delayed, is_mxfp8 = e.scaling == mxfp8;
    CHECK(c.name == e.name);
    CHECK(c.bf16 == is_bf16);
    CHECK(c.fp16 == !is_bf16);
    CHECK_FALSE(c.fp32);
    CHECK(c.params_dtype == e.base);
    CHECK(c.pipeline_dtype == e.base);
    CHECK_FALSE(c.autocast_dtype.has_value());
    CHECK_FALSE(c.autocast_enabled);
    CHECK(c.grad_reduce_in_fp32 == is_bf16);
    CHECK(c.fp8 == e.fp8);
    CHECK(c.fp8_recipe == e.scaling);
    CHECK(c.fp8_param.value_or(false) == e.fp8_param);
    CHECK(c.fp8_param_gather == e.fp8_param);
    CHECK(c.fp4 == (e.fp4_param ? std::optional(Fp4Format::e2m1) : std::nullopt));
    CHECK(c.fp4_recipe == Fp4Recipe::nvfp4);
    CHECK(c.fp4_param.value_or(false) == e.fp4_param);
    CHECK(c.fp4_param_gather == e.fp4_param);
    CHECK(c.first_last_layers_bf16 == (e.start >= 0));
    CHECK(c.num_layers_at_start_in_bf16 == std::max<int64_t>(e.start, 0));
    CHECK(c.num_layers_at_end_in_bf16 == std::max<int64_t>(e.end, 0));
    CHECK(c.fp8_amax_history_len == (is_delayed ? 1024 : 1));
    CHECK(c.fp8_amax_compute_algo == (is_delayed ? AmaxChoice::max : AmaxChoice::most_recent));
    CHECK(c.fp8_margin == 0);
    CHECK(c.reuse_grad_buf_for_mxfp8_param_ag == is_mxfp8);
    CHECK(c.fp8_wgrad);
    CHECK_FALSE(c.fp8_dot_product_attention);
    CHECK_FALSE(c.fp8_multi_head_attention);
    CHECK_FALSE(c.loss_scale.has_value());
    CHECK(c.initial_loss_scale == 4294967296.0);
    CHECK(c.min_loss_scale == 1.0);
    CHECK(c.loss_scale_window == 1000.0);
    CHECK(c.hysteresis == 2);
  }
}

TEST_CASE("the fp32 recipe has no 16-bit type") {
  const MixedPrecisionConfig c = RecipeLibrary::load().get("fp32").config;
  CHECK(c.fp32);
  CHECK_FALSE(c.bf16);
  CHECK_FALSE(c.fp16);
  CHECK(c.params_dtype == WeightDtype::fp32);
  CHECK(c.grad_reduce_in_fp32);
}

TEST_CASE("every built-in recipe describes itself; those made for one model say which") {
  const RecipeLibrary library = RecipeLibrary::load();
  for (const Recipe& r : library.all()) {
    CAPTURE(r.name);
    CHECK_FALSE(r.description.empty());
    CHECK_FALSE(std::string(native_on(r.config)).empty());
    CHECK(r.model.empty() == (r.name.find("nemotron") == std::string::npos && r.name.find("nano") == std::string::npos));
    CHECK(r.vendor.empty() == r.model.empty());
    CHECK(r.architecture.empty() == r.model.empty());
  }
  CHECK(library.get("nemotron_h_bf16_with_fp8_current_scaling_mixed").extends == "bf16_with_fp8_current_scaling_mixed");
}

TEST_CASE("no recipe claims a GPU that the CUDA backend refuses: nothing older than sm_80") {
  const RecipeLibrary library = RecipeLibrary::load();
  for (const char* plain : {"fp32", "bf16_mixed", "fp16_mixed"})
    CHECK(std::string(native_on(library.get(plain).config)) == "sm_80 and newer");
  for (const Recipe& r : library.all()) {
    const std::string gpus = native_on(r.config);
    CAPTURE(r.name, gpus);
    REQUIRE(gpus.rfind("sm_", 0) == 0);
    CHECK(std::stoi(gpus.substr(3)) >= 80);
  }
}

TEST_CASE("hyphens equal underscores in names") {
  const RecipeLibrary library = RecipeLibrary::load();
  const char* name = "bf16_with_fp8_current_scaling_mixed";
  CHECK(library.get("bf16-with-fp8-current-scaling-mixed").name == name);
  CHECK(library.get("bf16_with-fp8_current-scaling_mixed").name == name);
}

TEST_CASE("an unknown name lists the recipes and the nearest") {
  const std::string error = error_of_name("bf16_with_fp8_curent_scaling_mixed");
  CHECK_THAT(error, ContainsSubstring("did you mean \"bf16_with_fp8_current_scaling_mixed\"?"));
  CHECK_THAT(error, ContainsSubstring("nemotron_3_super_bf16_with_nvfp4_mixed"));
}

TEST_CASE("a file adds recipes that extend others, in any order; origins say who set a field") {
  const TemporaryFile file("chain.json", R"({"recipes": {
    "grandchild": {"extends": "child", "num_layers_at_end_in_bf16": 3},
    "child": {"extends": "bf16-with-fp8-current-scaling-mixed", "description": "mine", "fp8_param": false}}})");
  const RecipeLibrary library = RecipeLibrary::load({file.path()});
  const Recipe& r = library.get("grandchild");
  CHECK(r.extends == "child");
  CHECK(r.source == file.path());
  CHECK(r.description.empty());
  CHECK(std::string(native_on(r.config)) == "sm_89 and newer");
  CHECK(r.config.num_layers_at_start_in_bf16 == 1);
  CHECK(r.config.num_layers_at_end_in_bf16 == 3);
  CHECK_FALSE(r.config.fp8_param_gather);  // the other name of fp8_param
  CHECK(r.origins.at("num_layers_at_end_in_bf16").text == "grandchild");
  CHECK(r.origins.at("fp8_param_gather").text == "child");
  CHECK(r.origins.at("fp8").text == "bf16_with_fp8_current_scaling_mixed");
  CHECK(r.origins.at("bf16").text == "bf16_mixed");
}

TEST_CASE("MBTRAIN_RECIPES is a list of files") {
  const TemporaryFile one("one.json", R"({"recipes": {"one": {"extends": "fp32"}}})");
  const TemporaryFile two("two.json", R"({"recipes": {"two": {"extends": "one"}}})");
  setenv("MBTRAIN_RECIPES", (one.path() + "::" + two.path()).c_str(), 1);
  const RecipeLibrary library = RecipeLibrary::load();
  unsetenv("MBTRAIN_RECIPES");
  CHECK(library.get("two").config.fp32);
}

TEST_CASE("fp8_param and fp8_param_gather are one setting") {
  const auto param_of = [](const std::string& fields) {
    const TemporaryFile file("param.json", "{" + fields + "}");
    const MixedPrecisionConfig c = RecipeLibrary::load().get_or_read(file.path()).config;
    CHECK(c.fp8_param.value_or(false) == c.fp8_param_gather);
    return c.fp8_param_gather;
  };
  CHECK_FALSE(param_of(""));
  CHECK(param_of(R"("fp8_param_gather": true)"));
  CHECK(param_of(R"("fp8_param": true, "fp8_param_gather": true)"));
  CHECK(param_of(R"("fp8_param": true)"));  // upstream loses it: docs/mixed-precision.md
  CHECK_FALSE(param_of(R"("extends": "bf16_with_mxfp8_mixed", "fp8_param_gather": false)"));
  CHECK(param_of(R"("extends": "bf16_with_mxfp8_mixed", "fp8_param": null)"));
  CHECK_THAT(error_of(R"({"recipes": {"a": {"fp8_param": true, "fp8_param_gather": false}}})"), ContainsSubstring("they are one setting"));
}

TEST_CASE("--mixed-precision takes a file with one recipe") {
  const TemporaryFile object("object.json", R"({"extends": "bf16_mixed", "fp8": "e4m3", "name": "mine"})");
  const TemporaryFile single("single.json", R"({"recipes": {"only": {"extends": "bf16_mixed", "fp8": "e4m3"}}})");
  const TemporaryFile twice("twice.json", R"({"recipes": {"one": {}, "two": {}}})");
  const RecipeLibrary library = RecipeLibrary::load();
  CHECK(library.get_or_read(object.path()).name == "mine");
  CHECK(library.get_or_read(object.path()).config.fp8 == Fp8Format::e4m3);
  CHECK(library.get_or_read(single.path()).name == "only");
  CHECK_THAT(error_of_name(twice.path()), ContainsSubstring("pass it with --recipes"));
  CHECK_THAT(error_of_name("no_such_file.json"), ContainsSubstring("no_such_file.json"));
}

TEST_CASE("mistakes in a library name the line, what is wrong and what may be meant; all at once") {
  const std::string error = error_of(
      "{\"recipes\": {\n\"a\": {\"fp8_recpie\": \"mxfp8\"},\n\"b\": {\"fp8\": \"e5m2\"},\n\"c\": {\"extends\": \"bf16_mixde\"}\n}}");
  CHECK_THAT(error, ContainsSubstring(".json:2"));
  CHECK_THAT(error, ContainsSubstring("did you mean \"fp8_recipe\"?"));
  CHECK_THAT(error, ContainsSubstring(".json:3"));
  CHECK_THAT(error, ContainsSubstring("hybrid"));
  CHECK_THAT(error, ContainsSubstring(".json:4"));
  CHECK_THAT(error, ContainsSubstring("did you mean \"bf16_mixed\"?"));
  CHECK_THAT(error_of(R"({"recipes": {"a": {"extends": "b"}, "b": {"extends": "a"}}})"), ContainsSubstring("a -> b -> a"));
  CHECK_THAT(error_of(R"({"recipes": {"a": {"extends": "a"}}})"), ContainsSubstring("a -> a"));
  CHECK_THAT(error_of(R"({"recipes": {"bf16-mixed": {}}})"), ContainsSubstring("the name is taken"));
  CHECK_THAT(error_of(R"({"recipes": {"a": 1}})"), ContainsSubstring("expected an object"));
  CHECK_THAT(error_of(R"({"recipes": {"a": {"name": "b"}}})"), ContainsSubstring("the key is the name"));
  CHECK_THAT(error_of(R"({"recipes": {"a": {"extends": 1}}})"), ContainsSubstring("expected the name of a recipe"));
  CHECK_THAT(error_of(R"({"recipes": {"a": {"hysteresis": 1.5}}})"), ContainsSubstring("hysteresis"));
  CHECK_THAT(error_of(R"({"recipes": {"a": {"specific_to": {"modle": "x"}}}})"), ContainsSubstring("model, vendor and architecture"));
  CHECK_THAT(error_of(R"({"recipe": {}})"), ContainsSubstring("not a recipe library"));
  CHECK_THAT(error_of(R"([])"), ContainsSubstring("not a recipe library"));
}

TEST_CASE("an inline object is fields over a named recipe, or over a recipe's defaults, as in a file") {
  const RecipeLibrary library = RecipeLibrary::load();
  const Origin place{Origin::Kind::config_file, "run.json:3"};
  std::vector<Problem> problems;
  const auto read = [&](const char* json) { return library.from_inline(nlohmann::json::parse(json), {}, place, problems); };
  CHECK_FALSE(read(R"({"fp8": "hybrid"})").config.bf16);
  CHECK(read(R"({"name": "fp16_mixed", "hysteresis": 3})").config.fp16);
  CHECK(read(R"({"extends": "fp16_mixed", "name": "mine"})").name == "mine");
  CHECK(problems.empty());
  read(R"({"name": "fp16_mixd"})");
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0].what, ContainsSubstring("did you mean \"fp16_mixed\"?"));
}

TEST_CASE("an inline recipe is called what it is") {
  const RecipeLibrary library = RecipeLibrary::load();
  const Origin place{Origin::Kind::config_file, "run.json:3"};
  std::vector<Problem> problems;
  const auto name_of = [&](const char* json) { return library.from_inline(nlohmann::json::parse(json), {}, place, problems).config.name; };
  CHECK(name_of(R"({"extends": "bf16_mixed", "fp8": "hybrid"})") == "inline in run.json, on bf16_mixed");
  CHECK(name_of(R"({"name": "bf16_mixed", "fp8": "hybrid"})") == "inline in run.json, on bf16_mixed");
  CHECK(name_of(R"({"bf16": true})") == "inline in run.json, on the defaults of a recipe");
  CHECK(name_of(R"({"extends": "bf16_mixed"})") == "bf16_mixed");
  CHECK(name_of(R"({"extends": "bf16_mixed", "fp8": null})") == "bf16_mixed");
}

TEST_CASE("shorthands name the recipes with bf16, and are not inherited") {
  const RecipeLibrary library = RecipeLibrary::load();
  CHECK(library.get("fp8_cs").name == "bf16_with_fp8_current_scaling_mixed");
  CHECK(library.get("fp8-ds").name == "bf16_with_fp8_delayed_scaling_mixed");
  CHECK(library.get("fp8_sc").name == "bf16_with_fp8_subchannel_scaling_mixed");
  CHECK(library.get("fp8_mx").name == "bf16_with_mxfp8_mixed");
  CHECK(library.get("nvfp4").name == "bf16_with_nvfp4_mixed");
  int64_t count = 0;
  for (const Recipe& r : library.all()) count += r.shorthand.empty() ? 0 : 1;
  CHECK(count == 5);
}

TEST_CASE("where a recipe is native follows from its fields, not from its parent's") {
  MixedPrecisionConfig c;
  c.bf16 = true;
  CHECK(std::string(native_on(c)) == "sm_80 and newer");
  c.fp8 = Fp8Format::hybrid;
  CHECK(std::string(native_on(c)) == "sm_89 and newer");
  c.fp8_recipe = Fp8Recipe::mxfp8;
  CHECK(std::string(native_on(c)) == "sm_100 and newer");
}

}  // namespace mbt::test::recipe_library_test
