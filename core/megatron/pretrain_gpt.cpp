#include "core/megatron/pretrain_gpt.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/problem.h"
#include "core/base/strings.h"
#include "core/io/files.h"
#include "core/megatron/argument_table.h"

namespace mbt {
namespace {

/// Arguments of our own command line that pretrain_gpt takes too: true when they need a value.
const std::map<std::string, bool> kOwn = {
    {"--mixed_precision", true}, {"--recipes", true}, {"--device", true}, {"--emulate_precision", false}};

/// What Megatron-LM has where an argument is absent and our own default differs, or might. Recipe fields: translate_precision().
constexpr std::pair<const char*, const char*> kDefaults[] = {
    {"model.normalization", "LayerNorm"},
    {"model.layernorm_epsilon", "1e-5"},
    {"model.position_embedding_type", "learned_absolute"},
    {"model.rotary_base", "10000"},
    {"model.share_embeddings_and_output_weights", "true"},
    {"model.init_method_std", "0.02"},
    {"model.make_vocab_size_divisible_by", "128"},
    {"optimizer.min_lr", "0"},
    {"optimizer.weight_decay", "0.01"},
    {"optimizer.clip_grad", "1.0"},
    {"optimizer.adam_beta1", "0.9"},
    {"optimizer.adam_beta2", "0.999"},
    {"optimizer.adam_eps", "1e-8"},
    {"scheduler.lr_decay_style", "linear"},
    {"scheduler.lr_warmup_iters", "0"},
    {"validation.eval_iters", "100"},
    {"validation.eval_interval", "1000"},
    {"logger.log_interval", "100"},
    {"rng.seed", "1234"},
    {"dataset.split", "969,30,1"},
    {"ddp.check_for_nan_in_grad", "true"},
    {"train.check_for_nan_in_loss", "true"},
};

constexpr const char* kNeeded = "is needed: Megatron-LM has no default for it";

/// Where one of these is set, the default of another says nothing: Megatron has one argument or the other.
bool is_ruled_out(const std::string& field, const std::map<std::string, std::string>& fields) {
  const auto has = [&](const char* other) { return fields.count(other) != 0; };
  if (field == "scheduler.lr_warmup_iters")
    return has("scheduler.lr_warmup_samples") || has("scheduler.lr_warmup_fraction") || has("train.train_samples");
  if (field == "dataset.split") return has("dataset.train_data_path");
  return false;
}

bool is_one_of(const std::string& value, const std::vector<std::string>& words) {
  double number = 0, other = 0;
  const bool is_number = parse_number(value, number) == ParseResult::ok;
  return std::any_of(words.begin(), words.end(), [&](const std::string& w) {
    return w == value || (is_number && parse_number(w, other) == ParseResult::ok && number == other);
  });
}

class Translator {
 public:
  Translator(const std::vector<std::string>& args, int ranks) : args_(args), ranks_(ranks) {}

  MegatronTranslation run() {
    for (size_t at = 0; at < args_.size();) at += take(at);
    for (const auto& [reason, names] : refused_) problems_.push_back({join(names, ", "), reason});
    translate_shape();
    translate_bias();
    translate_length();
    translate_precision();
    translate_tokenizer();
    translate_checkpoint();
    translate_others();
    if (!problems_.empty()) throw_problems(problems_);
    return finish();
  }

 private:
  using Values = std::vector<std::string>;

  // -- reading
  // -----------------------------------------------------------------------------------------------------------------------------

  size_t take(size_t at) {
    const std::string& typed = args_[at];
    const size_t equals = typed.find('=');
    const std::string flag = typed.substr(0, equals);
    if (const size_t own = take_own(at, flag, equals != typed.npos)) return own;
    if (typed.rfind("--", 0) != 0) {
      problems_.push_back({shown(typed), "no argument takes it as a value"});
      return 1;
    }
    const MegatronArgument* argument = find_megatron_argument(flag);
    Values values;
    if (equals != typed.npos) values.push_back(typed.substr(equals + 1));
    size_t taken = 1;
    const bool is_full = !values.empty();
    const auto takes = argument ? argument->takes : MegatronValues::many;
    while (!is_full && takes != MegatronValues::none && at + taken < args_.size() && args_[at + taken].rfind("--", 0) != 0 &&
           (takes == MegatronValues::many || values.empty()))
      values.push_back(args_[at + taken++]);
    if (argument) note(*argument, flag, values);
    else problems_.push_back({flag, "Megatron-LM has no such argument" + did_you_mean(flag, all_flags())});
    return taken;
  }

