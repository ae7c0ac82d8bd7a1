#!/usr/bin/env python3
"""Registers, shared memory and spills of every CUDA kernel, as ptxas reports them; fails when a kernel spills that is not known to.

usage: check_spills.py BUILD [--jobs N]   compiles the kernels of a CUDA build folder once more with -Xptxas=-v, through ccache where it is
       check_spills.py --log FILE...      reads the output of a build that was configured with -DCMAKE_CUDA_FLAGS=-Xptxas=-v
       options: --all  one line for each instantiation instead of one for each kernel

A spill is a register that did not fit and goes through local memory: slow in a hot kernel. (cuobjdump --dump-resource-usage does not tell
spills from local arrays, so the report of ptxas is what counts.) Exit codes: 0 fine, 1 a spill, 2 bad usage, or nothing to read.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

# Kernels that may spill: (pattern of the demangled name, bytes of spill stores and loads at most, why).
KNOWN = [
    (r"^norm_fwd_kernel<.*F16.*1.*4.*true.*true>", 16, "far from the limit of registers: ptxas saves four bytes twice a row; LayerNorm in fp16 under delayed scaling, narrow rows"),
]

ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def parse(text):
    """The kernels of one log: dicts of name (mangled), arch, registers, shared, stack, spills (stores + loads)."""
    kernels, current = [], None
    for line in text.splitlines():
        if m := ENTRY.search(line):
            current = {"name": m[1], "arch": m[2], "registers": 0, "shared": 0, "stack": 0, "spills": 0}
            kernels.append(current)
        elif current is not None and (m := FRAME.search(line)):
            current["stack"] = max(current["stack"], int(m[1]))
            current["spills"] += int(m[2]) + int(m[3])
        elif current is not None and (m := USED.search(line)):
            current["registers"] = int(m[1])
            if s := SHARED.search(line):
                current["shared"] = int(s[1])
            current = None
    return kernels


def recompile(command, folder, scratch):
    """stderr of one compile command with -Xptxas=-v, its object thrown away."""
    words = shlex.split(command)
    words[words.index("-o") + 1] = str(pathlib.Path(scratch) / (pathlib.Path(words[words.index("-o") + 1]).name))
    if shutil.which("ccache") and pathlib.Path(words[0]).name != "ccache":
        words.insert(0, "ccache")
    done = subprocess.run(words + ["-Xptxas=-v"], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"check_spills: does not compile: {command}\n{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def compile_all(build, jobs):
    database = build / "compile_commands.json"
    if not database.is_file():
        fail(f"{database} is missing: configure the folder with -DMBT_CUDA=ON")
    kernels = "/kernels/cuda/"
    entries = [e for e in json.loads(database.read_text()) if e["file"].endswith(".cu") and kernels in e["file"] and "nvcc" in e["command"]]
    if not entries:
        fail(f"{database} has no kernel that nvcc compiles: configure the folder with -DMBT_CUDA=ON")
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return "\n".join(pool.map(lambda e: recompile(e["command"], e["directory"], scratch), entries))


def fail(message):
    print(f"check_spills: {message}", file=sys.stderr)
    sys.exit(2)


def demangle(kernels):
    names = [k["name"] for k in kernels]
    if tool := shutil.which("c++filt"):
        names = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True).stdout.splitlines()
    for k, name in zip(kernels, names):
        # Without its parameters, namespaces and "void": enough to know it by.
        k["full"] = re.sub(r"\(anonymous namespace\)::|mbt::cuda::|mbt::|^void ", "", name)
        k["full"] = re.sub(r"\((?!anonymous).*\)$", "", re.sub(r"\(([\w:]+)\)(\d+)", r"\1=\2", k["full"]))
        k["short"] = re.sub(r"<.*", "", k["full"])


def known(kernel):
    return next(((limit, why) for pattern, limit, why in KNOWN if re.search(pattern, kernel["full"])), None)


def table(rows):
    cells = [["kernel", "arch", "variants", "registers", "shared", "stack", "spills", ""]] + rows
    widths = [max(len(str(r[i])) for r in cells) for i in range(len(cells[0]))]
    for r in cells:
        print("  ".join(str(c).ljust(w) if i < 2 else str(c).rjust(w) for i, (c, w) in enumerate(zip(r[:-1], widths))) + f"  {r[-1]}".rstrip())


def positive(text):
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(f"is '{text}', expected a whole number of at least 1")
    return int(text)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", nargs="?", type=pathlib.Path)
    p.add_argument("--log", nargs="+", type=pathlib.Path)
    p.add_argument("--jobs", type=positive, default=os.cpu_count())
    p.add_argument("--all", action="store_true")
    a = p.parse_args()
    if bool(a.build) == bool(a.log):
        p.error("either a build folder or --log")
    try:
        text = "\n".join(f.read_text(errors="replace") for f in a.log) if a.log else compile_all(a.build, a.jobs)
    except OSError as e:
        fail(str(e))
    kernels = [dict(t) for t in {tuple(sorted(k.items())) for k in parse(text)}]
    if not kernels:
        fail("no kernel in the log: was it made with -Xptxas=-v, and not by a build that had nothing to do?")
    demangle(kernels)

    groups = {}
    for k in sorted(kernels, key=lambda k: k["full"]):
        groups.setdefault((k["full"] if a.all else k["short"], k["arch"]), []).append(k)
    most = lambda group, field: max(k[field] for k in group)
    rows = []
    for (name, arch), group in groups.items():
        spilling = [k for k in group if k["spills"]]
        note = "" if not spilling else "known" if all(known(k) and k["spills"] <= known(k)[0] for k in spilling) else "SPILLS"
        rows.append([name, arch, len(group), *(most(group, f) for f in ("registers", "shared", "stack", "spills")), note])
    table(rows)

    bad = [k for k in kernels if k["spills"] and not (known(k) and k["spills"] <= known(k)[0])]
    print(f"\n{len(kernels)} kernels, {sum(k['spills'] > 0 for k in kernels)} spill, {len(bad)} of them more than is known:")
    for k in sorted(bad, key=lambda k: -k["spills"]):
        limit = known(k)
        print(f"  {k['full']} ({k['arch']}): {k['spills']} bytes, {k['registers']} registers" + (f"; known limit {limit[0]}" if limit else ""))
    for pattern, limit, why in KNOWN:
        worst = max((k["spills"] for k in kernels if re.search(pattern, k["full"])), default=0)
        print(f"  known: {pattern}: {worst} of at most {limit} bytes; {why}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
