#include "core/selftest/checks.h"

#include <algorithm>
#include <set>

#include "core/config/command_line.h"
#include "core/model/shapes.h"
#include "core/optim/optimizer.h"
#include "core/recipe/library.h"
#include "core/recipe/policy.h"
#include "core/recipe/resolve.h"
#include "core/selftest/attentions.h"
#include "core/selftest/machinery.h"
#include "core/selftest/optimizer_steps.h"
#include "core/selftest/products.h"
#include "core/selftest/quantization.h"
#include "core/selftest/rows.h"

namespace mbt::selftest {
namespace {

/// Puts checks in a row, each name once: parts that several needs share.
class Collector {
 public:
  void add(Checks more) {
    for (Check& c : more)
      if (names_.insert(c.name).second) checks_.push_back(std::move(c));
  }
  Checks take() { return std::move(checks_); }

 private:
  Checks checks_;
  std::set<std::string> names_;
};

constexpr const char* kAnyRecipeLayers = "model.num_layers=32";  // recipes that keep many layers in 16 bits have a quantized one then

RunConfig config_of(const std::string& recipe) {
  return resolve_run(parse_config_arguments({"--mixed-precision", recipe, kAnyRecipeLayers})).config;
}

/// Of a model of this policy: products, and the codes that they read.
void add_precision(Collector& to, const PrecisionPolicy& policy) {
  to.add(product_checks({}, policy.act));
  for (const LinearPrecision& linear : policy.layers) {
    if (!linear.is_quantized()) continue;
    to.add(product_checks(linear, policy.act));
    to.add(quantization_checks(linear, policy.act));
  }
  if (policy.is_delayed) to.add(delayed_scaling_checks());
}

void add_common(Collector& to, DType act) {
  to.add(machinery_checks());
  to.add(position_checks(act));
  to.add(row_checks(act));
  to.add(step_checks());
}

}  // namespace

Checks checks_for(const RunConfig& config) {
  const ModelConfig& m = config.model;
  const PrecisionPolicy policy = make_policy(m, config.ddp);
  Collector all;
  add_precision(all, policy);
  all.add(attention_checks(policy.act, {{m.head_dim(), m.num_attention_heads / m.kv_heads()}}, {attention_backend(m)}));
  all.add(norm_checks(policy.act, {norm_kind(m)}, m.qk_layernorm));
  all.add(activation_checks(policy.act, {activation_kind(m)}));
  add_common(all, policy.act);
  if (config.train.cuda_graph) all.add(replay_checks(policy.act));
  const MomentTypes moments = moment_types(config.optimizer);
  all.add(adamw_checks(policy.act, moments.exp_avg, moments.exp_avg_sq));
  return all.take();
}

Checks checks_for_recipe(const std::string& recipe) { return checks_for(config_of(recipe)); }

Checks all_checks() {
  Collector all;
  const RecipeLibrary library = RecipeLibrary::load();
  for (const Recipe& recipe : library.all()) all.add(checks_for_recipe(recipe.name));
  for (const DType act : {DType::bf16, DType::f16, DType::f32}) {
    add_common(all, act);
    all.add(attention_checks(act, {{64, 2}, {128, 1}, {48, 3}}, {AttentionBackend::automatic, AttentionBackend::math}));
    all.add(replay_checks(act));
    all.add(norm_checks(act, {NormKind::rmsnorm, NormKind::layernorm}, true));
    using enum ActivationKind;
    all.add(activation_checks(act, {swiglu, geglu, gelu_tanh, gelu_erf, silu, relu, squared_relu}));
  }
  for (const DType first : {DType::f32, DType::bf16})
    for (const DType second : {DType::f32, DType::bf16}) all.add(adamw_checks(DType::bf16, first, second));
  return all.take();
}

}  // namespace mbt::selftest