  /// section.field and the like: handed on. Returns how many arguments were taken.
  size_t take_own(size_t at, const std::string& flag, bool has_value) {
    const auto known = kOwn.find(underscored(flag));
    const bool is_dotted = flag.find('.') != flag.npos && (has_value || flag.rfind("--", 0) == 0);
    if (known == kOwn.end() && !is_dotted) return 0;
    size_t taken = 1;
    own_.push_back(args_[at]);
    const bool needs_value = known == kOwn.end() || known->second;
    if (needs_value && !has_value && at + 1 < args_.size() && args_[at + 1].rfind("--", 0) != 0) own_.push_back(args_[at + taken++]);
    given_.push_back({join({own_.end() - static_cast<std::ptrdiff_t>(taken), own_.end()}, " "), "the same: an argument of mbtrain"});
    return taken;
  }

  static std::vector<std::string> all_flags() {
    std::vector<std::string> flags;
    for (const MegatronArgument& a : megatron_arguments()) flags.push_back(a.flag);
    return flags;
  }

  void note(const MegatronArgument& a, const std::string& flag, const Values& values) {
    const std::string typed = flag + (values.empty() ? "" : " " + join(values, " "));
    if (a.takes == MegatronValues::one && values.empty()) {
      problems_.push_back({flag, "needs a value"});
      return;
    }
    if (a.takes == MegatronValues::none && !values.empty()) {
      problems_.push_back({flag, "takes no value, got " + shown(values[0])});
      return;
    }
    const bool is_possible = a.only.empty() || (!values.empty() && is_one_of(values[0], a.only));
    if (a.kind == MegatronKind::refused || !is_possible) {
      refused_[a.reason + (a.only.empty() || a.kind != MegatronKind::mapped ? "" : " (here: " + join(a.only, ", ") + ")")].push_back(typed);
      return;
    }
    switch (a.kind) {
      case MegatronKind::mapped: {
        if (a.field.empty()) {
          for (const std::string& s : a.sets) set(s.substr(0, s.find('=')), s.substr(s.find('=') + 1));
          given_.push_back({typed, join(a.sets, " ")});
        } else {
          set(a.field, join(values, " "));
          given_.push_back({typed, a.field + "=" + join(values, " ")});
        }
        break;
      }
      case MegatronKind::special: {
        special_[a.flag] = values;
        const std::string what = a.reason.substr(0, a.reason.find(';'));
        const bool is_field = !values.empty() && what.find('.') != what.npos && what.find_first_of(" =") == what.npos;
        given_.push_back({typed, is_field ? what + "=" + values[0] : what});
        break;
      }
      case MegatronKind::conditional:
      case MegatronKind::without_effect: given_.push_back({typed, "no effect: " + a.reason}); break;
      case MegatronKind::refused: break;
    }
  }

  // -- what the parts below work with
  // ------------------------------------------------------------------------------------------------------

  void set(const std::string& field, const std::string& value) {
    fields_[field] = value;
    order_.push_back(field);
  }
  bool has(const char* flag) const { return special_.count(flag) != 0; }
  std::string value(const char* flag) const {
    const auto found = special_.find(flag);
    return found == special_.end() || found->second.empty() ? "" : found->second[0];
  }
  bool is_set(const char* field) const { return fields_.count(field) != 0; }
  std::string field(const char* name, const char* otherwise = "") const {
    const auto found = fields_.find(name);
    return found == fields_.end() ? otherwise : found->second;
  }
  std::optional<int64_t> integer(const char* name) const {
    int64_t number = 0;
    return parse_integer(field(name), number) == ParseResult::ok ? std::optional(number) : std::nullopt;
  }
  /// What the checkpoint's arguments say need not be said again.
  void require(const char* field, const char* flag) {
    if (!is_set(field) && !takes_checkpoint_args()) problems_.push_back({flag, kNeeded});
  }
  bool takes_checkpoint_args() const {
    return has("--use-checkpoint-args") && (has_checkpoint(value("--load")) || has_checkpoint(value("--pretrained-checkpoint")));
  }

  /// One field under two flags.
  void set_from(const char* field, std::initializer_list<const char*> flags) {
    std::vector<std::string> used;
    for (const char* flag : flags)
      if (has(flag)) used.emplace_back(flag), set(field, value(flag));
    if (used.size() > 1) problems_.push_back({join(used, " and "), "are one setting; give one of them"});
  }

  // -- parts
  // -------------------------------------------------------------------------------------------------------------------------------

