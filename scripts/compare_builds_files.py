#!/usr/bin/env python3
"""What scripts/compare_builds.sh compares: results of two builds, in files.

usage: compare_builds_files.py KIND OLD NEW     KIND: json, losses, codes, text; prints the first differences and exits 1 when there is one
       compare_builds_files.py recipes FILE     name and kept layers of each in the output of `mbtrain recipes --json`
       compare_builds_files.py tensors FILE     writes tensors of odd shapes with special values, the same ones every time
"""
import json
import math
import pathlib
import random
import struct
import sys

# Keys that are not compared, wherever they stand. Everything else must be equal.
NOT_COMPARED = {
    "elapsed_ms": "a measured time",
    "tokens_per_second": "a measured rate",
    "tflops": "a measured rate",
    "free": "memory that is free at this moment (plan: memory.device)",
    "how": "a sentence, which may be reworded",
    "advice": "a sentence, which may be reworded",
    "notes": "sentences, which may be reworded",
    "note": "a sentence, which may be reworded",
    "description": "a sentence, which may be reworded",
}
STEPS = 30
SHOWN = 3  # differences


def differences(old, new, path=""):
    """(path, old, new) of everything that differs, leaving out NOT_COMPARED."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            if key not in NOT_COMPARED:
                yield from differences(old.get(key, "no such key"), new.get(key, "no such key"), f"{path}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, pair in enumerate(zip(old, new)):
            yield from differences(*pair, f"{path}[{i}]")
    elif type(old) is not type(new) or old != new and not (old != old and new != new):
        yield path, old, new


def report(found):
    """Prints the first differences; the exit code."""
    found = list(found)
    short = lambda value: json.dumps(value)[:60]
    texts = [f"{path or 'all'}: {short(old)} | {short(new)}" for path, old, new in found[:SHOWN]]
    if len(found) > SHOWN:
        texts.append(f"{len(found) - SHOWN} more")
    print("; ".join(texts), end="")
    return 1 if found else 0


def compare_json(old, new):
    before, after = (json.loads(file.read_text()) for file in (old, new))
    ends = [side.get("exit code", 0) if isinstance(side, dict) else 0 for side in (before, after)]
    if ends[0] != ends[1]:
        return report([("exit code", *ends)])
    if report(differences(before, after)):
        return 1
    if ends[1]:
        print(f"both refuse: exit code {ends[1]}", end="")
    return 0


def compare_losses(old, new):
    runs = []
    for file in (old, new):
        records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        steps = sum(r["kind"] == "iteration" for r in records)
        if steps != STEPS:
            print(f"{file.parent.name} made {steps} steps, expected {STEPS}", end="")
            return 1
        runs.append({f"{r['kind']} {r['iteration']}": r for r in records})
    if report(differences(*runs)):
        return 1
    print(f"loss {runs[1][f'iteration {STEPS}']['lm_loss']:.4f}", end="")
    return 0


def compare_text(old, new):
    """Line by line; two empty files are a difference, for something was to be printed."""
    before, after = (file.read_text(errors="replace").splitlines() for file in (old, new))
    if not before and not after:
        print("neither printed anything", end="")
        return 1
    width = max(len(before), len(after))
    pad = lambda lines: lines + ["no such line"] * (width - len(lines))
    if report((f"line {i + 1}", a, b) for i, (a, b) in enumerate(zip(pad(before), pad(after))) if a != b):
        return 1
    if after[-1].startswith("exit code") and after[-1] != "exit code 0":
        print(f"both refuse: {after[-1]}", end="")
    return 0


def read_tensors(file):
    content = file.read_bytes()
    size, = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], content[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]]) for name, t in header.items()}


def tensor_differences(old, new, path):
    for name in sorted(set(old) | set(new)):
        if name not in old or name not in new:
            yield f"{path} {name}", "a tensor" if name in old else "missing", "a tensor" if name in new else "missing"
        elif old[name][:2] != new[name][:2]:
            yield f"{path} {name}", old[name][:2], new[name][:2]
        elif old[name][2] != new[name][2]:
            byte = next(i for i, (a, b) in enumerate(zip(old[name][2], new[name][2])) if a != b)
            yield f"{path} {name}, byte {byte}", old[name][2][byte], new[name][2][byte]


def compare_codes(old, new):
    """Two folders: tensor by tensor the .safetensors, line by line what else was kept of the run."""
    found = []
    tensors = 0
    exits = sorted(file.name for file in old.glob("*.exit"))
    for name in exits:
        ends = [(folder / name).read_text().splitlines()[-1] for folder in (old, new)]
        if ends[0] != ends[1]:
            found.append((name, *ends))
            continue
        if ends[0] != "exit code 0":
            continue
        before, after = (read_tensors(folder / name.replace(".exit", ".safetensors")) for folder in (old, new))
        found += tensor_differences(before, after, name.replace(".exit", ""))
        tensors += len(after)
    if report(found):
        return 1
    print(f"{tensors} tensors" if tensors else "both refuse: nothing to quantize", end="")
    return 0


def f32(value):
    return struct.pack("<f", value)


def bf16(value):
    """Rounded toward zero: what matters is that the value is the same every time."""
    return struct.pack("<f", value)[2:]


def f16(value):
    return struct.pack("<e", value if not math.isfinite(value) else max(-65504.0, min(65504.0, value)))


SHAPES = [(1, 1), (3, 5), (16, 16), (17, 33), (1, 300), (300, 1), (64, 48), (128, 128), (129, 257), (160, 384)]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0**-149, 2.0**-126, 2.0**-20, 6.0, 448.0, 464.0, 57344.0, 61440.0, -448.5, 2.0**-9, 2.0**-10, 1.5 * 2.0**-10,
           0.25, 0.75, 1.25, 2.5, 3.5, 5.0]


def values(shape, kind, seed):
    """`kind`: plain (near 1), wide (magnitudes over 40 powers of two), zero, special (ties, limits and
    subnormals of the formats), nonfinite (NaN and both infinities between numbers)."""
    source = random.Random(seed)
    count = shape[0] * shape[1]
    if kind == "zero":
        return [0.0] * count
    if kind == "nonfinite":
        return [(math.nan, math.inf, -math.inf)[i // 41 % 3] if i % 41 == 0 else 1.0 + i % 7 for i in range(count)]
    if kind == "special":
        return [SPECIAL[i % len(SPECIAL)] for i in range(count)]
    scale = (lambda: math.ldexp(1.0, source.randrange(-20, 20))) if kind == "wide" else (lambda: 1.0)
    return [(source.getrandbits(24) / 2**23 - 1.0) * scale() for _ in range(count)]


def write_tensors(file):
    header, data = {}, bytearray()
    encoders = {"F32": f32, "F16": f16, "BF16": bf16}
    cases = [(shape, kind, "F32") for shape in SHAPES for kind in ("plain", "wide")]
    cases += [((129, 257), kind, dtype) for kind in ("plain", "wide") for dtype in ("F16", "BF16")]
    cases += [((33, 70), kind, dtype) for kind in ("zero", "special", "nonfinite") for dtype in encoders]
    for seed, (shape, kind, dtype) in enumerate(cases):
        begin = len(data)
        for value in values(shape, kind, seed):
            data += encoders[dtype](value)
        header[f"{kind}_{shape[0]}x{shape[1]}_{dtype}"] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return 0


def print_recipes(file):
    """Kept layers: those that the recipe leaves in 16 bits."""
    for recipe in json.loads(file.read_text()):
        kept = recipe["num_layers_at_start_in_bf16"] + recipe["num_layers_at_end_in_bf16"] if recipe["first_last_layers_bf16"] else 0
        print(recipe["name"], kept)
    return 0


def main(args):
    pairs = {"json": compare_json, "losses": compare_losses, "codes": compare_codes, "text": compare_text}
    singles = {"recipes": print_recipes, "tensors": write_tensors}
    paths = [pathlib.Path(a) for a in args[1:]]
    if len(paths) == 2 and args[0] in pairs:
        try:
            return pairs[args[0]](*paths)
        except (OSError, ValueError, KeyError, IndexError, struct.error) as error:
            print(f"a result cannot be read: {error}", end="")
            return 1
    if len(paths) == 1 and args[0] in singles:
        return singles[args[0]](*paths)
    print(__doc__.strip(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
