#include "core/hf/hf_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "core/config/config_input.h"
#include "core/hf/hf_json.h"

namespace mbt {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t kMostPositions = int64_t{1} << 30;
constexpr std::array kModelTypes{"gpt2", "llama", "mistral", "qwen2", "qwen3"};

/// Translates one config.json.
class Translator {
 public:
  explicit Translator(const JsonDocument& document) : hf_(document), type_(model_type()) {}

  std::vector<Assignment> run() {
    refuse_unsupported(hf_);
    type_ == "gpt2" ? gpt2() : llama_like();
    return std::move(assignments_);
  }

  std::string model_type() const {
    const std::string type = hf_.string("/model_type");
    if (std::find(kModelTypes.begin(), kModelTypes.end(), type) == kModelTypes.end()) {
      hf_.refuse("/model_type", "known are gpt2, llama, mistral, qwen2 and qwen3");
    }
    return type;
  }

 private:
  void set(const char* field, json value, const std::string& pointer) {
    assignments_.push_back({"model", field, std::move(value), {Origin::Kind::hf_config, hf_.where(pointer)}});
  }
  void set_integer(const char* field, const std::string& pointer) { set(field, hf_.integer(pointer), pointer); }

  /// transformers takes the general name of a gpt2 key as well, and then in its place.
  std::string gpt2_key(const std::string& own, const std::string& general) const {
    if (!hf_.has(general)) return own;
    if (hf_.has(own) && hf_.at(own) != hf_.at(general))
      hf_.refuse(general, text("contradicts ", own.substr(1), ", which is the same setting"));
    return general;
  }

  void gpt2() {
    const std::string width = gpt2_key("/n_embd", "/hidden_size"), heads = gpt2_key("/n_head", "/num_attention_heads");
    set_integer("num_layers", gpt2_key("/n_layer", "/num_hidden_layers"));
    set_integer("hidden_size", width);
    set_integer("num_attention_heads", heads);
    set_integer("num_query_groups", heads);
    check_heads(heads, width);
    set("kv_channels", hf_.integer(width) / hf_.integer(heads), width);
    if (hf_.has("/n_inner")) {
      set_integer("ffn_hidden_size", "/n_inner");
    } else {
      set("ffn_hidden_size", checked_times(hf_.integer(width), 4, width), width);
    }
    set_integer("vocab_size", "/vocab_size");
    set_integer("max_position_embeddings", gpt2_key("/n_positions", "/max_position_embeddings"));
    set("normalization", "LayerNorm", "/model_type");
    set("layernorm_epsilon", hf_.number_or("/layer_norm_epsilon", 1e-5), "/layer_norm_epsilon");
    activation("/activation_function", "gelu_new",
               {{"gelu_new", "gelu"},
                {"gelu_pytorch_tanh", "gelu"},
                {"gelu", "gelu_erf"},
                {"silu", "silu"},
                {"swish", "silu"},
                {"relu", "relu"},
                {"relu2", "squared_relu"}});
    set("position_embedding_type", "learned_absolute", "/model_type");
    set("sliding_window", json(), "/model_type");
    set("rope_scaling", false, "/model_type");
    set("add_bias_linear", true, "/model_type");
    set("add_qkv_bias", true, "/model_type");
    set("add_attention_bias", false, "/model_type");
    set("add_mlp_bias", false, "/model_type");
    set("qk_layernorm", false, "/model_type");
    set("share_embeddings_and_output_weights", hf_.boolean_or("/tie_word_embeddings", true), "/tie_word_embeddings");
    set("softmax_scale", hf_.boolean_or("/scale_attn_weights", true) ? json() : json(1.0), "/scale_attn_weights");
  }