  void translate_shape() {
    set_from("model.num_layers", {"--num-layers", "--encoder-num-layers"});
    set_from("model.seq_length", {"--seq-length", "--encoder-seq-length"});
    require("model.num_layers", "--num-layers");
    require("model.hidden_size", "--hidden-size");
    require("model.num_attention_heads", "--num-attention-heads");
    require("model.seq_length", "--seq-length");
    require("model.max_position_embeddings", "--max-position-embeddings");
    if (!is_set("train.micro_batch_size")) problems_.push_back({"--micro-batch-size", kNeeded});
    if (!is_set("optimizer.lr")) problems_.push_back({"--lr", kNeeded});
    if (has("--group-query-attention")) set("model.num_query_groups", has("--num-query-groups") ? value("--num-query-groups") : "1");
    const bool is_gated = field("model.activation_func") == "swiglu";
    if (const auto hidden = integer("model.hidden_size"); hidden && is_gated && !is_set("model.ffn_hidden_size"))
      set_default("model.ffn_hidden_size", fmt::format("{}", static_cast<int64_t>(static_cast<double>(4 * *hidden * 2) / 3) / 64 * 64));
    for (const char* flag : {"--attention-dropout", "--hidden-dropout"})
      if (!has(flag))
        problems_.push_back({flag, fmt::format("is absent, which is 0.1 in Megatron-LM; dropout is not there: write {} 0", flag)});
      else if (!is_one_of(value(flag), {"0"}))
        problems_.push_back({fmt::format("{} {}", flag, value(flag)), "dropout is not there: write 0"});
    if (has("--qk-layernorm")) {
      if (field("model.normalization") == "RMSNorm") set("model.qk_layernorm", "true");
      else
        problems_.push_back(
            {"--qk-layernorm", "norms of queries and keys are RMSNorm here; Megatron-LM takes --normalization: use RMSNorm"});
      if (has("--apply-wd-to-qk-layernorm") || has("--no-weight-decay-cond-type"))
        problems_.push_back({"--apply-wd-to-qk-layernorm", "norms have no weight decay here; leave it out"});
    }
    if (has("--no-position-embedding") && field("model.position_embedding_type") != "rope")
      problems_.push_back({"--no-position-embedding", "write --position-embedding-type none for a model without positions"});
    if (has("--window-size"))
      problems_.push_back({"--window-size", "sliding-window attention is not there: leave it out where sequences fit into the window"});
    if (has("--attention-backend")) {
      const std::map<std::string, std::string> ways = {
          {"auto", "auto"}, {"flash", "flash"}, {"fused", "auto"}, {"unfused", "math"}, {"local", "math"}};
      const auto way = ways.find(value("--attention-backend"));
      if (way != ways.end()) set("model.attention_backend", way->second);
      else
        problems_.push_back(
            {"--attention-backend", "got " + shown(value("--attention-backend")) + ", expected auto, flash, fused, unfused or local"});
    }
  }

  /// Megatron's fused GELU is the form with tanh, its unfused one the exact form; without biases there is no fused one.
  void translate_bias() {
    const bool has_bias = !has("--disable-bias-linear");
    set_default("model.add_bias_linear", has_bias ? "true" : "false");
    if (is_set("model.activation_func")) return;
    const bool is_fused = has_bias && !has("--no-bias-gelu-fusion");
    set_default("model.activation_func", is_fused ? "gelu" : "gelu_erf");
  }

  void translate_length() {
    if (!is_set("train.train_iters") && !is_set("train.train_samples"))
      problems_.push_back({"--train-iters", "or --train-samples is needed: the length of the run"});
    if (const auto micro = integer("train.micro_batch_size"); micro && !is_set("train.global_batch_size"))
      set_default("train.global_batch_size", fmt::format("{}", *micro * ranks_));
    if (has("--eval-global-batch-size") && value("--eval-global-batch-size") != field("train.global_batch_size"))
      problems_.push_back({"--eval-global-batch-size", "evaluation uses the training batch: change --eval-iters instead"});
    const std::string granularity = value("--recompute-granularity"), method = value("--recompute-method");
    if (has("--recompute-granularity")) set("model.recompute_granularity", granularity);
    if (granularity == "full" && method.empty())
      problems_.push_back({"--recompute-granularity full", "needs --recompute-method uniform or block, as in Megatron-LM"});
    if (!method.empty()) set("model.recompute_method", method);
    if (method == "block" && has("--recompute-num-layers")) set("model.recompute_num_layers", value("--recompute-num-layers"));
  }

