#!/usr/bin/env python3
"""Compares Hugging Face import and export with transformers (needs: torch transformers safetensors numpy; not part of the tests).

usage: check_hf_export.py MBTRAIN [FOLDER...] [--random N] [--seed S] [--keep DIR]

For each FOLDER, and for N tiny models of random shapes, options, types and shards:
  1. convert from-hf, then to-hf: every tensor equal, same name and type; config.json the same bytes
  2. the exported folder loads in transformers; its logits and gradients there (float64) against `mbtrain probe` of the source (fp32)
  3. three steps of training from the import, exported again: transformers' logits against `mbtrain probe` of the export; imported once
     more, it comes back equal
For FOLDER "native" also a model that has come from no Hugging Face folder, one of each family.
Prints a line a model with its worst relative L2 errors, exits with 1 when one is beyond 1e-5 (logits) or 1e-4 (gradients).
"""
import argparse, json, pathlib, random, shutil, subprocess, sys, tempfile

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
LOGITS, GRADIENTS = 1e-5, 1e-4


class Wrong(Exception):
    pass


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Wrong(f"exit {done.returncode}: {' '.join(map(str, command))}\n{done.stdout[-500:]}{done.stderr[-1000:]}")
    return done.stdout


def tensors(folder):
    return {k: v for f in sorted(folder.glob("*.safetensors")) for k, v in load_file(f).items()}


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


def check_equal(source, result):
    x, y = tensors(source), tensors(result)
    if set(x) != set(y):
        raise Wrong(f"names differ: {sorted(set(x) ^ set(y))[:5]}")
    different = [k for k in x if not same_bits(x[k], y[k])]
    if different:
        raise Wrong(f"tensors differ: {different[:5]}")


def relative(a, b):
    a, b = a.double().flatten(), b.double().flatten()
    return float((a - b).norm() / (b.norm() + 1e-30))


def by_plain_name(pairs):
    strip = lambda k: k.removeprefix("transformer.").removeprefix("model.")
    return {strip(k): v for k, v in pairs}