  void llama_like() {
    set_integer("num_layers", "/num_hidden_layers");
    set_integer("hidden_size", "/hidden_size");
    set_integer("num_attention_heads", "/num_attention_heads");
    // null is as many as query heads. Absent, the same for llama (Llama 1 files); the other families have each a default of their own, and
    // always write it.
    const bool as_many = !hf_.has("/num_key_value_heads") && (type_ == "llama" || hf_.is_null("/num_key_value_heads"));
    set_integer("num_query_groups", as_many ? "/num_attention_heads" : "/num_key_value_heads");
    check_groups(as_many ? "/num_attention_heads" : "/num_key_value_heads");
    head_width();
    set_integer("ffn_hidden_size", "/intermediate_size");
    set_integer("vocab_size", "/vocab_size");
    set("normalization", "RMSNorm", "/model_type");
    set("layernorm_epsilon", hf_.number_or("/rms_norm_eps", 1e-6), "/rms_norm_eps");
    activation("/hidden_act", "silu", {{"silu", "swiglu"}, {"swish", "swiglu"}, {"gelu_pytorch_tanh", "geglu"}, {"gelu_new", "geglu"}});
    set("position_embedding_type", "rope", "/model_type");
    // Llama 1 and 2 files may lack max_position_embeddings: 2048 upstream.
    const std::string positions = "/max_position_embeddings";
    set("max_position_embeddings", type_ == "llama" ? hf_.integer_or(positions, 2048) : hf_.integer(positions), positions);
    const std::optional<int64_t> window = sliding_window();
    set("sliding_window", window ? json(*window) : json(), window ? "/sliding_window" : "/model_type");
    rope();
    biases();
    set("qk_layernorm", type_ == "qwen3", "/model_type");
    set("share_embeddings_and_output_weights", hf_.boolean_or("/tie_word_embeddings", false), "/tie_word_embeddings");
    set("softmax_scale", json(), "/model_type");
  }

  void head_width() {
    if (hf_.has("/head_dim")) return set_integer("kv_channels", "/head_dim");
    if (type_ == "qwen3") return set("kv_channels", 128, "/head_dim");
    check_heads("/num_attention_heads", "/hidden_size");
    set("kv_channels", hf_.integer("/hidden_size") / hf_.integer("/num_attention_heads"), "/hidden_size");
  }

  void check_heads(const std::string& heads, const std::string& width) const {
    if (hf_.integer(heads) <= 0) hf_.refuse(heads, "expected an integer from 1 on");
    if (hf_.integer(width) % hf_.integer(heads) != 0) {
      hf_.refuse(width, text("expected a multiple of ", heads.substr(1), ", which is ", hf_.integer(heads)));
    }
  }

  void check_groups(const std::string& groups) const {
    const int64_t heads = hf_.integer("/num_attention_heads");
    if (hf_.integer(groups) < 1 || heads % hf_.integer(groups) != 0) {
      hf_.refuse(groups, text("expected a divisor of num_attention_heads, which is ", heads));
    }
  }

  int64_t checked_times(int64_t a, int64_t b, const std::string& pointer) const {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) hf_.refuse(pointer, "too large");
    return product;
  }

  void activation(const std::string& pointer, const std::string& fallback, const std::map<std::string, std::string>& known) {
    if (hf_.is_null(pointer)) throw InputError(text(hf_.where(pointer), " is null, expected the name of an activation"));
    const auto it = known.find(hf_.string_or(pointer, fallback));
    if (it == known.end()) {
      std::string names;
      for (const auto& [hf_name, ours] : known) names += text(names.empty() ? "" : ", ", hf_name);
      hf_.refuse(pointer, text("this activation is not implemented for ", type_, "; known are ", names));
    }
    set("activation_func", it->second, pointer);
  }

  bool has_sliding_layers() const {
    if (!hf_.has("/layer_types")) return false;
    const json& layers = hf_.at("/layer_types");
    if (!layers.is_array() || static_cast<int64_t>(layers.size()) != hf_.integer("/num_hidden_layers")) {
      hf_.refuse("/layer_types", "expected a list with one entry a layer (num_hidden_layers)");
    }
    bool slides = false;
    for (const json& layer : layers) {
      if (layer != "full_attention" && layer != "sliding_attention") {
        hf_.refuse("/layer_types", "only full_attention and sliding_attention are known");
      }
      slides |= layer == "sliding_attention";
    }
    return slides;
  }

  /// Tokens that attention sees; nothing: all. Absent keys are what transformers makes of them, which for a window is 4096 and not none.
  std::optional<int64_t> sliding_window() const {
    constexpr int64_t kDefaultWindow = 4096, kDefaultMaxWindowLayers = 28;
    const bool in_layers = has_sliding_layers();
    bool slides = in_layers;
    if (type_ == "mistral") slides = true;
    if (type_ == "qwen2" || type_ == "qwen3") {
      const bool is_on = hf_.boolean_or("/use_sliding_window", false);
      if (in_layers && !is_on) hf_.refuse("/layer_types", "sliding_attention, but use_sliding_window is not true");
      const int64_t full_layers = hf_.integer_or("/max_window_layers", kDefaultMaxWindowLayers);
      if (!hf_.has("/layer_types")) slides = is_on && full_layers < hf_.integer("/num_hidden_layers");
    }
    if (!slides) return std::nullopt;
    if (hf_.has("/sliding_window")) {
      if (hf_.integer("/sliding_window") < 1) hf_.refuse("/sliding_window", "expected an integer from 1 on");
      return hf_.integer("/sliding_window");
    }
    if (in_layers) hf_.refuse("/layer_types", "sliding_attention without sliding_window");
    return hf_.is_null("/sliding_window") ? std::nullopt : std::optional(kDefaultWindow);
  }