  /// Without --fp16 and --bf16 Megatron-LM trains in fp32.
  void translate_precision() {
    const bool names_recipe =
        std::any_of(own_.begin(), own_.end(), [](const std::string& a) { return underscored(a).rfind("__mixed_precision", 0) == 0; });
    if (has("--fp16")) flags_.emplace_back("--fp16");
    if (has("--bf16")) flags_.emplace_back("--bf16");
    if (flags_.empty() && !names_recipe) flags_.insert(flags_.end(), {"--mixed-precision", "fp32"});
    if (has("--fp8-format")) set("mixed_precision.fp8", value("--fp8-format"));
    if (has("--fp8-hybrid")) set("mixed_precision.fp8", "hybrid");
    if (has("--fp8-e4m3")) set("mixed_precision.fp8", "e4m3");
    if (is_set("mixed_precision.fp8") && !is_set("mixed_precision.fp8_recipe")) set_default("mixed_precision.fp8_recipe", "delayed");
    if (!has("--first-last-layers-bf16")) return;
    set("mixed_precision.first_last_layers_bf16", "true");
    for (const char* end : {"start", "end"}) {
      const std::string flag = fmt::format("--num-layers-at-{}-in-bf16", end);
      set(fmt::format("mixed_precision.num_layers_at_{}_in_bf16", end), has(flag.c_str()) ? value(flag.c_str()) : "1");
    }
  }

  void translate_tokenizer() {
    const std::string type = value("--tokenizer-type"), model = value("--tokenizer-model");
    const std::map<std::string, std::string> types = {{"HuggingFaceTokenizer", "HuggingFaceTokenizer"},
                                                      {"SentencePieceTokenizer", "SentencePieceTokenizer"},
                                                      {"GPTSentencePieceTokenizer", "SentencePieceTokenizer"},
                                                      {"Llama2Tokenizer", "SentencePieceTokenizer"}};
    if (has("--vocab-size")) set("model.vocab_size", value("--vocab-size"));
    if (has("--padded-vocab-size")) {
      set("model.vocab_size", value("--padded-vocab-size"));
      set("model.make_vocab_size_divisible_by", "1");
    }
    if (type.empty() || type == "NullTokenizer") {
      if (type.empty() && takes_checkpoint_args()) return;
      if (type.empty() && !has("--mock-data")) problems_.push_back({"--tokenizer-type", kNeeded});
      if (!has("--vocab-size") && !type.empty()) problems_.push_back({"--tokenizer-type NullTokenizer", "needs --vocab-size"});
      set("tokenizer.tokenizer_type", "none");
      int64_t size = 0;
      if (has("--null-tokenizer-eod-id")) set("dataset.eod_token_id", value("--null-tokenizer-eod-id"));
      else if (parse_integer(value("--vocab-size"), size) == ParseResult::ok)
        set_default("dataset.eod_token_id", fmt::format("{}", size - 1));
    } else if (type == "GPT2BPETokenizer") {
      translate_gpt2_files();
    } else if (const auto known = types.find(type); known != types.end()) {
      set("tokenizer.tokenizer_type", known->second);
      if (model.empty()) problems_.push_back({"--tokenizer-type " + type, "needs --tokenizer-model"});
      else set("tokenizer.tokenizer_model", model);
    } else {
      problems_.push_back({"--tokenizer-type " + type,
                           "is not there: convert it to a tokenizer.json or a SentencePiece model, and take HuggingFaceTokenizer or "
                           "SentencePieceTokenizer"});
    }
  }

  /// vocab.json and merges.txt are read as a folder.
  void translate_gpt2_files() {
    const std::filesystem::path vocab = value("--vocab-file"), merges = value("--merge-file");
    if (vocab.empty() || merges.empty()) {
      problems_.push_back({"--tokenizer-type GPT2BPETokenizer", "needs --vocab-file and --merge-file"});
      return;
    }
    if (vocab.parent_path() != merges.parent_path() || vocab.filename() != "vocab.json" || merges.filename() != "merges.txt") {
      problems_.push_back({fmt::format("--vocab-file {} and --merge-file {}", vocab.string(), merges.string()),
                           "are read as one folder: put them side by side as vocab.json and merges.txt"});
      return;
    }
    set("tokenizer.tokenizer_type", "HuggingFaceTokenizer");
    set("tokenizer.tokenizer_model", vocab.parent_path().empty() ? "." : vocab.parent_path().string());
  }