def torch_results(folder, batch):
    """Logits and gradients of the mean loss, in float64 but for what transformers itself computes in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).double().eval()
    ids, labels, mask = batch["input_ids"][0].long(), batch["labels"][0].long(), batch["loss_mask"][0].double()
    logits = model(input_ids=ids, use_cache=False).logits
    loss = (torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none") * mask.flatten()).sum() / mask.sum()
    loss.backward()
    return logits.detach(), by_plain_name((k, p.grad) for k, p in model.named_parameters())


def compare(mbtrain, probed, loaded, batch_file, work):
    """mbtrain's numbers of one folder against transformers' of another."""
    out = work / "probe.safetensors"
    run(mbtrain, "probe", "--model.hf_path", probed, "--batch", batch_file, "--out", out, "--mixed-precision", "fp32")
    ours = load_file(out)
    logits, gradients = torch_results(loaded, load_file(batch_file))
    mine = by_plain_name((k.removeprefix("grad."), v) for k, v in ours.items() if k.startswith("grad."))
    if set(mine) != set(gradients):
        raise Wrong(f"gradients of other tensors: {sorted(set(mine) ^ set(gradients))[:5]}")
    errors = relative(ours["logits"], logits), max(relative(mine[k], gradients[k]) for k in gradients)
    if errors[0] > LOGITS or errors[1] > GRADIENTS:
        raise Wrong(f"logits differ by {errors[0]:.1e}, gradients by {errors[1]:.1e}")
    return errors


def make_batch(path, vocabulary, sequence, seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, vocabulary, (1, 2, sequence + 1), generator=generator, dtype=torch.int32)
    mask = (torch.rand((1, 2, sequence), generator=generator) > 0.2).float()
    save_file({"input_ids": tokens[..., :-1].contiguous(), "labels": tokens[..., 1:].contiguous(), "loss_mask": mask}, path)
    return path


def key(config, *names):
    return next(config[n] for n in names if config.get(n) is not None)


def check_folder(mbtrain, folder, work, seed):
    config = json.loads((folder / "config.json").read_text())
    longest = key(config, "n_positions", "max_position_embeddings")
    batch = folder / "batch.safetensors"
    if not batch.exists():
        sequence = min(longest, config.get("sliding_window") or longest, 48)
        batch = make_batch(work / "batch.safetensors", config["vocab_size"], sequence, seed)
    source = work / "source"
    source.mkdir()
    for f in folder.iterdir():
        if f.name not in ("batch.safetensors", "expected.safetensors", "expected.json"):
            shutil.copy(f, source)
    run(mbtrain, "convert", "from-hf", source, work / "run")
    run(mbtrain, "convert", "to-hf", work / "run", work / "back", "--max-shard-size", random.choice(["5GB", "64KB"]))
    check_equal(source, work / "back")
    if (source / "config.json").read_bytes() != (work / "back" / "config.json").read_bytes():
        raise Wrong("config.json has changed")
    errors = [compare(mbtrain, source, work / "back", batch, work)]

    sequence = load_file(batch)["input_ids"].shape[-1]
    text = work / "text.txt"
    top = min(config["vocab_size"], 128)
    text.write_bytes(bytes(random.Random(seed).randrange(1, top) for _ in range(100000)))
    training = ["--dataset.path", text, "--tokenizer-type", "bytes", "--seq-length", sequence, "--train-iters", 3, "--micro-batch-size", 2, "--global-batch-size", 2,
                "--lr", 1e-3, "--mixed-precision", "fp32", "--validation.eval_iters", 0]
    if config["vocab_size"] >= 256:
        converted = ["--config", work / "run/run_config.json", "--checkpoint.load", work / "run", "--checkpoint.finetune", "true"]
        start = random.choice([["--model.hf_path", source], converted])
        run(mbtrain, *start, *training, "--checkpoint.save", work / "trained")
        dtype = random.choice(["source", "fp32", "bf16"])
        run(mbtrain, "convert", "to-hf", work / "trained", work / "out", "--dtype", dtype)
        if set(tensors(work / "out")) != set(tensors(source)):
            raise Wrong("after training other tensors than before")
        if all(same_bits(a, b) for a, b in zip(tensors(work / "out").values(), tensors(source).values())):
            raise Wrong("training has changed nothing")
        errors.append(compare(mbtrain, work / "out", work / "out", batch, work))
        run(mbtrain, "convert", "from-hf", work / "out", work / "again")
        run(mbtrain, "convert", "to-hf", work / "again", work / "out2")
        check_equal(work / "out", work / "out2")
    return np.max(errors, 0)


# -- random models

def random_config(r):
    family = r.choice(["gpt2", "llama", "llama", "mistral", "qwen2", "qwen3"])
    kv = r.choice([1, 2, 3, 4])
    heads = kv * r.choice([1, 2, 3])
    width = r.choice([4, 6, 8, 16, 20])
    vocabulary = r.choice([256, 257, 300, 383, 384, 1000])
    longest = r.choice([48, 64, 100, 256])
    if family == "gpt2":
        return dict(model_type="gpt2", vocab_size=vocabulary, n_positions=longest, n_embd=heads * width, n_layer=r.choice([1, 2, 3]),
                    n_head=heads, n_inner=r.choice([None, 40, 96]),
                    activation_function=r.choice(["gelu_new", "gelu", "gelu_pytorch_tanh", "relu", "silu"]),
                    layer_norm_epsilon=r.choice([1e-5, 1e-6, 1e-3]), scale_attn_weights=r.choice([True, True, False]),
                    tie_word_embeddings=r.choice([True, True, False]), resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    c = dict(model_type=family, vocab_size=vocabulary, max_position_embeddings=longest, num_hidden_layers=r.choice([1, 2, 3]),
             num_attention_heads=heads, num_key_value_heads=kv, intermediate_size=r.choice([24, 56, 100]),
             rms_norm_eps=r.choice([1e-5, 1e-6, 1e-3]),
             hidden_act=r.choice(["silu", "silu", "gelu_pytorch_tanh"]), tie_word_embeddings=r.choice([True, False]))
    own_width = family == "qwen3" or r.random() < 0.3
    # A multiple of heads even with a width of their own: transformers insists on that for llama.
    c["hidden_size"] = heads * r.choice([4, 6, 10]) if own_width else heads * width
    if own_width:
        c["head_dim"] = width
    rope = dict(rope_type="default", rope_theta=r.choice([1e4, 5e5, 1e6, 123456.0]))
    if r.random() < 0.4:
        low = r.choice([1.0, 1.5])
        rope.update(rope_type="llama3", factor=r.choice([2.0, 8.0, 32.0]), low_freq_factor=low, high_freq_factor=low * r.choice([2, 4]),
                    original_max_position_embeddings=r.choice([16, 32, 64]))
    c["rope_parameters"] = rope
    if family in ("llama", "qwen3"):
        c["attention_bias"] = r.random() < 0.4
    if family == "llama":
        c["mlp_bias"] = r.random() < 0.4
    if family == "mistral":
        c["sliding_window"] = r.choice([None, longest, 48])
    if family in ("qwen2", "qwen3"):
        c["use_sliding_window"] = r.random() < 0.2
        c["sliding_window"] = r.choice([longest, 48])
        c["max_window_layers"] = r.choice([0, 1, 28])
    return c


def randomize(model, generator):
    with torch.no_grad():
        for name, p in model.named_parameters():
            values = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                gain = 1.0 if ("norm" in name or "ln_" in name) and name.endswith("weight") else 0.0
                p.copy_(gain + 0.1 * values)
            else:
                p.copy_(values * (0.05 if "wpe" in name else 0.3 if "wte" in name or "embed" in name else p.shape[-1] ** -0.5))


def to_older_form(folder, r):
    """As published files have it: rope_theta and rope_scaling at the top level, torch_dtype."""
    path = folder / "config.json"
    c = json.loads(path.read_text())
    if "rope_parameters" in c and r.random() < 0.5:
        rope = c.pop("rope_parameters")
        c["rope_theta"] = rope.pop("rope_theta")
        c["rope_scaling"] = rope if rope.get("rope_type", "default") != "default" else None
        c["torch_dtype"] = c.pop("dtype", "float32")
    path.write_text(json.dumps(c, indent=r.choice([None, 1, 2])))


def rewrite_weights(folder, config, r):
    """Other names, types a tensor, copies and buffers, as files in the wild have them."""
    path = folder / "model.safetensors"
    if not path.exists():
        return
    t = load_file(path)
    if r.random() < 0.4:  # mixed types
        t = {k: v.to(r.choice([torch.float32, torch.bfloat16, torch.float16])) for k, v in t.items()}
        if config.get("tie_word_embeddings") and "lm_head.weight" in t:
            del t["lm_head.weight"]
    embedding = next(k for k in t if "wte" in k or "embed_tokens" in k)
    if config.get("tie_word_embeddings", config["model_type"] == "gpt2") and r.random() < 0.5:
        t["lm_head.weight"] = t[embedding].clone()
    if config["model_type"] == "gpt2":
        p = config["n_positions"]
        if r.random() < 0.5:
            kind = r.choice([torch.uint8, torch.bool, torch.float32])
            for i in range(config["n_layer"]):
                t[f"transformer.h.{i}.attn.bias"] = torch.tril(torch.ones(p, p)).to(kind).view(1, 1, p, p)
                t[f"transformer.h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
        if r.random() < 0.4:
            t = {k.removeprefix("transformer."): v for k, v in t.items()}
    elif r.random() < 0.3:
        for i in range(config["num_hidden_layers"]):
            t[f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = torch.rand(config.get("head_dim", 8) // 2)
    save_file(t, path, metadata={"format": "pt"})


def make_random(folder, seed):
    r = random.Random(seed)
    c = random_config(r)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**c))
    randomize(model, torch.Generator().manual_seed(seed))
    model.to(r.choice([torch.float32, torch.bfloat16, torch.float16]))
    model.save_pretrained(folder, max_shard_size=r.choice(["1GB", "1GB", "40KB"]))
    to_older_form(folder, r)
    rewrite_weights(folder, c, r)
    return c["model_type"]


# -- models that were born here

NATIVE = {
    "gpt2": ["normalization=LayerNorm", "activation_func=gelu", "position_embedding_type=learned_absolute", "add_bias_linear=true"],
    "llama": ["add_attention_bias=true", "add_mlp_bias=true", "num_query_groups=2", "share_embeddings_and_output_weights=false",
              "rope_scaling=true", "rope_original_max_position_embeddings=32"],
    "mistral": ["sliding_window=64", "num_query_groups=2"],
    "qwen2": ["add_qkv_bias=true", "num_query_groups=1", "rotary_base=1000000"],
    "qwen3": ["qk_layernorm=true", "kv_channels=16", "activation_func=geglu"],
}


def check_native(mbtrain, family, work):
    shape = ["num_layers=2", "hidden_size=48", "num_attention_heads=4", "vocab_size=300"]
    run(mbtrain, *["model." + f for f in shape + NATIVE[family]], "--dataset.kind", "synthetic",
        "--seq-length", 64, "--train-iters", 3, "--mixed-precision", "fp32", "--checkpoint.save", work / "run")
    run(mbtrain, "convert", "to-hf", work / "run", work / "out")
    config = json.loads((work / "out/config.json").read_text())
    embedding = next(v for k, v in tensors(work / "out").items() if "wte" in k or "embed" in k)
    if config["model_type"] != family or embedding.shape[0] != 300:
        raise Wrong(f"exported as {config['model_type']}, or with the vocabulary's padding")
    return compare(mbtrain, work / "out", work / "out", make_batch(work / "batch.safetensors", 300, 64, 1), work)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mbtrain", type=pathlib.Path)
    p.add_argument("folders", nargs="*")
    p.add_argument("--random", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--keep", type=pathlib.Path, help="leave the files of models that fail here")
    a = p.parse_args()
    mbtrain = a.mbtrain.resolve()
    jobs = [(pathlib.Path(f).name, lambda w, f=f: check_folder(mbtrain, pathlib.Path(f), w, 1)) for f in a.folders if f != "native"]
    jobs += [(f"native {family}", lambda w, family=family: check_native(mbtrain, family, w)) for family in NATIVE if "native" in a.folders]

    def random_job(work, seed):
        (work / "model").mkdir()
        make_random(work / "model", seed)
        random.seed(seed)
        return check_folder(mbtrain, work / "model", work, seed)
    jobs += [(f"random {s}", lambda w, s=s: random_job(w, s)) for s in range(a.seed, a.seed + a.random)]

    failures, worst = 0, np.zeros(2)
    for name, job in jobs:
        work = pathlib.Path(tempfile.mkdtemp())
        try:
            errors = job(work)
            worst = np.maximum(worst, errors)
            print(f"ok    {name}: logits {errors[0]:.1e}, gradients {errors[1]:.1e}", flush=True)
        except Wrong as e:
            failures += 1
            print(f"WRONG {name}: {e}", flush=True)
            if a.keep:
                shutil.copytree(work, a.keep / name.replace(" ", "-"), dirs_exist_ok=True)
        finally:
            shutil.rmtree(work)
    print(f"{len(jobs)} models, {failures} wrong; worst logits {worst[0]:.1e}, gradients {worst[1]:.1e}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
