#!/usr/bin/env python3
"""Time a training step of a run config in mbtrain and in PyTorch, side by side on this machine, and print the ratios.

usage: scripts/bench_torch.py MBTRAIN [--recipes NAME ...] [--modes fp32 bf16 compile fp8] [--device cpu|cuda] [--rounds 3] [--steps 5] [--json]
                              [-- CONFIG ARGUMENTS of mbtrain, e.g. --config configs/gpt2_124m.json]
The PyTorch model has the same layers, batch, loss, clipping and AdamW, with scaled_dot_product_attention and torch.optim.AdamW(fused).
  fp32     as it is             bf16     torch.autocast to bfloat16
  compile  bf16 + torch.compile   fp8    compile, linear layers through torch._scaled_mm (E4M3, gradients E5M2, one current scale a tensor)
fp8 follows the recipe bf16_with_fp8_current_scaling_mixed: its first and last layers, embeddings and head stay in bfloat16.
Contenders take turns, `rounds` times, each in a process of its own, so that a noisy neighbor hits all of them; the median counts.
On a GPU a step is timed from an idle device to an idle device, after five steps that compile and warm up.
Needs PyTorch (any version with scaled_dot_product_attention); nothing else of mbtrain does. A config that PyTorch's side would not follow is
refused, field by field. Exit codes: 0 fine, 1 a contender failed, 2 bad usage, such a config, or something missing.
"""
import argparse, importlib.metadata, importlib.util, json, shutil, statistics, subprocess, sys, time


# ---- PyTorch's side, in its own process ---------------------------------------------------------------------------------------------

FP8_RECIPE = "bf16_with_fp8_current_scaling_mixed"


# What of a resolved config the peer must not meet: (section.field, the values that it has, in words, whether it has this one).
def one_of(*values):
    return ", ".join(json.dumps(v) for v in values), lambda value, _: value in values


PEER_LIMITS = [
    ("model.activation_func", *one_of("swiglu", "geglu", "gelu")),
    ("model.position_embedding_type", *one_of("rope", "learned_absolute")),
    ("model.normalization", *one_of("LayerNorm", "RMSNorm")),
    ("model.rotary_percent", *one_of(1)),
    ("model.rope_scaling", *one_of(False)),
    ("model.softmax_scale", *one_of(None)),
    ("model.sliding_window", *one_of(None)),
    ("model.qk_layernorm", "false with LayerNorm (ours is always an RMSNorm)", lambda value, m: not value or m["normalization"] == "RMSNorm"),
    ("model.recompute_granularity", *one_of(None)),
    ("optimizer.optimizer", *one_of("adam")),
    ("optimizer.decoupled_weight_decay", *one_of(True)),
    ("optimizer.exp_avg_dtype", *one_of("fp32")),
    ("optimizer.exp_avg_sq_dtype", *one_of("fp32")),
    ("optimizer.clip_grad", "above 0", lambda value, _: value > 0),
]
# Fields of the model that build_model reads, and those that change neither the layers nor the work: values of weights, how they came about,
# how attention is computed, and the precision, which the contender's mode stands for.
PEER_READS = {"num_layers", "hidden_size", "num_attention_heads", "num_query_groups", "kv_channels", "ffn_hidden_size", "seq_length", "vocab_size",
              "make_vocab_size_divisible_by", "layernorm_epsilon", "max_position_embeddings", "rotary_base", "add_bias_linear", "add_qkv_bias",
              "add_attention_bias", "add_mlp_bias", "share_embeddings_and_output_weights", "first_last_layers_bf16",
              "num_layers_at_start_in_bf16", "num_layers_at_end_in_bf16"}
WITHOUT_EFFECT = {"hf_path", "init_method_std", "embedding_init_method_std", "attention_backend", "rope_scaling_factor", "rope_low_freq_factor",
                  "rope_high_freq_factor", "rope_original_max_position_embeddings", "recompute_method", "recompute_num_layers", "hidden_dropout",
                  "attention_dropout", "tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size", "fp16", "bf16",
                  "params_dtype", "pipeline_dtype", "autocast_dtype", "fp8", "fp8_recipe", "fp8_margin", "fp8_amax_history_len",
                  "fp8_amax_compute_algo", "fp8_wgrad", "fp8_dot_product_attention", "fp8_multi_head_attention", "fp8_param", "fp4", "fp4_recipe",
                  "fp4_param", "fp8_output_proj", "calculate_per_token_loss"}


