#include "core/recipe/bridge_joins.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/python_value.h"
#include "core/base/strings.h"
#include "core/megatron/bridge_fields.h"
#include "core/megatron/shared_values.h"

namespace mbt {
namespace {

namespace fs = std::filesystem;

class Joiner {
 public:
  Joiner(std::vector<Assignment>& assignments, std::vector<std::string>& notes, std::vector<Problem>& problems)
      : all_(assignments), notes_(notes), problems_(problems) {}

  void run() {
    join_activation();
    join_tokenizer();
    join_checkpoint();
    take("model.window_size", [&](const Assignment& a) { window(a); });
    take("model.hf_model_id", [&](const Assignment& a) { hf_model(a); });
    take("model.should_pad_vocab", [&](const Assignment& a) {
      if (is_on(a)) idle(a, "the vocabulary is padded to model.make_vocab_size_divisible_by");
      else add(a, "model.make_vocab_size_divisible_by", "1");
    });
    take("validation.eval_global_batch_size", [&](const Assignment& a) { eval_batch(a); });
    take("dataset.dataset_root", [&](const Assignment& a) {
      add(a, "dataset.path", text_of(a));
      if (find("dataset.kind") == nullptr) add(a, "dataset.kind", "sft");
    });
  }

 private:
  // -- what the parts work with

  /// The last assignment of the field counts.
  const Assignment* find(const char* path) const {
    const auto found = std::find_if(all_.rbegin(), all_.rend(), [&](const Assignment& a) { return path_of(a) == path; });
    return found == all_.rend() ? nullptr : &*found;
  }
  void erase(const char* path) {
    std::erase_if(all_, [&](const Assignment& a) { return path_of(a) == path; });
  }
  /// Takes the field out, and hands its last value on unless that is None.
  template <class Use>
  void take(const char* path, const Use& use) {
    const Assignment* const last = find(path);
    if (last == nullptr) return;
    const Assignment a = *last;
    erase(path);
    if (!is_python_none(text_of(a))) use(a);
  }
  void add(const Assignment& from, const char* path, const std::string& value) { all_.push_back(in_place_of(from, path, value)); }
  void idle(const Assignment& a, const std::string& why) { notes_.push_back(fmt::format("{} has no effect: {}", where_of(a), why)); }
  /// None is False; what is neither is a problem.
  bool is_on(const Assignment& a) {
    const auto on = python_bool(text_of(a));
    if (!on) refuse(a, fmt::format("got {}, expected True or False", shown(text_of(a))));
    return on.value_or(false);
  }
  void refuse(const Assignment& a, const std::string& what) { problems_.push_back({where_of(a), what}); }

  // -- parts

  struct Function {
    std::string name;       ///< ours; gelu is not yet told apart
    bool is_exact = false;  ///< PyTorch's gelu, which is the exact one unless a fused kernel takes its place
  };
  /// "torch.nn.functional.silu" is silu; swish too.
  static Function function_of(const std::string& typed) {
    const std::string name = typed.substr(typed.rfind('.') + 1);
    if (name == "swish") return {"silu"};
    if (name == "fast_gelu" || name == "openai_gelu") return {"gelu"};
    return {name, name == "gelu" && name != typed};
  }

  /// Bridge has a function, whether it is gated, and whether a fused kernel computes it, which for gelu is the form with tanh. Here each of
  /// these is an activation with a name of its own.
  void join_activation() {
    const Assignment *const typed = find("model.activation_func"), *const gate = find("model.gated_linear_unit"),
                            *const fusion = find("model.bias_activation_fusion");
    const Assignment* const last = typed != nullptr ? typed : gate != nullptr ? gate : fusion;
    if (last == nullptr) return;
    const Assignment from = *last;
    Function f = typed != nullptr ? function_of(text_of(*typed)) : Function{"swiglu"};  // our default
    if (fusion != nullptr && f.name == "gelu") f.is_exact = !is_on(*fusion);
    else if (fusion != nullptr) idle(*fusion, "it picks a kernel");
    std::string name = f.is_exact ? "gelu_erf" : f.name;
    if (gate != nullptr) name = gated(*gate, f, name);
    const bool follows_folder = typed == nullptr && find("model.hf_path") != nullptr;
    if (follows_folder && gate != nullptr) idle(*gate, "model.hf_path says what the activation is");
    const bool is_news = typed != nullptr || (gate != nullptr && !follows_folder);
    for (const char* path : {"model.activation_func", "model.gated_linear_unit", "model.bias_activation_fusion"}) erase(path);
    if (is_news) add(from, "model.activation_func", name);
  }

