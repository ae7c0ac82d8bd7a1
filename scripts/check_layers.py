#!/usr/bin/env python3
"""Checks who includes whom: core/ folders in their order, kernels and apps by their short lists (README, "The map").
Checks too that each .cpp file of core and kernels has a header of its own name that it includes.

usage: check_layers.py [REPOSITORY]   prints every forbidden include and missing header, and exits 1 when there is one
"""
import pathlib
import re
import sys

# core/hf is one topic on two floors: reading a folder needs config and io, converting one needs checkpoints.
CORE_ORDER = ["base", "numerics", "tensor", "io", "quant", "ops", "comm", "backend", "reference", "megatron", "config", "tokenizer", "hf", "recipe", "model", "parallel",
              "optim", "selftest", "data", "train", "hf/convert", "eval"]
KERNEL_CORE = {"base", "numerics", "tensor", "io", "quant", "ops", "comm", "backend"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
SOURCES = {".h", ".cpp", ".cu", ".cuh"}
# Sources that define a part of what another header declares.
HEADER_OF = {
    "kernels/cpu/cpu_ops.cpp": "kernels/cpu/cpu_backend.h",
    "kernels/cpu/onednn_engine.cpp": "kernels/cpu/gemm_engine.h",
    "kernels/cpu/loops/quantize_blocks.cpp": "kernels/cpu/loops/quantize.h",
    "kernels/cpu/loops/quantize_decode.cpp": "kernels/cpu/loops/quantize.h",
}


def is_allowed(source, target):
    """Both are paths from the repository root, split at '/'."""
    top, target_top = source[0], target[0]
    if top == "tests":
        return True
    if top == "core":
        return target_top == "core" and rank(target) <= rank(source)
    if top == "kernels":
        if target_top == "core":
            return target[1] in KERNEL_CORE
        if len(source) == 2:  # kernels/kernels.cpp puts the backends together
            return target_top == "kernels"
        return target_top == "kernels" and target[1] == source[1]
    if top == "apps":
        return target_top in ("core", "apps") or target in (("kernels", "kernels.h"), ("kernels", "gpus.h"), ("kernels", "launch.h"))
    return False


def room(path):
    """The entry of CORE_ORDER that a path in core/ belongs to."""
    return "hf/convert" if path[1:3] == ("hf", "convert") else path[1]


def rank(path):
    return CORE_ORDER.index(room(path))


def header_problem(root, path):
    """What is wrong with the header of a .cpp file; None: nothing."""
    name = path.relative_to(root).as_posix()
    header = HEADER_OF.get(name, name.removesuffix(".cpp") + ".h")
    if not (root / header).is_file():
        return f"{name}: has no header {header} (or no entry of HEADER_OF in scripts/check_layers.py)"
    if header not in INCLUDE.findall(path.read_text(encoding="utf-8")):
        return f'{name}: does not include its header "{header}"'
    return None


def check_headers(root):
    sources = sorted(p for top in ("core", "kernels") for p in (root / top).rglob("*.cpp"))
    problems = [header_problem(root, p) for p in sources]
    stale = [f"{name}: in HEADER_OF of scripts/check_layers.py, but no file" for name in HEADER_OF if not (root / name).is_file()]
    return [p for p in problems if p is not None] + stale


def check(root):
    problems = []
    for path in sorted(p for top in ("core", "kernels", "apps", "tests") for p in (root / top).rglob("*") if p.suffix in SOURCES):
        source = path.relative_to(root).parts
        if source[0] == "core" and room(source) not in CORE_ORDER:
            problems.append(f"{'/'.join(source)}: core/{room(source)} has no place in the order of core's folders")
            continue
        for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
            name = "/".join(source)
            if not (root / include).is_file():
                problems.append(f'{name}: "{include}" is not a file below the repository root')
            elif not is_allowed(source, tuple(include.split("/"))):
                problems.append(f'{name}: may not include "{include}"')
    return problems + check_headers(root)


if __name__ == "__main__":
    found = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent))
    print("\n".join(found) or "every include respects the layers, every source has its header")
    sys.exit(1 if found else 0)
