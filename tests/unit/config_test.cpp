// The field list and what follows from it: values by name, JSON, origins, schema, reference.
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/assign.h"
#include "core/config/config_file.h"
#include "core/config/config_input.h"
#include "core/config/config_json.h"
#include "core/config/describe.h"
#include "core/config/field_table.h"
#include "core/config/help.h"
#include "tests/support/catch.h"

namespace mbt::test::config_test {

using nlohmann::json;

namespace {

/// A value that the field accepts and that is not its default.
json another_value(const Field& field) {
  const json now = field.get();
  switch (field.type()) {
    case FieldType::boolean: return now.is_null() ? json(true) : json(!now.get<bool>());
    case FieldType::string: return json("some text \"é\"");
    case FieldType::choice:
      for (const std::string& choice : field.choices())
        if (now != choice) return choice;
      return now;
    case FieldType::integer_list: return json({3, 5});
    case FieldType::string_list: return json({"a", "b"});
    case FieldType::integer:
      for (const double value : {3.0, field.info.min, field.info.max})
        if (value >= field.info.min && value <= field.info.max && now != static_cast<int64_t>(value)) return static_cast<int64_t>(value);
      return now;
    case FieldType::number:
      for (const double value : {0.1, 1e-7, 1234.5})
        if (value >= field.info.min && value <= field.info.max && now != value) return value;
      return now;
  }
  return now;
}

/// Defaults, with every field changed that has another value.
RunConfig changed_config() {
  RunConfig config;
  FieldTable table(config);
  for (Field& field : table.all()) REQUIRE_FALSE(field.set(another_value(field)));
  return config;
}

std::string set_refusal(const std::string& path, const json& value) {
  RunConfig config;
  FieldTable table(config);
  const size_t dot = path.find('.');
  Field* const field = table.find(path.substr(0, dot), path.substr(dot + 1));
  REQUIRE(field);
  return field->set(value).value_or("accepted");
}

std::string text_refusal(const std::string& path, const std::string& value) {
  RunConfig config;
  FieldTable table(config);
  const size_t dot = path.find('.');
  Field* const field = table.find(path.substr(0, dot), path.substr(dot + 1));
  REQUIRE(field);
  return field->set_text(value).value_or("accepted");
}

std::string file_text(const std::string& path) {
  std::ifstream file(std::string(MBT_SOURCE_DIR) + "/" + path);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace

TEST_CASE("Every field survives JSON, a config file and command-line text", "[config]") {
  const RunConfig config = changed_config();
  CHECK(difference(config, RunConfig{}).size() > 150);

  SECTION("a config file") {
    ConfigInput input;
    nlohmann::ordered_json written = to_json(config);
    read_config_text(written.dump(2), "run.json", input);
    REQUIRE(input.problems.empty());
    REQUIRE(input.inline_recipe);
    for (const auto& [key, value] : (*input.inline_recipe)->items())
      input.assignments.push_back({"mixed_precision", key, value, input.inline_origins.at(key)});
    RunConfig read;
    Origins origins;
    std::vector<Problem> problems;
    apply_assignments(read, input.assignments, origins, problems);
    CHECK(problems.empty());
    CHECK(difference(config, read).empty());
    CHECK(to_json(read) == written);
    CHECK(origins.at("model.num_layers").text == "run.json:3");
  }
  SECTION("command-line text") {
    RunConfig source = config, target;
    FieldTable from(source), to(target);
    for (size_t i = 0; i < from.all().size(); ++i) {
      const json value = from.all()[i].get();
      const std::string typed = value.is_string()         ? value.get<std::string>()
                                : value.is_number_float() ? to_text(value.get<double>())
                                                          : value.dump();
      INFO(from.all()[i].path() << " " << typed);
      CHECK_FALSE(to.all()[i].set_text(typed));
    }
    CHECK(difference(config, target).empty());
  }
}

TEST_CASE("Field names, aliases and defaults are in order", "[config]") {
  RunConfig config;
  FieldTable table(config);
  std::set<std::string> paths, aliases = {"config", "recipes", "mixed_precision", "help", "version"};
  for (Field& field : table.all()) {
    INFO(field.path());
    CHECK(paths.insert(field.path()).second);
    CHECK(underscored(field.info.name) == field.info.name);
    CHECK(std::string(field.info.doc).size() > 5);
    if (!field.alias.empty()) CHECK(aliases.insert(underscored(field.alias)).second);
    CHECK_FALSE(field.set(field.get()));  // the default is valid
    CHECK(table.find(field.section, field.info.name) == &field);
  }
  CHECK(table.find("mixed-precision", "fp8-recipe") == table.find("mixed_precision", "fp8_recipe"));
  CHECK(table.find("model", "none") == nullptr);
  CHECK(table.find_alias("micro_batch_size") == table.find("train", "micro_batch_size"));
  CHECK(table.find_alias("") == nullptr);
}

TEST_CASE("A field's flag is its name unless the list says otherwise, and belongs to it alone", "[config]") {
  RunConfig config;
  FieldTable table(config);
  const auto flag = [&](const char* section, const char* name) { return table.find(section, name)->alias; };
  CHECK(flag("train", "train_iters") == "train-iters");
  CHECK(flag("dataset", "blend") == "data-path");  // another name
  CHECK(flag("dataset", "kind").empty());          // none
  CHECK(flag("optimizer", "fp8_recipe").empty());  // precision is set in mixed_precision: the same names elsewhere have no flag
  CHECK(table.find_alias("fp8_recipe")->path() == "mixed_precision.fp8_recipe");
  CHECK(table.find_alias("hysteresis")->path() == "mixed_precision.hysteresis");
  CHECK(table.find_alias("fp16") == nullptr);  // chooses a recipe

  std::vector<Field> fields = table.all();
  CHECK_NOTHROW(check_aliases(fields));
  table.find("optimizer", "hysteresis")->alias = "hysteresis";
  CHECK_THROWS_WITH(check_aliases(table.all()), ContainsSubstring("--hysteresis is the flag of optimizer.hysteresis and of mixed_precision."
                                                                  "hysteresis: give one of them kNoAlias"));
}

TEST_CASE("Enums are read and written by the names of their list", "[config]") {
  CHECK(std::string(name_of(TokenizerType::sentencepiece)) == "SentencePieceTokenizer");
  CHECK(value_named<LrDecayStyle>("inverse-square-root") == LrDecayStyle::inverse_square_root);
  CHECK_FALSE(value_named<LrDecayStyle>("wsd"));     // WSD
  CHECK_FALSE(value_named<DeviceChoice>("nvidia"));  // what others call it is no name
  RunConfig config;
  FieldTable table(config);
  for (Field& field : table.all()) {
    if (field.type() != FieldType::choice) continue;
    INFO(field.path());
    std::set<std::string> names;
    for (const std::string& choice : field.choices()) {
      CHECK(names.insert(choice).second);
      CHECK_FALSE(field.set(choice));
      CHECK(field.get() == choice);
    }
    CHECK_FALSE(names.empty());
    CHECK(field.set(nullptr).has_value() != field.is_optional());
    if (field.is_optional()) CHECK(field.get().is_null());
    CHECK(field.set(1).has_value());  // the number of a value is no name
  }
  Field& fp8 = *table.find("mixed_precision", "fp8");
  CHECK_FALSE(fp8.set_text("hybrid"));
  CHECK(config.mixed_precision.fp8 == Fp8Format::hybrid);
  CHECK_FALSE(fp8.set_text("none"));
  CHECK_FALSE(config.mixed_precision.fp8);
  CHECK(set_refusal("mixed_precision.fp4", 4) == "got 4, expected e2m1, or null");
}

TEST_CASE("A field refuses what it cannot hold and says what it can", "[config]") {
  CHECK(set_refusal("model.hidden_size", "big") == "got \"big\", expected an integer from 1 to 1048576");
  CHECK(set_refusal("model.hidden_size", 64.0) == "got 64.0, expected an integer from 1 to 1048576");
  CHECK(set_refusal("model.hidden_size", nullptr) == "got null, expected an integer from 1 to 1048576");
  CHECK(set_refusal("model.hidden_size", true) == "got true, expected an integer from 1 to 1048576");
  CHECK_THAT(set_refusal("model.hidden_size", json(UINT64_MAX)), ContainsSubstring("expected an integer"));
  CHECK(set_refusal("model.hidden_size", json::object()) == "got an object, expected an integer from 1 to 1048576");
  CHECK(set_refusal("train.train_iters", -5) == "got -5, expected an integer from 1 to 99999999, or null");
  CHECK(set_refusal("train.train_iters", nullptr) == "accepted");
  CHECK(set_refusal("optimizer.lr", 1) == "accepted");
  CHECK_THAT(set_refusal("optimizer.lr", json(std::nan(""))), ContainsSubstring("expected a number"));
  CHECK_THAT(set_refusal("optimizer.lr", "1e-3"), ContainsSubstring("expected a number"));
  CHECK(set_refusal("model.hidden_dropout", 0.1) == "got 0.1, expected 0, the only value that is possible here");
  CHECK(set_refusal("logger.log_throughput", 1) == "got 1, expected true or false");
  CHECK(set_refusal("train.device", "gpu") == "got \"gpu\", expected one of auto, cpu, cuda; here that is \"cuda\"");
  CHECK_THAT(set_refusal("model.attention_backend", "fused"), ContainsSubstring("here that is \"flash\""));
  for (const char* word : {"unfused", "local"})
    CHECK_THAT(set_refusal("model.attention_backend", word), ContainsSubstring("here that is \"math\""));
  CHECK(set_refusal("mixed_precision.fp8", "hybird") == "got \"hybird\", expected one of e4m3, hybrid, or null; did you mean \"hybrid\"?");
  CHECK_THAT(set_refusal("dataset.path", std::string("a\0b", 3)), ContainsSubstring("expected text"));
  CHECK_THAT(set_refusal("train.iterations_to_skip", json({1, 0})), ContainsSubstring("got [1,0], expected a list of integers >= 1"));
  CHECK_THAT(set_refusal("train.iterations_to_skip", json({1, "x"})), ContainsSubstring("expected a list"));
}

TEST_CASE("Text from the command line becomes the field's type", "[config]") {
  CHECK(text_refusal("train.train_iters", "99999999999999999999") ==
        "got \"99999999999999999999\" (beyond 64-bit integers), expected an integer from 1 to 99999999, or null");
  for (const char* number : {"nan", "inf", "1e999", "", "1,5", "big"}) CHECK(text_refusal("optimizer.lr", number) != "accepted");
  for (const char* word : {"yes", "2", "", "TRUE1"}) CHECK(text_refusal("logger.log_throughput", word) != "accepted");
  for (const char* list : {"1,x", "[1", "1;2", "[1,2,]"}) CHECK(text_refusal("train.iterations_to_skip", list) != "accepted");

  RunConfig config;
  FieldTable table(config);
  const auto set = [&](const char* section, const char* name, const char* typed) {
    CHECK_FALSE(table.find(section, name)->set_text(typed));
  };
  set("rng", "seed", "9007199254740991");
  CHECK(config.rng.seed == 9007199254740991);
  set("optimizer", "lr", "3.0000000000000004e-4");
  CHECK(config.optimizer.lr == 3.0000000000000004e-4);
  set("train", "train_iters", "5");
  set("train", "train_iters", "none");
  CHECK_FALSE(config.train.train_iters);
  set("logger", "log_throughput", "True");
  CHECK(config.logger.log_throughput);
  set("train", "iterations_to_skip", "[3, 4]");
  CHECK(config.train.iterations_to_skip == std::vector<int64_t>{3, 4});
  set("train", "iterations_to_skip", "5,6");
  CHECK(config.train.iterations_to_skip == std::vector<int64_t>{5, 6});
  set("train", "iterations_to_skip", "[]");
  CHECK(config.train.iterations_to_skip.empty());
  set("dataset", "path", " a b ");
  CHECK(config.dataset.path == " a b ");
  set("dataset", "path", "none");  // not optional: a folder may be called so
  CHECK(config.dataset.path == "none");
}

TEST_CASE("All problems of the assignments are collected, the rest applies", "[config]") {
  RunConfig config;
  Origins origins;
  std::vector<Problem> problems;
  const Origin file{Origin::Kind::config_file, "run.json:4"}, line{Origin::Kind::command_line, "--lr"};
  apply_assignments(config,
                    {{"model", "hiden_size", nlohmann::json(64), file},
                     {"modl", "hidden_size", nlohmann::json(64), file},
                     {"model", "lr", nlohmann::json(1), file},
                     {"optimizer", "lr", nlohmann::json("fast"), line},
                     {"model", "num_layers", nlohmann::json(7), file},
                     {"optimizer", "lr", nlohmann::json("0.5"), line},
                     {"m\x1b", "x", nlohmann::json(1), file}},
                    origins, problems);
  REQUIRE(problems.size() == 5);
  CHECK(problems[0].where == "run.json:4: model.hiden_size");
  CHECK(problems[0].what == "unknown field; did you mean \"hidden_size\"?");
  CHECK(problems[1].what == "unknown section \"modl\"; did you mean \"model\"?; there is model.hidden_size");
  CHECK(problems[2].what == "unknown field; there is optimizer.lr");
  CHECK(problems[3].where == "command line, --lr: optimizer.lr");
  CHECK(problems[4].where.find('\x1b') == std::string::npos);
  CHECK(config.model.num_layers == 7);
  CHECK(config.optimizer.lr == 0.5);
  CHECK(to_string(origin_of(origins, "model.num_layers")) == "config file run.json:4");
  CHECK(to_string(origin_of(origins, "optimizer.lr")) == "command line --lr");
  CHECK(to_string(origin_of(origins, "model.hidden_size")) == "default");
  CHECK(origins.size() == 2);
  try {
    throw_problems(problems);
  } catch (const InputError& error) {
    CHECK_THAT(error.what(), ContainsSubstring("5 problems:\n  run.json:4: model.hiden_size: unknown field"));
  }
}

TEST_CASE("Config files: sections, recipes, what cannot be one", "[config]") {
  const auto read = [](const std::string& text) {
    ConfigInput input;
    read_config_text(text, "run.json", input);
    return input;
  };
  const auto problem = [&](const std::string& text) {
    const ConfigInput input = read(text);
    REQUIRE(input.problems.size() == 1);
    return input.problems[0].where + ": " + input.problems[0].what;
  };
  const ConfigInput named = read("{\"$schema\": \"s.json\", \"mixed_precision\": \"fp16-mixed\",\n \"train\": {\"train-iters\": 5}}");
  CHECK(named.recipe == "fp16-mixed");
  CHECK(to_string(named.recipe_origin) == "config file run.json:1");
  REQUIRE(named.assignments.size() == 1);
  CHECK(to_string(named.assignments[0].origin) == "config file run.json:2");

  const ConfigInput spelled = read("{\"mixed-precision\": {\"extends\": \"bf16_mixed\",\n \"fp8\": \"e4m3\"}}");
  CHECK_FALSE(spelled.recipe);
  CHECK((**spelled.inline_recipe)["fp8"] == "e4m3");
  CHECK(spelled.inline_origins.at("fp8").text == "run.json:2");

  CHECK(problem("{\"model\": []}") == "run.json:1: model: got array, expected an object of fields");
  CHECK(problem("{\"modl\": {}}") == "run.json:1: unknown section \"modl\"; did you mean \"model\"?");
  CHECK_THAT(problem("[]"), ContainsSubstring("expected an object of sections"));
  CHECK_THAT(problem("{\"mixed_precision\": 8}"), ContainsSubstring("expected a recipe's name, an object of its fields or null"));
  CHECK_THAT(problem("{\"train\": {\"train-iters\": 1, \"train_iters\": 2}}"), ContainsSubstring("appears twice"));
  CHECK_THAT(problem("{"), ContainsSubstring("config file: run.json:1: not valid JSON"));
}

TEST_CASE("Megatron's blend_per_split is the three paths of ours", "[config]") {
  const auto applied = [](const nlohmann::json& value, Origin::Kind kind, std::vector<Problem>& problems) {
    RunConfig config;
    Origins origins;
    apply_assignments(config, {{"dataset", "blend_per_split", value, {kind, "--dataset.blend_per_split"}}}, origins, problems);
    return config.dataset;
  };
  std::vector<Problem> problems;
  const nlohmann::json lists = nlohmann::json::parse(R"([[["a", "b"], [0.3, 0.7]], null, ["c"]])");
  for (const auto& data :
       {applied(lists, Origin::Kind::config_file, problems), applied(lists.dump(), Origin::Kind::command_line, problems)}) {
    CHECK(data.train_data_path == std::vector<std::string>{"0.3", "a", "0.7", "b"});
    CHECK(data.valid_data_path.empty());
    CHECK(data.test_data_path == std::vector<std::string>{"c"});
  }
  CHECK_FALSE(applied(nullptr, Origin::Kind::config_file, problems).is_per_split());
  CHECK(problems.empty());
  for (const nlohmann::json& wrong : {nlohmann::json{"a", "b"}, nlohmann::json(3), nlohmann::json("a")}) {
    static_cast<void>(applied(wrong, Origin::Kind::config_file, problems));
    REQUIRE(problems.size() == 1);
    CHECK_THAT(problems[0].what, ContainsSubstring("expected three items") && ContainsSubstring("dataset.train_data_path"));
    problems.clear();
  }
}

TEST_CASE("configs/schema.json and docs/config-reference.md are up to date", "[config]") {
  INFO("after a change of a field: mbtrain config schema > configs/schema.json; mbtrain config reference > docs/config-reference.md");
  const bool schema_is_current = file_text("configs/schema.json") == config_schema().dump(2) + "\n";
  const bool reference_is_current = file_text("docs/config-reference.md") == config_reference();
  CHECK(schema_is_current);
  CHECK(reference_is_current);
}

TEST_CASE("--help-all names every field", "[config]") {
  RunConfig config;
  const FieldTable table(config);
  const std::string help = config_fields_help(100);
  for (const Field& field : table.all())
    CHECK((help.find(fmt::format("\n  {} ", field.info.name)) != std::string::npos ||
           help.find(fmt::format("\n  {}\n", field.info.name)) != std::string::npos));
}

TEST_CASE("Help stays within its width", "[config]") {
  RunConfig config;
  const FieldTable table(config);
  for (const size_t width : {80, 100}) {
    std::string help = config_help(width) + config_fields_help(width);
    for (const Field& field : table.all()) help += help_about(field.path(), width).value();
    for (const std::string& line : split(help, '\n')) {
      CHECK(line.size() <= width);
    }
  }
}

TEST_CASE("A field is explained by any of its names", "[config]") {
  const std::string lr = help_about("optimizer.lr", 100).value();
  CHECK_THAT(lr, ContainsSubstring("number from 0") && ContainsSubstring("0.002") && ContainsSubstring("--lr X, --optimizer.lr X"));
  for (const char* name : {"--lr", "lr", "--optimizer.lr"}) CHECK(help_about(name, 100) == lr);
  CHECK_THAT(help_about("--no-fp8-wgrad", 100).value(), ContainsSubstring("mixed_precision.fp8_wgrad"));
  CHECK_THAT(help_about("--mixed-precision", 100).value(), ContainsSubstring("--mixed-precision RECIPE"));
  CHECK_THAT(help_about("train", 100).value(), ContainsSubstring("train_iters") && ContainsSubstring("micro_batch_size"));
  const std::string shared = help_about("seq_length", 100).value();  // fields of one name in two sections
  CHECK_THAT(shared, ContainsSubstring("model.seq_length") && ContainsSubstring("dataset.seq_length"));
  CHECK(!help_about("nonsense", 100));
}

}  // namespace mbt::test::config_test