  static bool has_checkpoint(const std::string& folder) {
    return !folder.empty() && std::filesystem::exists(std::filesystem::path(folder) / "latest_checkpointed_iteration.txt");
  }

  /// A --load without a checkpoint starts afresh, unless --exit-on-missing-checkpoint.
  void translate_checkpoint() {
    const std::string load = value("--load"), pretrained = value("--pretrained-checkpoint");
    const bool is_there = !load.empty() && has_checkpoint(load);
    if (!load.empty() && (is_there || has("--exit-on-missing-checkpoint"))) set("checkpoint.load", load);
    else if (!pretrained.empty()) {
      set("checkpoint.load", pretrained);
      set("checkpoint.finetune", "true");
    } else if (!load.empty()) {
      given_.push_back({"--load " + load, "no checkpoint is there yet: the run starts afresh, as in Megatron-LM"});
    }
    if (is_set("checkpoint.save_interval") && !is_set("checkpoint.save")) {  // Megatron-LM ignores it then
      fields_.erase("checkpoint.save_interval");
      given_.push_back({"--save-interval", "no effect: there is no --save"});
    }
    if (is_set("checkpoint.save") && !is_set("checkpoint.save_interval"))
      problems_.push_back({"--save", "needs --save-interval, as in Megatron-LM"});
  }

  void translate_others() {
    if (has("--mock-data")) set("dataset.kind", "synthetic");
    if (has("--split")) {
      std::string split = value("--split");
      std::erase_if(split, [](char c) { return c == '\'' || c == '"' || c == ' '; });
      set("dataset.split", split);
    }
    if (has("--data-args-path")) {
      std::string words = read_text_file(value("--data-args-path"));
      std::replace_if(
          words.begin(), words.end(), [](char c) { return c == '\n' || c == '\t' || c == '\r'; }, ' ');
      set("dataset.blend", words);
    }
    if (has("--per-split-data-args-path"))
      problems_.push_back({"--per-split-data-args-path", "is not read: give --train-data-path, --valid-data-path and --test-data-path"});
    if (has("--cuda-graph-impl") && value("--cuda-graph-impl") != "none") set("train.cuda_graph", "true");
    if (has("--logging-level")) {
      const std::map<std::string, std::string> levels = {{"0", "info"},     {"10", "debug"}, {"20", "info"},
                                                         {"30", "warning"}, {"40", "error"}, {"50", "error"}};
      const auto level = levels.find(value("--logging-level"));
      if (level != levels.end()) set("logger.logging_level", level->second);
      else problems_.push_back({"--logging-level", "got " + shown(value("--logging-level")) + ", expected 10, 20, 30, 40 or 50"});
    }
  }

  // -- the result
  // --------------------------------------------------------------------------------------------------------------------------

  void set_default(const std::string& field, const std::string& value) {
    if (fields_.count(field) != 0) return;
    set(field, value);
    defaults_.insert(field);
  }

  MegatronTranslation finish() {
    for (const auto& [field, value] : kDefaults)
      if (!is_ruled_out(field, fields_)) set_default(field, value);
    MegatronTranslation t;
    t.arguments = flags_;
    std::map<std::string, bool> is_done;
    for (const std::string& field : order_) {
      const auto found = fields_.find(field);
      if (found == fields_.end() || std::exchange(is_done[field], true)) continue;
      const bool is_of_recipe = field.rfind("mixed_precision.", 0) == 0;  // it goes over the recipe, where defaults lie under it
      if (defaults_.count(field) == 0 || is_of_recipe) t.arguments.push_back(field + "=" + found->second);
      else t.defaults.push_back(field + "=" + found->second);
    }
    t.arguments.insert(t.arguments.end(), own_.begin(), own_.end());  // last: they win
    t.given = std::move(given_);
    return t;
  }

  const std::vector<std::string>& args_;
  int ranks_;
  std::map<std::string, Values> special_;      ///< by Megatron's spelling
  std::map<std::string, std::string> fields_;  ///< section.field: value
  std::vector<std::string> order_;             ///< of fields_, as set
  std::vector<std::string> flags_, own_;
  std::set<std::string> defaults_;  ///< those of fields_ that nobody has said
  std::vector<TranslatedArgument> given_;
  std::map<std::string, std::vector<std::string>> refused_;  ///< by reason
  std::vector<Problem> problems_;
};

}  // namespace

MegatronTranslation translate_pretrain_gpt(const std::vector<std::string>& args, int ranks) { return Translator(args, ranks).run(); }

}  // namespace mbt