def unlike_peer(config):
    """What the peer does not have, a line for each field; empty when its model is the config's."""
    lines = []
    for path, expected, is_had in PEER_LIMITS:
        section, field = path.split(".")
        value = config[section][field]
        if not is_had(value, config[section]):
            lines.append(f"{path} is {json.dumps(value)}, expected {expected}")
    limited = {path.split(".")[1] for path, *_ in PEER_LIMITS if path.startswith("model.")}
    for field in sorted(config["model"].keys() - PEER_READS - WITHOUT_EFFECT - limited):
        lines.append(f"model.{field} is a field that scripts/bench_torch.py does not know")
    return lines


def build_model(m, padded_vocab, mode):
    """The decoder of a resolved `model` section as a torch module: tokens [B,T], targets [B,T] -> mean loss."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    heads, kv_heads = m["num_attention_heads"], m["num_query_groups"] or m["num_attention_heads"]
    width = m["hidden_size"]
    head_dim = m["kv_channels"] or width // heads
    gated = m["activation_func"] in ("swiglu", "geglu")
    ffn = m["ffn_hidden_size"] or ((width * 8 // 3 + 63) // 64 * 64 if gated else 4 * width)
    mlp_bias, proj_bias = m["add_bias_linear"] or m["add_mlp_bias"], m["add_bias_linear"] or m["add_attention_bias"]
    qkv_bias, eps = proj_bias or m["add_qkv_bias"], m["layernorm_epsilon"]
    rope = m["position_embedding_type"] == "rope"
    fp8_linear = scaled_mm_linear() if mode == "fp8" else None
    first_fp8, end_fp8 = 0, m["num_layers"]
    if m["first_last_layers_bf16"]:
        first_fp8, end_fp8 = m["num_layers_at_start_in_bf16"], end_fp8 - m["num_layers_at_end_in_bf16"]

    def norm(n):
        return nn.LayerNorm(n, eps=eps) if m["normalization"] == "LayerNorm" else nn.RMSNorm(n, eps=eps)

    class Layer(nn.Module):
        def __init__(self, index):
            super().__init__()
            linear = fp8_linear if fp8_linear and first_fp8 <= index < end_fp8 else nn.Linear
            self.attention_norm, self.mlp_norm = norm(width), norm(width)
            self.qkv = linear(width, (heads + 2 * kv_heads) * head_dim, bias=qkv_bias)
            self.proj = linear(heads * head_dim, width, bias=proj_bias)
            self.fc1 = linear(width, 2 * ffn if gated else ffn, bias=mlp_bias)
            self.fc2 = linear(ffn, width, bias=mlp_bias)
            self.q_norm, self.k_norm = (norm(head_dim), norm(head_dim)) if m["qk_layernorm"] else (nn.Identity(), nn.Identity())

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            q, k, v = self.qkv(self.attention_norm(x)).split([heads * head_dim, kv_heads * head_dim, kv_heads * head_dim], -1)
            q = self.q_norm(q.view(b, t, heads, head_dim)).transpose(1, 2)
            k = self.k_norm(k.view(b, t, kv_heads, head_dim)).transpose(1, 2)
            v = v.view(b, t, kv_heads, head_dim).transpose(1, 2)
            if rope:
                q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, **({"enable_gqa": True} if heads != kv_heads else {}))
            x = x + self.proj(y.transpose(1, 2).reshape(b, t, heads * head_dim))
            u = self.fc1(self.mlp_norm(x))
            if gated:
                gate, up = u.chunk(2, -1)
                u = (F.silu(gate) if m["activation_func"] == "swiglu" else F.gelu(gate, approximate="tanh")) * up
            else:
                u = F.gelu(u, approximate="tanh")
            return x + self.fc2(u)

    def rotate(x, cos, sin):
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.word = nn.Embedding(padded_vocab, width)
            self.position = None if rope else nn.Embedding(m["max_position_embeddings"] or m["seq_length"], width)
            self.layers = nn.ModuleList(Layer(i) for i in range(m["num_layers"]))
            self.final_norm = norm(width)
            self.head = nn.Linear(width, padded_vocab, bias=False)
            if m["share_embeddings_and_output_weights"]:
                self.head.weight = self.word.weight
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)
            angles = torch.arange(m["seq_length"])[:, None] / m["rotary_base"] ** (torch.arange(0, head_dim, 2) / head_dim)[None]
            self.register_buffer("cos", torch.cat([angles.cos(), angles.cos()], -1))
            self.register_buffer("sin", torch.cat([angles.sin(), angles.sin()], -1))

        def forward(self, tokens, targets):
            x = self.word(tokens)
            if self.position is not None:
                x = x + self.position.weight[: tokens.shape[1]]
            cos, sin = (self.cos, self.sin) if mode == "fp32" else (self.cos.bfloat16(), self.sin.bfloat16())
            for layer in self.layers:
                x = layer(x, cos, sin)
            return F.cross_entropy(self.head(self.final_norm(x)).flatten(0, 1).float(), targets.flatten())

    return Decoder()


def scaled_mm_linear():
    """nn.Linear whose three products go through torch._scaled_mm, with one dynamic scale a tensor."""
    import torch
    from torch import nn

    def quantize(x, dtype):
        scale = torch.finfo(dtype).max / x.abs().amax().float().clamp(min=1e-12)
        return (x.float() * scale).to(dtype), scale.reciprocal()

    def product(a, a_inv, b, b_inv, fast=False):  # a [m,k] row-major, b [n,k] row-major -> [m,n]; fast: fewer accumulator bits, as ours in fprop
        return torch._scaled_mm(a, b.t(), scale_a=a_inv, scale_b=b_inv, out_dtype=torch.bfloat16, use_fast_accum=fast)

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            xq, xs = quantize(x, torch.float8_e4m3fn)
            wq, ws = quantize(w, torch.float8_e4m3fn)
            ctx.save_for_backward(xq, xs, wq, ws)
            return product(xq, xs, wq, ws, fast=xq.is_cuda)

        @staticmethod
        def backward(ctx, dy):
            xq, xs, wq, ws = ctx.saved_tensors
            gq, gs = quantize(dy, torch.float8_e5m2)
            dx = product(gq, gs, wq.t().contiguous(), ws)
            dw = product(gq.t().contiguous(), gs, xq.t().contiguous(), xs)
            return dx, dw

    class Fp8Linear(nn.Linear):
        def forward(self, x):
            y = Product.apply(x.reshape(-1, x.shape[-1]).bfloat16(), self.weight.bfloat16()).view(*x.shape[:-1], -1)
            return y if self.bias is None else y + self.bias.to(y.dtype)

    return Fp8Linear


def torch_step(config, padded_vocab, mode, device, steps):
    """Seconds of the median step."""
    import torch

    torch.manual_seed(0)
    train, model = config["train"], config["model"]
    net = build_model(model, padded_vocab, mode).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    # One graph for forward and one for backward, without shapes that may change: the best that compile offers for a fixed batch.
    run = torch.compile(net, fullgraph=True, dynamic=False) if mode in ("compile", "fp8") else net
    micro_batches = train["global_batch_size"] // train["micro_batch_size"]
    shape = (train["micro_batch_size"], model["seq_length"])

    def step():
        for _ in range(micro_batches):
            tokens = torch.randint(0, model["vocab_size"], shape, device=device)
            targets = torch.randint(0, model["vocab_size"], shape, device=device)
            with torch.autocast(device, torch.bfloat16, enabled=mode != "fp32"):
                loss = run(tokens, targets) / micro_batches
            loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(2 if device == "cpu" else 5):
        step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# ---- the comparison -----------------------------------------------------------------------------------------------------------------

def refuse(message, code=2):
    print(f"bench_torch: {message}", file=sys.stderr)
    sys.exit(code)


def command_output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as e:
        refuse(f"{command[0]} does not start: {e}")
    if done.returncode != 0:  # 2, bad input, is handed on
        refuse(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}", 2 if done.returncode == 2 else 1)
    return done.stdout


def resolved_config(a, config_args, recipe):
    return json.loads(command_output([a.mbtrain, "config", "show", *config_args, "--mixed-precision", recipe] if recipe else
                                     [a.mbtrain, "config", "show", *config_args]))


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"is '{text}', expected a whole number of at least 1")
    return int(text)


def check_request(a, config_args):
    """Before anything is timed: what is missing, and whether the peer's model is the config's under every contender's recipe."""
    if shutil.which(a.mbtrain) is None:
        refuse(f"{a.mbtrain} is not a program: build it (cmake --build BUILD --target mbtrain) and give its path")
    for recipe in [None, *a.recipes, *([FP8_RECIPE] if "fp8" in a.modes else [])]:
        if lines := unlike_peer(resolved_config(a, config_args, recipe)):
            refuse("PyTorch's side would train another model:\n  " + "\n  ".join(lines))
    if importlib.util.find_spec("torch") is None:
        refuse(f"{sys.executable} has no PyTorch: pip install torch, or run this with a Python that has it")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mbtrain")
    p.add_argument("--recipes", nargs="+", default=["bf16_mixed"])
    p.add_argument("--modes", nargs="+", default=["bf16", "compile"], choices=["fp32", "bf16", "compile", "fp8"])
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--rounds", type=positive, default=3)
    p.add_argument("--steps", type=positive, default=5)
    p.add_argument("--json", action="store_true")
    p.add_argument("--one-mode", help=argparse.SUPPRESS)  # the process of one contender
    own = sys.argv[1:]
    config_args = []
    if "--" in own:
        at = own.index("--")
        own, config_args = own[:at], own[at + 1:]
    a = p.parse_args(own)

    if a.one_mode:
        config = resolved_config(a, config_args, FP8_RECIPE if a.one_mode == "fp8" else None)
        multiple = config["model"]["make_vocab_size_divisible_by"]
        padded_vocab = -(-config["model"]["vocab_size"] // multiple) * multiple
        try:
            seconds = torch_step(config, padded_vocab, a.one_mode, a.device, a.steps)
        except RuntimeError as e:  # torch.OutOfMemoryError is one, by various names
            if "out of memory" not in str(e):
                raise
            seconds = None
        print(json.dumps({"seconds": seconds, "torch": importlib.metadata.version("torch")}))
        return

    check_request(a, config_args)
    seconds, version, out_of_memory = {}, "", set()
    for _ in range(a.rounds):
        for mode in a.modes:
            own_command = [sys.executable, __file__, a.mbtrain, "--one-mode", mode, "--device", a.device, "--steps", str(a.steps), "--", *config_args]
            told = json.loads(command_output(own_command).splitlines()[-1])
            version = told["torch"]
            if told["seconds"] is None:
                out_of_memory.add("PyTorch " + mode)
            else:
                seconds.setdefault("PyTorch " + mode, []).append(told["seconds"])
        for recipe in a.recipes:
            bench = json.loads(command_output([a.mbtrain, "bench", "step", "--json", "--steps", str(a.steps), *config_args, "--mixed-precision", recipe,
                                               "--train.device", a.device]))
            seconds.setdefault("mbtrain " + recipe, []).append(bench["step_ms"] / 1e3)
            tokens = bench["tokens"]
    median = {name: statistics.median(v) for name, v in seconds.items()}
    if a.json:
        print(json.dumps({"torch": version, "device": a.device, "tokens": tokens, "seconds": median, "out_of_memory": sorted(out_of_memory)},
                         indent=2))
        return
    print(f"PyTorch {version} on {a.device}\n")
    print("| | step (ms) | tokens/s |" + "".join(f" over {n} |" for n in median if n.startswith("PyTorch")))
    print("|---|---|---|" + "---|" * sum(n.startswith("PyTorch") for n in median))
    for name, s in median.items():
        ratios = "".join(f" {median[n] / s:.2f} |" for n in median if n.startswith("PyTorch"))
        print(f"| {name} | {s * 1e3:.1f} | {tokens / s:.0f} |{ratios}")
    for name in sorted(out_of_memory):
        print(f"\n{name}: out of memory")


if __name__ == "__main__":
    main()
