// What comes along with weights: which settings belong to them, and whether two tokenizers have the same tokens.
#include <nlohmann/json.hpp>

#include "core/config/architecture.h"
#include "core/config/command_line.h"
#include "core/config/config_file.h"
#include "core/config/config_json.h"
#include "core/config/field_table.h"
#include "core/model/params.h"
#include "core/recipe/resolve.h"
#include "core/tokenizer/compare_tokenizers.h"
#include "core/tokenizer/open_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::load_settings_test {

namespace {

/// Another value of the field; null: there is none.
nlohmann::json other_value(const Field& field) {
  switch (field.type()) {
    case FieldType::boolean: return !(field.get().is_boolean() && field.get().get<bool>());
    case FieldType::integer: return field.get().is_number() ? field.get().get<int64_t>() * 2 : 8;
    case FieldType::number: return field.get().is_number() ? field.get().get<double>() / 2 + 0.25 : 0.25;
    case FieldType::choice:
      for (const std::string& choice : field.choices())
        if (field.get() != choice) return choice;
      return {};
    default: return {};
  }
}

std::vector<std::string> shapes(const ModelConfig& m) {
  std::vector<std::string> all;
  for (const ParamSpec& s : list_params(m).specs) all.push_back(s.name + s.shape.str());
  return all;
}

}  // namespace

TEST_CASE("every setting that changes what weights are or compute comes along with them") {
  RunConfig config;
  config.model.rope_scaling = true;
  const RunConfig plain = config;
  int64_t found = 0;
  FieldTable table(config);
  for (Field& field : table.all()) {
    if (field.section != "model") continue;
    const nlohmann::json value = other_value(field);
    if (value.is_null() || field.set(value)) continue;  // only one value is possible
    const bool matters = shapes(config.model) != shapes(plain.model) || !architecture_differences(plain.model, config.model).empty();
    CAPTURE(field.path(), value.dump());
    if (matters && field.path() != "model.seq_length") CHECK(is_of_architecture(field));  // that one is a bound, where no other is set
    found += matters ? 1 : 0;
    config = plain;
  }
  CHECK(found > 20);
}

TEST_CASE("tokenizers are compared token by token, not by where they lie") {
  const std::string golden = std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/";
  const auto one = open_tokenizer(golden + "llama3"), same = open_tokenizer(golden + "llama3"), other = open_tokenizer(golden + "o200k");
  CHECK(vocabulary_difference(*one, *same).empty());
  CHECK_THAT(vocabulary_difference(*one, *make_byte_tokenizer()), ContainsSubstring("tokens there, 256 here"));
  CHECK(!vocabulary_difference(*one, *other).empty());

  const TemporaryFolder folder;
  nlohmann::json json = nlohmann::json::parse(read_tokenizer_files(golden + "llama3").front().second);
  auto& vocab = json["model"]["vocab"];
  std::swap(vocab["!"], vocab["?"]);
  folder.file("tokenizer.json", json.dump());
  CHECK_THAT(vocabulary_difference(*one, *open_tokenizer(folder.path())),
             ContainsSubstring("\"!\" there, \"?\" here") || ContainsSubstring("\"?\" there, \"!\" here"));
}

TEST_CASE("a tokenizer is read from the checkpoint that carries it") {
  const TemporaryFolder folder;
  const std::string golden = std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/llama3";
  for (const auto& [name, content] : read_tokenizer_files(golden)) folder.file(kCarriedPrefix + name, content);
  CHECK(tokenizer_type_in(folder.path()) == TokenizerType::hugging_face);
  CHECK(open_tokenizer(folder.path())->fingerprint() == open_tokenizer(golden)->fingerprint());
}

TEST_CASE("in a saved config only what is neither a default nor the recipe's is said") {
  const auto read = [](const std::string& text) {
    ConfigInput input;
    read_config_text(text, "saved.json", input);
    return resolve_run(input);
  };
  const ResolvedRun first = resolve_run(parse_config_arguments(
      {"--mixed-precision", "bf16_with_mxfp8_mixed", "--lr", "1e-3", "mixed_precision.fp8_margin=1", "ddp.bucket_size=7"}));
  const ResolvedRun again = read(json_text(first.config));
  CHECK(json_text(again.config) == json_text(first.config));
  CHECK(again.notes == first.notes);
  CHECK(origin_of(again.origins, "optimizer.lr").kind == Origin::Kind::config_file);
  CHECK(origin_of(again.origins, "mixed_precision.fp8_margin").kind == Origin::Kind::config_file);
  for (const char* path : {"model.num_layers", "optimizer.weight_decay", "mixed_precision.fp8"})
    CHECK(origin_of(again.origins, path).kind == Origin::Kind::resolved);
  CHECK(origin_of(read(R"({"model": {"num_layers": 4}})").origins, "model.num_layers").kind == Origin::Kind::config_file);

  ConfigInput with_other_recipe;
  read_config_text(json_text(first.config), "saved.json", with_other_recipe);
  with_other_recipe.inline_recipe.reset();
  with_other_recipe.recipe = "bf16_mixed";
  for (const std::string& note : resolve_run(with_other_recipe).notes) CHECK_THAT(note, !ContainsSubstring("the recipe decides it"));
}

TEST_CASE("defaults of another program give way to a checkpoint, and a checkpoint to what is said") {
  ConfigInput input = parse_config_arguments({"--num-layers", "2"});
  input.defaults = parse_defaults({"model.num_layers=8", "model.hidden_size=64", "model.ffn_hidden_size=96"}, "another program");
  input.loaded = {{"model", "num_layers", nlohmann::json(4), {Origin::Kind::checkpoint, "c:1"}},
                  {"model", "hidden_size", nlohmann::json(32), {Origin::Kind::checkpoint, "c:2"}}};
  const ResolvedRun run = resolve_run(input);
  CHECK(run.config.model.num_layers == 2);
  CHECK(run.config.model.hidden_size == 32);
  CHECK(run.config.model.ffn_hidden_size == 96);
  CHECK(to_string(origin_of(run.origins, "model.ffn_hidden_size")) == "default another program");
  CHECK(to_string(origin_of(run.origins, "model.hidden_size")) == "checkpoint c:2");
}

}  // namespace mbt::test::load_settings_test
