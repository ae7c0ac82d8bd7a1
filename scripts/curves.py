#!/usr/bin/env python3
"""Train the default model and a larger one with every recipe and compare the losses with bf16_mixed's.

usage: scripts/curves.py MBTRAIN [--iters 200] [--data /usr/include/c++] [--out docs]
Writes OUT/curves.md (the mean loss of the last ten iterations of every recipe) and OUT/curves-<model>.svg. Needs no package.
The machine takes about half an hour on two cores.
"""
import argparse, json, os, subprocess, tempfile

MODELS = {
    "default": ("the built-in model on the synthetic language", []),
    # The demo's run with a model twice as large and longer sequences.
    "demo": ("a Llama of 1.8 M parameters on the C++ standard library's headers",
             ["--config", "configs/llama_demo_cpp.json", "--model.hidden_size", "192", "--model.num_attention_heads", "6", "--model.ffn_hidden_size", "512",
              "--seq-length", "256", "--dataset.path"]),
}
LIMITS = {"fp8": 0.02, "mxfp8": 0.02, "nvfp4": 0.05}
COLORS = "#1b6ca8 #d1495b #66a182 #edae49 #8d5a97 #00798c #c0803b #3d5a40 #a3333d #5f7adb #7b8c3f #b56576 #2e4057 #bc5090 #6b705c".split()


def train(binary, recipe, extra, iters, folder):
    metrics = os.path.join(folder, recipe + ".jsonl")
    if not os.path.exists(metrics):
        # Iterations that the fp16 loss scale skips while it looks for its level are no steps: such recipes get spare ones.
        spare = 40 if recipe.startswith("fp16") else 0
        command = [binary, "train", "--mixed-precision", recipe, "--train-iters", str(iters + spare), "--scheduler.lr_decay_iters", str(iters),
                   "--validation.eval_iters", "0", "--logger.jsonl_path", metrics + ".part", *extra]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.rename(metrics + ".part", metrics)
    with open(metrics) as lines:
        return [r["lm_loss"] for r in map(json.loads, lines) if not r["skipped"]][:iters]


def end(losses):
    return sum(losses[-10:]) / len(losses[-10:])


def limit(recipe):
    return max((v for k, v in LIMITS.items() if k in recipe), default=None)


def svg(path, curves, title):
    width, height, left, top = 900, 460, 50, 30
    steps = max(len(c) for c in curves.values())
    low = min(min(c) for c in curves.values()) * 0.98
    high = max(max(c) for c in curves.values())
    x = lambda i: left + (width - left - 330) * i / (steps - 1)
    y = lambda v: top + (height - top - 40) * (high - v) / (high - low)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="18" font-size="14">{title}</text>']
    for k in range(6):
        v = low + (high - low) * k / 5
        parts.append(f'<path d="M{left} {y(v):.1f}H{width - 330}" stroke="#ddd"/><text x="{left - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.1f}</text>')
    for n, (recipe, losses) in enumerate(curves.items()):
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(losses))
        color = COLORS[n % len(COLORS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.2"/>')
        parts.append(f'<text x="{width - 320}" y="{top + 18 * n + 12}" fill="{color}">{recipe}</text>')
    parts.append(f'<text x="{left}" y="{height - 10}">step 1 to {steps}; loss in nats a byte</text></svg>')
    with open(path, "w") as f:
        f.write("\n".join(parts) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("binary")
    p.add_argument("--iters", type=int, default=200)
    p.add_argument("--data", default="/usr/include/c++")
    p.add_argument("--out", default="docs")
    p.add_argument("--work", default=None, help="folder of the metrics; runs found there are not repeated")
    a = p.parse_args()
    work = a.work or tempfile.mkdtemp()
    recipes = [r["name"] for r in json.loads(subprocess.run([a.binary, "recipes", "--json"], check=True, capture_output=True).stdout)]
    text = ["# Every recipe compared with bf16_mixed", "",
            f"Each loss is the mean of the last ten of {a.iters} steps, measured by `scripts/curves.py`. FP8 recipes must end within 2 % of",
            "`bf16_mixed`, NVFP4 within 5 %. All runs use the same seed and data. \"plain\" recipes quantize nothing. Iterations that fp16's loss",
            "scale skips at the start do not count as steps: fp16 runs go on until they have made as many steps as the others.", ""]
    for model, (what, extra) in MODELS.items():
        folder = os.path.join(work, model)
        os.makedirs(folder, exist_ok=True)
        options = extra + [a.data] if extra else []
        curves = {r: train(a.binary, r, options, a.iters, folder) for r in recipes}
        reference = end(curves["bf16_mixed"])
        svg(os.path.join(a.out, f"curves-{model}.svg"), curves, what)
        text += [f"## {what[0].upper()}{what[1:]}", "", f"![losses](curves-{model}.svg)", "", "| recipe | loss | difference to bf16_mixed | limit |", "|---|---|---|---|"]
        for r in recipes:
            bound = limit(r)
            text.append(f"| `{r}` | {end(curves[r]):.4f} | {100 * (end(curves[r]) / reference - 1):+.2f} % | {'plain' if bound is None else f'{100 * bound:.0f} %'} |")
        text.append("")
    with open(os.path.join(a.out, "curves.md"), "w") as f:
        f.write("\n".join(text))


if __name__ == "__main__":
    main()
