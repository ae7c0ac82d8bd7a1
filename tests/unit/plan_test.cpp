// The plan of a run: published FLOP and parameter counts, the precision map, memory, JSON.
#include "core/train/plan/plan.h"

#include <set>

#include "core/base/error.h"
#include "core/config/command_line.h"
#include "tests/support/catch.h"

namespace mbt::test::plan_test {

namespace {

GemmSupport emulate_all(const QuantSpec* a, const QuantSpec*, DType) {
  return a != nullptr ? GemmSupport{Execution::emulated, "bf16 GEMM on codes"} : GemmSupport{};
}

GemmSupport multiply_all(const QuantSpec*, const QuantSpec*, DType) { return {}; }

size_t no_scratch(const GemmShape&, const QuantSpec*, const QuantSpec*, DType) { return 0; }

RunPlan plan_of(const std::vector<std::string>& args) {
  return make_plan(resolve_run(parse_config_arguments(args)), 1, {"cpu", emulate_all, no_scratch});
}

const std::vector<std::string> kLlama3_8B = {"model.num_layers=32",          "model.hidden_size=4096",
                                             "model.num_attention_heads=32", "model.num_query_groups=8",
                                             "model.vocab_size=128256",      "model.ffn_hidden_size=14336",
                                             "model.seq_length=8192",        "train.micro_batch_size=1",
                                             "train.global_batch_size=128",  "model.share_embeddings_and_output_weights=false"};

std::vector<std::string> llama3(std::vector<std::string> args, const std::vector<std::string>& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

double gflops(const std::vector<std::string>& args) { return plan_of(args).flops.total() * 1e-9; }

std::string operand(const OperandPlan& p) { return fmt::format("{} {} {}", name_of(p.tensor), p.format, p.block); }

int64_t bytes_of(const RunPlan& plan, const std::string& category) {
  for (const MemoryItem& item : plan.memory)
    if (item.category == category) return item.bytes;
  return -1;
}

}  // namespace

TEST_CASE("FLOPs per token are the published ones") {
  CHECK(gflops(kLlama3_8B) == Approx(51.470).epsilon(2e-5));
  CHECK(gflops(llama3(kLlama3_8B, {"model.num_layers=80", "model.hidden_size=8192", "model.num_attention_heads=64",
                                   "model.ffn_hidden_size=28672"})) == Approx(449.22).epsilon(2e-5));
  CHECK(gflops(llama3(kLlama3_8B, {"model.num_layers=126", "model.hidden_size=16384", "model.num_attention_heads=128",
                                   "model.ffn_hidden_size=53248"})) == Approx(2523.96).epsilon(2e-5));
  CHECK(gflops({"model.num_layers=36", "model.hidden_size=4096", "model.num_attention_heads=32", "model.num_query_groups=8",
                "model.ffn_hidden_size=12288", "model.vocab_size=151936", "model.seq_length=4096", "train.micro_batch_size=1"}) ==
        Approx(49.032).epsilon(2e-5));
}

TEST_CASE("parameters are the published ones") {
  CHECK(total_elements(plan_of(kLlama3_8B).parameters) == 8030261248);
  const std::vector<std::string> gpt2 = {"model.num_layers=12",
                                         "model.hidden_size=768",
                                         "model.num_attention_heads=12",
                                         "model.vocab_size=50257",
                                         "model.make_vocab_size_divisible_by=1",
                                         "model.seq_length=1024",
                                         "model.normalization=LayerNorm",
                                         "model.activation_func=gelu",
                                         "model.position_embedding_type=learned_absolute",
                                         "model.add_bias_linear=true"};
  CHECK(total_elements(plan_of(gpt2).parameters) == 124439808);
  CHECK(total_elements(plan_of(llama3(gpt2, {"model.make_vocab_size_divisible_by=128"})).parameters) == 124439808 + 47 * 768);
  CHECK(total_elements(plan_of({"model.num_layers=36", "model.hidden_size=4096", "model.num_attention_heads=32", "model.num_query_groups=8",
                                "model.kv_channels=128", "model.ffn_hidden_size=12288", "model.vocab_size=151936",
                                "model.qk_layernorm=true", "model.share_embeddings_and_output_weights=false"})
                           .parameters) == 8190735360);  // Qwen3-8B
}

TEST_CASE("the precision map names the copy that each GEMM reads, and joins layers that run alike") {
  const RunPlan plan = plan_of({"--mixed-precision", "nanov2_bf16_with_fp8_current_scaling_mixed", "model.num_layers=8"});
  REQUIRE(plan.precision_map.size() == 3);
  CHECK(plan.precision_map[0].last == 1);
  CHECK(plan.precision_map[1].first == 2);
  CHECK(plan.precision_map[1].last == 5);
  CHECK(plan.precision_map[2].first == 6);
  CHECK(operand(plan.precision_map[0].gemms[0].a) == "input bf16 ");
  CHECK(plan.precision_map[0].gemms[0].support.execution == Execution::native);
  const auto& [fprop, dgrad, wgrad] = plan.precision_map[1].gemms;
  CHECK(operand(fprop.a) == "input e4m3 1x128");
  CHECK(operand(fprop.b) == "weight e4m3 128x128");
  CHECK(operand(dgrad.a) == "grad_output e5m2 1x128");
  CHECK(operand(dgrad.b) == "weight e4m3 128x128");
  CHECK(operand(wgrad.a) == "grad_output e5m2 128x1");
  CHECK(operand(wgrad.b) == "input e4m3 128x1");
  CHECK(fprop.support.execution == Execution::emulated);
}

TEST_CASE("Hadamard transforms stand in wgrad alone, stochastic rounding on gradients alone") {
  const RunPlan plan = plan_of({"--mixed-precision", "bf16_with_nvfp4_mixed"});
  REQUIRE(plan.precision_map.size() == 1);
  const auto& [fprop, dgrad, wgrad] = plan.precision_map[0].gemms;
  CHECK_FALSE(fprop.a.has_hadamard);
  CHECK_FALSE(dgrad.a.has_hadamard);
  CHECK(wgrad.a.has_hadamard);
  CHECK(wgrad.b.has_hadamard);
  CHECK(dgrad.a.has_stochastic_rounding);
  CHECK(wgrad.a.has_stochastic_rounding);
  CHECK_FALSE(wgrad.b.has_stochastic_rounding);
  CHECK(operand(fprop.b) == "weight e2m1 16x16");
}

TEST_CASE("length of a run") {
  const RunLength l =
      plan_of({"train.micro_batch_size=2", "train.global_batch_size=8", "train.train_iters=50", "model.seq_length=64"}).length;
  CHECK(l.iterations == 50);
  CHECK(l.micro_batches == 4);
  CHECK(l.samples == 400);
  CHECK(l.tokens == 25600);
}

TEST_CASE("memory follows the recipe and the recompute setting") {
  const RunPlan bf16 = plan_of(kLlama3_8B);
  const int64_t n = total_elements(bf16.parameters);
  CHECK(bytes_of(bf16, "weights") >= 2 * n);
  CHECK(bytes_of(bf16, "masters") >= 4 * n);
  CHECK(bytes_of(bf16, "moments") >= 8 * n);
  CHECK(bytes_of(bf16, "main_gradients") >= 4 * n);
  CHECK(bytes_of(bf16, "masters") < 4 * n + n / 1000);  // alignment is small
  CHECK(bytes_of(bf16, "quantised_weights") == 0);
  const RunPlan codes = plan_of(llama3(kLlama3_8B, {"--mixed-precision", "bf16_with_fp8_current_scaling_mixed"}));
  CHECK(bytes_of(codes, "weights") < bytes_of(bf16, "weights") / 3);  // embeddings, head, two layers
  CHECK(bytes_of(codes, "quantised_weights") > 0);
  const RunPlan beside = plan_of(llama3(kLlama3_8B, {"--mixed-precision", "bf16_with_fp8_subchannel_scaling_mixed"}));
  CHECK(bytes_of(beside, "weights") == bytes_of(bf16, "weights"));
  const RunPlan full = plan_of(llama3(kLlama3_8B, {"model.recompute_granularity=full"}));
  const RunPlan selective = plan_of(llama3(kLlama3_8B, {"model.recompute_granularity=selective"}));
  CHECK(bytes_of(full, "activations") < bytes_of(selective, "activations"));
  CHECK(bytes_of(selective, "activations") < bytes_of(bf16, "activations"));
  CHECK(bytes_of(plan_of(llama3(kLlama3_8B, {"--mixed-precision", "fp32"})), "masters") >= 4 * n);
}

TEST_CASE("the copy of an asynchronous save is planned where the device's memory is the host's") {
  const std::vector<std::string> save = {"checkpoint.save=run", "checkpoint.async_save=true"};
  const int64_t n = total_elements(plan_of(kLlama3_8B).parameters);
  CHECK(bytes_of(plan_of(llama3(kLlama3_8B, {"checkpoint.save=run"})), "checkpoint_copy") == 0);
  CHECK(bytes_of(plan_of(llama3(kLlama3_8B, save)), "checkpoint_copy") == 12 * n);
  CHECK(bytes_of(plan_of(llama3(kLlama3_8B, llama3(save, {"checkpoint.save_optim=false"}))), "checkpoint_copy") == 4 * n);
  const auto of_64 = make_plan(resolve_run(parse_config_arguments(llama3(kLlama3_8B, save)), 64), 64, {"cpu", emulate_all, no_scratch});
  CHECK(bytes_of(of_64, "checkpoint_copy") >= 12 * n / 64);
  CHECK(bytes_of(of_64, "checkpoint_copy") < 12 * n / 64 + n / 1000);
}

TEST_CASE("documents and positions take memory where a run uses them") {
  const auto workspace = [](const std::vector<std::string>& more) { return bytes_of(plan_of(llama3(kLlama3_8B, more)), "workspace"); };
  const int64_t plain = workspace({}), tokens = 4 * 8192;
  CHECK(workspace({"--reset-attention-mask"}) == plain + tokens);
  CHECK(workspace({"--reset-position-ids"}) == plain + tokens);
  CHECK(workspace({"--reset-position-ids", "--reset-attention-mask"}) == plain + 2 * tokens);
  CHECK(workspace({"--reset-position-ids", "model.position_embedding_type=none"}) == workspace({"model.position_embedding_type=none"}));
}

TEST_CASE("moments in bf16 take half the memory, each on its own, and the plan says so") {
  const auto moments = [](const std::vector<std::string>& more) {
    const RunPlan plan = plan_of(llama3(kLlama3_8B, more));
    const auto item = std::find_if(plan.memory.begin(), plan.memory.end(), [](const MemoryItem& m) { return m.category == "moments"; });
    REQUIRE(item != plan.memory.end());
    return *item;
  };
  const MemoryItem fp32 = moments({}), first = moments({"--use-precision-aware-optimizer", "--exp-avg-dtype", "bf16"}),
                   second = moments({"--use-precision-aware-optimizer", "--exp-avg-sq-dtype", "bf16"}),
                   both = moments({"--use-precision-aware-optimizer", "--exp-avg-dtype", "bf16", "--exp-avg-sq-dtype", "bf16"});
  CHECK(fp32.what == "Adam's two, fp32");
  CHECK(first.what == "Adam's two: the first bf16, the second fp32");
  CHECK(both.what == "Adam's two, bf16");
  CHECK(both.bytes * 2 == fp32.bytes);
  CHECK(first.bytes * 4 == fp32.bytes * 3);
  CHECK(second.bytes == first.bytes);
}

TEST_CASE("the plan says how attention runs; what the device cannot do as asked is refused with its reason") {
  const auto plan = [](const std::vector<std::string>& args) {
    const auto attention = [](AttentionBackend wanted, const AttentionShape& s) {
      const bool serves = wanted != AttentionBackend::flash || s.head_dim == 64;
      return AttentionSupport{serves, "flash",
                              fmt::format("width {} in {}, {} tokens, scale {:g}", s.head_dim, name_of(s.act), s.sequence_length, s.scale)};
    };
    DeviceQueries device{"cpu", emulate_all, no_scratch};
    device.attention = attention;
    return make_plan(resolve_run(parse_config_arguments(args)), 1, device);
  };
  CHECK(plan({}).attention.how == "width 32 in bf16, 128 tokens, scale 0.176777");
  const nlohmann::ordered_json json = to_json(plan({"--attention-backend", "flash", "--kv-channels", "64"}))["attention"];
  CHECK(json["asked"] == "flash");
  CHECK(json["path"] == "flash");
  CHECK_THROWS_AS(plan({"--attention-backend", "flash"}), InputError);
  CHECK_THROWS_WITH(
      plan({"--attention-backend", "flash"}),
      ContainsSubstring("model.attention_backend: got flash, which cannot run on cpu: width 32") && ContainsSubstring("take auto or math"));
}

TEST_CASE("JSON has the documented keys, one precision entry a layer and an origin for every field") {
  const nlohmann::ordered_json json = to_json(plan_of({"--mixed-precision", "bf16_with_fp8_current_scaling_mixed", "--lr", "0.001"}));
  std::set<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.insert(key);
  for (const char* key : {"config", "origins", "overwrites", "precision_map", "parameters", "memory", "flops_per_token", "run"})
    CHECK(keys.count(key) == 1);
  CHECK(json["precision_map"].size() == 4);
  CHECK(json["precision_map"][1]["gemms"]["dgrad"]["a"]["format"] == "e5m2");
  CHECK(json["precision_map"][0]["gemms"]["dgrad"]["a"]["format"] == "bf16");
  CHECK(json["precision_map"][1]["linears"].size() == 4);
  CHECK(json["origins"]["optimizer.lr"]["kind"] == "command_line");
  CHECK(json["origins"]["model.fp8"]["kind"] == "synchronised");
  CHECK(json["origins"]["model.num_layers"]["kind"] == "default");
  CHECK(json["config"]["model"]["fp8"] == "hybrid");
  CHECK(json["overwrites"].size() > 0);
  int64_t sum = 0;
  for (const auto& [key, bytes] : json["memory"]["categories"].items()) sum += bytes.get<int64_t>();
  CHECK(json["memory"]["total"] == sum);
}

namespace {

/// What planning on `device`, which answers `execution` for every product, says against it; empty: nothing.
std::string refusal(const std::string& device, Execution execution, const std::vector<std::string>& args) {
  const GemmSupportQuery support = [&](const QuantSpec*, const QuantSpec*, DType) { return GemmSupport{execution, "no such units"}; };
  try {
    make_plan(resolve_run(parse_config_arguments(args)), 1, {device, support, no_scratch});
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("what the device cannot run is refused with the reason and the flag") {
  for (const char* device : {"cpu", "cuda"}) {
    CAPTURE(device);
    CHECK(refusal(device, Execution::native, {}).empty());
    CHECK(refusal(device, Execution::native, {"--emulate-precision", "false"}).empty());
    CHECK_THAT(refusal(device, Execution::emulated, {"--emulate-precision", "false"}),
               ContainsSubstring("train.emulate_precision is false; --emulate-precision runs it"));
    CHECK_THAT(refusal(device, Execution::unsupported, {"--emulate-precision"}), ContainsSubstring("no such units"));
  }
}

TEST_CASE("unless said otherwise, emulation is allowed on the CPU and refused on a GPU") {
  CHECK(refusal("cpu", Execution::emulated, {}).empty());
  CHECK_THAT(refusal("cuda", Execution::emulated, {}),
             ContainsSubstring("on cuda: not native (no such units)") && ContainsSubstring("--emulate-precision runs it"));
  CHECK(refusal("cuda", Execution::emulated, {"--emulate-precision"}).empty());
  CHECK(refusal("cuda", Execution::emulated, {"--emulate-precision", "--lr", "0.1"}).empty());
  CHECK(refusal("cuda", Execution::emulated, {"--emulate-precision", "true"}).empty());
  CHECK(refusal("cuda", Execution::emulated, {"train.emulate_precision=true"}).empty());
}

TEST_CASE("emulation is announced, each way of it once") {
  const auto notes_of = [](const std::string& recipe) {
    const RunPlan plan = plan_of({"--mixed-precision", recipe, "model.num_layers=8"});
    return emulation_notes(plan.precision_map, plan.device);
  };
  CHECK(notes_of("bf16_mixed").empty());
  const std::vector<std::string> notes = notes_of("bf16_with_fp8_current_scaling_mixed");  // E4M3 forward, E5M2 gradients
  REQUIRE(notes.size() == 2);
  CHECK(notes[0] == "e4m3 x e4m3 products are emulated on cpu: bf16 GEMM on codes");
  CHECK(notes[1] == "e5m2 x e4m3 products are emulated on cpu: bf16 GEMM on codes");
}

TEST_CASE("the plan counts the scratch of the largest product, the head's included") {
  const auto scratch = [](const GemmShape& s, const QuantSpec*, const QuantSpec*, DType) {
    return static_cast<size_t>(s.role == GemmRole::wgrad ? s.out_features : 1);
  };
  ResolvedRun run = resolve_run(parse_config_arguments({"model.vocab_size=50257"}));
  const RunPlan plan = make_plan(std::move(run), 1, {"cpu", emulate_all, scratch});
  const auto item =
      std::find_if(plan.memory.begin(), plan.memory.end(), [](const MemoryItem& m) { return m.category == "device_scratch"; });
  REQUIRE(item != plan.memory.end());
  CHECK(item->bytes == 50304);  // padded to a multiple of 128
}

TEST_CASE("transposed copies cost a byte an element of weights and of the current operands, kept inputs nothing") {
  const auto plan = [](const char* recipe, bool is_transposed, bool with_block_scaling) {
    DeviceQueries device{"gpu", multiply_all, no_scratch};
    device.wants_transposed = [=](const QuantSpec& s) { return is_transposed && (with_block_scaling || s.is_per_tensor()); };
    return make_plan(resolve_run(parse_config_arguments(llama3(kLlama3_8B, {"--mixed-precision", recipe}))), 1, device);
  };
  const int64_t layer_weights = int64_t{32} * 4096 * (6144 + 4096 + 2 * 14336 + 14336);
  const int64_t tokens = 8192, gradients = tokens * (6144 + 4096 + 2 * 14336 + 4096), few = 1 << 20;
  const auto check = [&](const char* recipe, int64_t quantized_weights) {
    INFO(recipe);
    const RunPlan before = plan(recipe, false, true), after = plan(recipe, true, true);
    const auto growth = [&](const char* category) { return bytes_of(after, category) - bytes_of(before, category); };
    CHECK(std::abs(growth("quantised_weights") - quantized_weights) < 2 * few);
    CHECK(std::abs(growth("activations")) < few);
    CHECK(growth("weights") == 0);
    return growth("workspace");
  };
  CHECK(std::abs(check("bf16_with_fp8_delayed_scaling_mixed", layer_weights) - gradients) < few);
  CHECK(check("bf16_with_fp8_subchannel_scaling_mixed", layer_weights) == 0);  // gradients have two copies anyway
  CHECK(check("bf16_with_mxfp8_mixed", 0) == 0);
  CHECK(bytes_of(plan("bf16_with_mxfp8_mixed", true, false), "workspace") ==
        bytes_of(plan("bf16_with_mxfp8_mixed", false, false), "workspace"));
}

TEST_CASE("row-wise codes of inputs are shared between layers, column-wise ones only where a layer is recomputed") {
  const auto workspace = [](const std::vector<std::string>& more) {
    std::vector<std::string> args = llama3(kLlama3_8B, {"--mixed-precision", "bf16_with_mxfp8_mixed"});
    return bytes_of(plan_of(llama3(args, more)), "workspace");
  };
  const int64_t inputs = 8192 * (3 * 4096 + 14336);
  CHECK(workspace({"model.recompute_granularity=selective"}) - workspace({}) >= inputs);
}

TEST_CASE("a size that the device refuses ends the plan, with the weight and the product") {
  DeviceQueries device{"gpu", multiply_all, no_scratch};
  device.size_problem = [](const GemmShape& s, const QuantSpec* a, const QuantSpec*, DType) {
    return a != nullptr && s.role == GemmRole::wgrad && s.out_features == 96 ? std::string("no 96; change it") : std::string();
  };
  const auto plan = [&](const char* recipe) {
    const std::vector<std::string> args = {"--mixed-precision", recipe, "model.hidden_size=32", "model.ffn_hidden_size=48"};
    return make_plan(resolve_run(parse_config_arguments(args)), 1, device);
  };
  CHECK_THROWS_WITH(plan("bf16_with_fp8_delayed_scaling_mixed"),
                    ContainsSubstring("layers.0.qkv.weight, wgrad on gpu: no 96") ||
                        ContainsSubstring("layers.0.fc1.weight, wgrad on gpu: no 96; change it"));
  CHECK_NOTHROW(plan("bf16_mixed"));
}

TEST_CASE("sizes beyond any machine are refused, not overflowed") {
  CHECK_THROWS_AS(plan_of({"model.hidden_size=1048576", "model.num_layers=100000", "model.ffn_hidden_size=1000000000000",
                           "model.num_attention_heads=64"}),
                  InputError);
}

}  // namespace mbt::test::plan_test