  std::string gated(const Assignment& gate, const Function& f, const std::string& plain) {
    if (is_on(gate)) {
      if (f.name == "silu" || f.name == "swiglu") return "swiglu";
      if (f.name == "gelu" || f.name == "geglu") {
        if (f.is_exact)
          notes_.push_back(fmt::format("{}: geglu has the tanh form of GELU; without model.bias_activation_fusion Bridge has the exact one",
                                       where_of(gate)));
        return "geglu";
      }
      refuse(gate, fmt::format("is true, but the activation function is {}; gated ones are silu (swiglu) and gelu (geglu)", f.name));
      return plain;
    }
    return f.name == "swiglu" ? "silu" : f.name == "geglu" ? "gelu" : plain;
  }

  void join_tokenizer() {
    const Assignment *const type = find("tokenizer.tokenizer_type"), *const size = find("tokenizer.vocab_size");
    int64_t tokens = 0;
    const bool is_null = type != nullptr && text_of(*type) == "NullTokenizer";
    if (is_null && size != nullptr && parse_integer(text_of(*size), tokens) == ParseResult::ok &&
        find("tokenizer.null_tokenizer_eod_id") == nullptr && find("dataset.eod_token_id") == nullptr)
      add(Assignment(*size), "dataset.eod_token_id", fmt::format("{}", tokens - 1));
    take("tokenizer.padded_vocab_size", [&](const Assignment& a) {
      add(a, "model.vocab_size", text_of(a));
      add(a, "model.make_vocab_size_divisible_by", "1");
    });
  }

  /// A checkpoint to begin from, without its optimizer; one that checkpoint.load already has continues instead.
  void join_checkpoint() {
    take("checkpoint.pretrained_checkpoint", [&](const Assignment& a) {
      const Assignment* const load = find("checkpoint.load");
      if (text_of(a).empty()) return;
      if (load != nullptr && has_megatron_checkpoint(text_of(*load)))
        return idle(a, fmt::format("checkpoint.load {} has a checkpoint, from which the run continues", text_of(*load)));
      add(a, "checkpoint.load", text_of(a));
      add(a, "checkpoint.finetune", "true");
    });
  }

  void window(const Assignment& a) {
    const auto left = window_of(text_of(a));
    if (!left) return refuse(a, fmt::format("got {}, expected [left, 0], such as [127, 0] for 128 tokens", shown(text_of(a))));
    if (*left < 0) return idle(a, "-1 is the whole sequence");
    add(a, "model.sliding_window", fmt::format("{}", *left + 1));
  }

  void hf_model(const Assignment& a) {
    std::error_code none;
    if (fs::is_directory(text_of(a), none)) return add(a, "model.hf_path", text_of(a));
    refuse(a, fmt::format("{} is no folder here, and nothing is downloaded: download the model, and set model.hf_path to its folder",
                          shown(text_of(a))));
  }

  void eval_batch(const Assignment& a) {
    const Assignment* const batch = find("train.global_batch_size");
    if (batch != nullptr && text_of(*batch) == text_of(a)) return idle(a, "it is train.global_batch_size");
    refuse(a, "evaluation uses the training batch, train.global_batch_size: change validation.eval_iters instead");
  }

  std::vector<Assignment>& all_;
  std::vector<std::string>& notes_;
  std::vector<Problem>& problems_;
};

}  // namespace

std::string path_of(const Assignment& a) { return underscored(a.section) + "." + underscored(a.field); }

std::string text_of(const Assignment& a) {
  return a.value->is_string() ? std::string(unquoted(a.value->get_ref<const std::string&>())) : json_text(a.value);
}

std::string where_of(const Assignment& a) { return fmt::format("{} ({})", path_of(a), to_string(a.origin)); }

Assignment in_place_of(const Assignment& a, const std::string& path, const std::string& value) {
  const size_t dot = path.find('.');
  nlohmann::json typed = value;
  if (!a.is_text())  // from a file: a value of the field's type
    if (const nlohmann::json plain = parse_json_or_discard(value); !plain.is_discarded()) typed = plain;
  return {path.substr(0, dot), path.substr(dot + 1), typed, a.origin};
}

void join_bridge_fields(std::vector<Assignment>& assignments, std::vector<std::string>& notes, std::vector<Problem>& problems) {
  Joiner(assignments, notes, problems).run();
}

}  // namespace mbt
