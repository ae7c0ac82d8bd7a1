// Megatron-LM's command line: the table of its arguments, and what becomes of them.
#include "core/megatron/pretrain_gpt.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/config/command_line.h"
#include "core/io/files.h"
#include "core/megatron/argument_table.h"
#include "core/megatron/reference.h"
#include "core/recipe/resolve.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::megatron_test {

namespace {

/// The least that Megatron-LM accepts, on built-in data.
const std::string kLeast =
    "--num-layers 2 --hidden-size 64 --num-attention-heads 4 --seq-length 32 --max-position-embeddings 32 --micro-batch-size 2 "
    "--train-iters 4 --lr 1e-3 --attention-dropout 0 --hidden-dropout 0 --mock-data --tokenizer-type NullTokenizer --vocab-size 512";

MegatronTranslation translate(const std::string& more, const std::string& least = kLeast, int ranks = 1) {
  std::vector<std::string> args;
  for (const std::string& word : split(least + " " + more, ' '))
    if (!word.empty()) args.push_back(word);
  return translate_pretrain_gpt(args, ranks);
}

RunConfig config_of(const std::string& more) {
  const MegatronTranslation t = translate(more);
  ConfigInput input = parse_config_arguments(t.arguments);
  input.defaults = parse_defaults(t.defaults, "Megatron-LM");
  return resolve_run(input).config;
}

std::string error_of(const std::string& more, const std::string& least = kLeast) {
  try {
    translate(more, least);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("each argument stands once in the table, and what it sets exists") {
  RunConfig config;
  FieldTable table(config);
  std::set<std::string> seen;
  for (const MegatronArgument& a : megatron_arguments()) {
    INFO(a.flag);
    CHECK(seen.insert(underscored(a.flag)).second);
    for (const std::string& other : a.also) CHECK((underscored(other) == underscored(a.flag) || seen.insert(underscored(other)).second));
    if (a.kind == MegatronKind::mapped) CHECK((a.field.empty() != a.sets.empty()));
    else CHECK_FALSE(a.reason.empty());
    std::vector<std::string> fields;
    if (!a.field.empty()) fields.push_back(a.field);
    for (const std::string& s : a.sets) fields.push_back(s.substr(0, s.find('=')));
    for (const std::string& s : a.sets) {
      Field* const field = table.find(s.substr(0, s.find('.')), s.substr(s.find('.') + 1, s.find('=') - s.find('.') - 1));
      REQUIRE(field != nullptr);
      CHECK_FALSE(field->set_text(s.substr(s.find('=') + 1)));
    }
    for (const std::string& f : fields) CHECK(table.find(f.substr(0, f.find('.')), f.substr(f.find('.') + 1)) != nullptr);
  }
  CHECK(seen.size() > 850);
}

TEST_CASE("where nothing is said, the model is Megatron's") {
  const RunConfig c = config_of("");
  CHECK((c.model.normalization == Normalization::layer_norm && c.model.activation_func == ActivationFunc::gelu && c.model.add_bias_linear));
  CHECK((c.model.position_embedding_type == PositionEmbedding::learned_absolute && c.model.share_embeddings_and_output_weights));
  CHECK((c.optimizer.final_lr() == 0 && c.optimizer.weight_decay == 0.01 && c.scheduler.lr_decay_style == LrDecayStyle::linear));
  CHECK((c.mixed_precision.name == "fp32" && c.train.global_batch_size == 2 && c.rng.seed == 1234 &&
         c.model.num_query_groups == std::nullopt));
  const MegatronTranslation on_three = translate("", kLeast, 3);
  CHECK(std::count(on_three.defaults.begin(), on_three.defaults.end(), "train.global_batch_size=6") == 1);
}

TEST_CASE("arguments that depend on each other") {
  CHECK(config_of("--disable-bias-linear").model.activation_func == ActivationFunc::gelu_erf);
  CHECK(config_of("--no-bias-gelu-fusion").model.activation_func == ActivationFunc::gelu_erf);
  CHECK(config_of("--swiglu --disable-bias-linear").model.ffn() == 128);
  CHECK(config_of("--num-query-groups 2").model.kv_heads() == 4);
  CHECK(config_of("--group-query-attention --num-query-groups 2").model.kv_heads() == 2);
  CHECK(config_of("--bf16 --fp8-format hybrid").mixed_precision.fp8_recipe == Fp8Recipe::delayed);
  CHECK(config_of("--split '99,1,0'").dataset.split == "99,1,0");
  CHECK(config_of("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1").model.recompute_num_layers ==
        std::nullopt);
  CHECK(config_of("--bf16 --num-workers 4 --use-mcore-models --lr 2e-3 model.num_layers=3").model.num_layers == 3);
}

TEST_CASE("what is not there is refused by name, once for one reason") {
  const std::string experts = error_of("--num-experts 4 --moe-router-topk 2 --moe-grouped-gemm");
  CHECK_THAT(experts, ContainsSubstring("--num-experts 4") && ContainsSubstring("--moe-router-topk 2") && !ContainsSubstring("problems"));
  CHECK_THAT(error_of("--tensor-model-parallel-size 2"), ContainsSubstring("--tensor-model-parallel-size 2"));
  CHECK(error_of("--tensor-model-parallel-size 1").empty());
  const std::string dropout =
      error_of("",
               "--num-layers 2 --hidden-size 64 --num-attention-heads 4 --seq-length 32 --max-position-embeddings 32 "
               "--micro-batch-size 2 --train-iters 4 --lr 1e-3 --mock-data --tokenizer-type NullTokenizer --vocab-size 512");
  CHECK_THAT(dropout, ContainsSubstring("--attention-dropout") && ContainsSubstring("write --hidden-dropout 0"));
  CHECK_THAT(error_of("--lr-decay-stile cosine"), ContainsSubstring("did you mean \"--lr-decay-style\"?"));
  CHECK_THAT(error_of("--lr"), ContainsSubstring("needs a value"));
  CHECK_THAT(error_of("--optimizer sgd"), ContainsSubstring("--optimizer sgd"));
}

TEST_CASE("docs/megatron.md is up to date") {
  INFO("after a change of core/megatron/arguments.json: mbtrain config megatron > docs/megatron.md");
  CHECK((read_text_file(std::string(MBT_SOURCE_DIR) + "/docs/megatron.md") == megatron_reference()));
}

}  // namespace mbt::test::megatron_test