  /// Two forms are in use: rope_theta and rope_scaling at the top level, or both in one object rope_parameters. Files may have both forms:
  /// transformers then takes rope_scaling, and all that the other says must be the same.
  void rope() {
    std::vector<std::string> objects;
    for (const char* object : {"/rope_scaling", "/rope_parameters"})
      if (hf_.has(object) && hf_.at(object) != json::object()) objects.emplace_back(object);
    for (const std::string& object : objects) check_rope_object(object);
    if (objects.size() == 2) compare_rope_objects(objects[0], objects[1]);
    const std::string object = objects.empty() ? "/rope_parameters" : objects.front();
    rope_base(object);
    set("rotary_percent", 1.0, "/model_type");
    const std::string kind = rope_kind(object);
    const bool is_scaled = hf_.string_or(kind, "default") == "llama3";
    set("rope_scaling", is_scaled, hf_.has(kind) ? kind : object);
    if (is_scaled) llama3_scaling(object);
  }

  std::string rope_kind(const std::string& object) const {
    return hf_.has(object + "/rope_type") ? object + "/rope_type" : object + "/type";
  }

  void check_rope_object(const std::string& object) const {
    if (!hf_.at(object).is_object()) hf_.refuse(object, "expected an object");
    for (const auto& [key, value] : hf_.at(object).items()) {
      if (value.is_object()) hf_.refuse(text(object, "/", json_pointer_member(key)), "RoPE that differs between layers is not implemented");
    }
    const std::string kind = rope_kind(object), partial = object + "/partial_rotary_factor";
    if (object == "/rope_scaling" && !hf_.has(kind)) hf_.refuse(object, "has no rope_type");
    const std::string type = hf_.string_or(kind, "default");
    if (type != "default" && type != "llama3") hf_.refuse(kind, "this kind of RoPE is not implemented; known are default and llama3");
    if (hf_.has(partial) && hf_.number(partial) != 1) hf_.refuse(partial, "not implemented, and it would change the result");
  }

  /// rope_theta apart, which also has a place of its own.
  void compare_rope_objects(const std::string& a, const std::string& b) const {
    const auto settings = [&](const std::string& object) {
      json s = json::object();
      for (const auto& [key, value] : hf_.at(object).items())
        if (!value.is_null() && key != "rope_theta" && key != "type") s[key] = value;
      s["rope_type"] = hf_.string_or(rope_kind(object), "default");
      return s;
    };
    if (settings(a) != settings(b)) hf_.refuse(a, text("contradicts ", b.substr(1)));
  }

  void rope_base(const std::string& object) {
    constexpr double kDefault = 10000.0, kLargest = 1e15;
    const std::string nested = object + "/rope_theta", theta = hf_.has(nested) ? nested : "/rope_theta";
    const double base = hf_.has(theta) ? hf_.number_within(theta, 1, kLargest) : kDefault;
    for (const char* place : {"/rope_theta", "/rope_scaling/rope_theta", "/rope_parameters/rope_theta"}) {
      if (!hf_.has(place) || hf_.number(place) == base) continue;
      if (hf_.has(theta)) hf_.refuse(place, text("contradicts ", theta == nested ? object.substr(1) : theta.substr(1)));
      hf_.refuse(place, text("transformers does not read it beside rope_scaling, and takes ", kDefault, "; put it into rope_scaling too"));
    }
    set("rotary_base", base, theta);
  }

