#!/usr/bin/env python3
"""Checks who includes whom: core/ folders in their order, kernels and apps by their short lists (README, "The map").

usage: check_layers.py [REPOSITORY]   prints every forbidden include and exits 1 when there is one
"""
import pathlib
import re
import sys

# core/hf is one topic on two floors: reading a folder needs config and io, converting one needs checkpoints.
CORE_ORDER = ["base", "numerics", "tensor", "io", "quant", "ops", "comm", "backend", "config", "tokenizer", "hf", "recipe", "model", "parallel",
              "optim", "data", "train", "hf/convert", "eval"]
KERNEL_CORE = {"base", "numerics", "tensor", "io", "quant", "ops", "comm", "backend"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
SOURCES = {".h", ".cpp", ".cu", ".cuh"}


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
    return problems


if __name__ == "__main__":
    found = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent))
    print("\n".join(found) or "every include respects the layers")
    sys.exit(1 if found else 0)
