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
#include "core/tokenizer/open_tokenizer.h"
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

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
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
  CHECK(seen.size() >= 953);  // spellings of its parser, releases before included
}

TEST_CASE("values are of the choices of Megatron-LM's parser") {
  size_t count = 0;
  for (const MegatronArgument& a : megatron_arguments()) {
    if (a.choices.empty()) continue;
    ++count;
    INFO(a.flag);
    for (const std::string& only : a.only)
      if (a.flag != "--data-impl") CHECK(std::count(a.choices.begin(), a.choices.end(), only) == 1);
    CHECK_THAT(error_of(a.flag + " no-such-value"), ContainsSubstring(a.flag + ": got \"no-such-value\", expected one of " + a.choices[0]));
  }
  CHECK(count == 103);
  CHECK_THAT(error_of("--normalization RMSnorm"), ContainsSubstring("did you mean \"RMSNorm\"?"));
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

TEST_CASE("files that say where the data is") {
  const TemporaryFolder folder;
  const std::string least = kLeast.substr(0, kLeast.find(" --mock-data")) + " --tokenizer-type NullTokenizer --vocab-size 512";
  const auto config = [&](const std::string& more) {
    return resolve_run(parse_config_arguments(translate(more, least).arguments)).config.dataset;
  };
  const std::string words = folder.file("words.txt", "0.3 /data/a\n0.7 /data/b\n");
  CHECK(config("--data-args-path " + words).blend == std::vector<std::string>{"0.3", "/data/a", "0.7", "/data/b"});
  const std::string splits =
      folder.file("splits.json", R"({"train": ["0.3", "/data/a b", "0.7", "/data/b"], "valid": ["/data/c"], "test": null})");
  const DatasetConfig parts = config("--per-split-data-args-path " + splits);
  CHECK(parts.train_data_path == std::vector<std::string>{"0.3", "/data/a b", "0.7", "/data/b"});
  CHECK((parts.valid_data_path == std::vector<std::string>{"/data/c"} && parts.test_data_path.empty()));
  const DatasetConfig named = config("--train-data-path 0.3 a 0.7 b --valid-data-path c --test-data-path d");
  CHECK((named.train_data_path.size() == 4 && named.valid_data_path == std::vector<std::string>{"c"} &&
         named.test_data_path == std::vector<std::string>{"d"}));
  CHECK_THAT(error_of("--data-args-path /none --per-split-data-args-path /none --num-experts 4", least),
             ContainsSubstring("--data-args-path: /none") && ContainsSubstring("--per-split-data-args-path: /none") &&
                 ContainsSubstring("--num-experts 4") && ContainsSubstring("give one of them"));
  CHECK_THAT(error_of("--mock-data --data-path a", least), ContainsSubstring("--mock-data and --data-path: each say"));
  CHECK_THAT(error_of("--data-args-path " + folder.file("empty.txt", " \n"), least), ContainsSubstring("is empty"));
  CHECK_THAT(error_of("--per-split-data-args-path " + folder.file("bad.json", R"({"training": ["a"]})"), least),
             ContainsSubstring("bad.json:1") && ContainsSubstring("expected the keys train, valid and test"));
}

TEST_CASE("GPT-2's vocabulary and merges under any names") {
  const TemporaryFolder folder;
  const std::string vocab = folder.file("gpt2-vocab.json", R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})"),
                    merges = folder.file("gpt2-merges.txt", "#version: 0.2\na b\n"),
                    files = " --vocab-file " + vocab + " --merge-file " + merges;
  const std::string least = kLeast.substr(0, kLeast.find(" --tokenizer-type"));
  for (const char* type : {" --tokenizer-type GPT2BPETokenizer", ""}) {  // the type is the default
    const RunConfig c = resolve_run(parse_config_arguments(translate(type + files, least).arguments)).config;
    CHECK((c.tokenizer.tokenizer_model == vocab && c.tokenizer.merge_file == merges && c.model.vocab_size == 4));
    CHECK(ids_of(*make_tokenizer(c.tokenizer), "aba") == std::vector<int32_t>{2, 0});
  }
  CHECK_THAT(error_of("--vocab-file " + vocab, least), ContainsSubstring("needs --vocab-file and --merge-file"));
  CHECK_THAT(error_of("", least.substr(0, least.find(" --mock-data"))), ContainsSubstring("GPT2BPETokenizer in Megatron-LM"));
  const TokenizerFiles carried = read_tokenizer_files(vocab, merges);
  CHECK(ids_of(*open_tokenizer(carried, "checkpoint"), "aba") == std::vector<int32_t>{2, 0});
  CHECK_THROWS_WITH(read_tokenizer_files(folder.path(), merges), ContainsSubstring("is a folder"));
  CHECK_THROWS_WITH(open_tokenizer(vocab, folder.file("bad.txt", "a b c\n")), ContainsSubstring("bad.txt:1"));
}

TEST_CASE("the translation says what became of each argument") {
  const auto became = [](const std::string& more, const std::string& flag) {
    for (const TranslatedArgument& a : translate(more).given)
      if (a.argument.substr(0, a.argument.find(' ')) == flag) return a.became;
    return std::string("nothing");
  };
  CHECK(became("", "--tokenizer-type") == "tokenizer.tokenizer_type=none");
  CHECK(became("--attention-backend unfused", "--attention-backend") == "model.attention_backend=math");
  CHECK_THAT(became("--load /none", "--load"), ContainsSubstring("no checkpoint is there yet"));
  CHECK_THAT(became("--finetune --load /none", "--finetune"), ContainsSubstring("no checkpoint to begin from"));
  CHECK_FALSE(config_of("--finetune --load /none").checkpoint.finetune);
  CHECK(config_of("--finetune checkpoint.load=/none").checkpoint.finetune);
  CHECK(config_of("--save-interval 3 --checkpoint.save /none").checkpoint.save_interval == 3);
  CHECK_THAT(became("--save-interval 10", "--save-interval"), ContainsSubstring("no --save"));
  CHECK_THAT(became("--num-query-groups 2", "--num-query-groups"), ContainsSubstring("no effect"));
  CHECK_THAT(became("--vocab-file v", "--vocab-file"), ContainsSubstring("no effect"));
  CHECK(became("--split '99,1,0'", "--split") == "dataset.split='99,1,0'");
}

TEST_CASE("windows") {
  CHECK(config_of("--window-size 63,0").model.sliding_window == 64);
  CHECK(config_of("--window-size -1,0").model.sliding_window == std::nullopt);
  CHECK_THAT(error_of("--window-size 63,63"), ContainsSubstring("expected LEFT,0"));
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