  void llama3_scaling(const std::string& object) {
    constexpr double kLargest = 1e6;
    const std::string low = object + "/low_freq_factor", high = object + "/high_freq_factor", factor = object + "/factor";
    set("rope_scaling_factor", hf_.number_within(factor, 1, kLargest), factor);
    if (hf_.number_within(low, 0, kLargest) == 0) hf_.refuse(low, "expected a number above 0");
    if (hf_.number_within(high, 0, kLargest) <= hf_.number(low))
      hf_.refuse(high, text("expected a number above low_freq_factor, which is ", hf_.number(low)));
    set("rope_low_freq_factor", hf_.number(low), low);
    set("rope_high_freq_factor", hf_.number(high), high);
    const std::string outer = "/original_max_position_embeddings", inner = object + outer;
    if (hf_.has(outer) && hf_.has(inner) && hf_.at(outer) != hf_.at(inner)) hf_.refuse(outer, text("contradicts ", object.substr(1)));
    const std::string& original = hf_.has(outer) && !hf_.has(inner) ? outer : inner;
    if (hf_.integer(original) < 1 || hf_.integer(original) > kMostPositions)
      hf_.refuse(original, text("expected an integer from 1 to ", kMostPositions));
    set("rope_original_max_position_embeddings", hf_.integer(original), original);
  }

  /// attention_bias puts biases on Q, K, V and the output, mlp_bias on the MLP; qwen2 always has them on Q, K and V alone.
  void biases() {
    const bool attention = hf_.boolean_or("/attention_bias", false) && type_ != "mistral" && type_ != "qwen2";
    const bool mlp = type_ == "llama" && hf_.boolean_or("/mlp_bias", false);
    set("add_bias_linear", false, "/model_type");
    set("add_qkv_bias", type_ == "qwen2", "/model_type");
    set("add_attention_bias", attention, attention ? "/attention_bias" : "/model_type");
    set("add_mlp_bias", mlp, mlp ? "/mlp_bias" : "/model_type");
  }

  HfConfig hf_;
  std::string type_;
  std::vector<Assignment> assignments_;
};

/// A name of the hub is "owner/model", or "model" for the oldest.
bool may_be_hub_name(const std::string& name) {
  const auto is_plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '/'; };
  return !name.empty() && std::isalnum(static_cast<unsigned char>(name.front())) != 0 &&
         std::isalnum(static_cast<unsigned char>(name.back())) != 0 && std::all_of(name.begin(), name.end(), is_plain) &&
         std::count(name.begin(), name.end(), '/') <= 1;
}

std::string no_such_folder(const std::string& folder) {
  const std::string problem = folder + ": there is no such folder";
  if (!may_be_hub_name(folder)) return problem;
  const std::string model = fs::path(folder).filename().string();
  return text(problem, ". If that is a model's name on the Hugging Face Hub, download it first: hf download ", folder, " --local-dir ",
              model, " (huggingface-cli download with older versions), and name the folder ", model);
}

}  // namespace

JsonDocument read_hf_config(const std::string& folder) {
  const fs::path path(folder);
  std::error_code unknown;
  if (!fs::exists(path, unknown)) throw InputError(no_such_folder(folder));
  if (!fs::is_directory(path, unknown)) throw InputError(text(folder, ": is a file; expected the folder with config.json and the weights"));
  const bool is_run = fs::exists(path / "latest_checkpointed_iteration.txt", unknown) || fs::exists(path / "run_config.json", unknown);
  if (is_run && !fs::exists(path / "config.json", unknown)) {
    throw InputError(text(folder, ": is the folder of a run or a checkpoint, not a Hugging Face folder with a config.json. ",
                          "A run is loaded with --checkpoint.load; mbtrain convert to-hf makes a Hugging Face folder of it"));
  }
  return read_json_file((path / "config.json").string());
}

std::vector<Assignment> hf_assignments(const JsonDocument& config) { return Translator(config).run(); }
std::vector<Assignment> hf_assignments(const std::string& folder) { return hf_assignments(read_hf_config(folder)); }

std::string hf_model_type(const JsonDocument& config) { return Translator(config).model_type(); }
std::string hf_model_type(const std::string& folder) { return hf_model_type(read_hf_config(folder)); }

void apply_hf_config(const std::string& folder, RunConfig& config, Origins& origins) {
  std::vector<Problem> problems;
  apply_assignments(config, hf_assignments(folder), origins, problems);
  if (!problems.empty()) throw_problems(problems);
}

ModelConfig hf_model(const JsonDocument& config) {
  RunConfig run;
  Origins origins;
  std::vector<Problem> problems;
  apply_assignments(run, hf_assignments(config), origins, problems);
  if (!problems.empty()) throw_problems(problems);
  return run.model;
}

}  // namespace mbt
