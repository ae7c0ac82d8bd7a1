#!/usr/bin/env python3
"""The table of scripts/gpu_check.sh: turns the results of its parts into rows, and rows into the table that it ends with.

usage: gpu_check_rows.py ops|gemm|step|torch|sanitizer FILE    rows of one result, tab-separated, on stdout
       gpu_check_rows.py ctest FILE [PART]                  PART: what the tests are of, if not parity
       gpu_check_rows.py losses NAME CPU.jsonl GPU.jsonl    NAME: the recipe, perhaps with more after it
       gpu_check_rows.py idle NSYS.sqlite STEPS             of `mbtrain bench step --steps STEPS`
       gpu_check_rows.py table ROWS.tsv [--markdown FILE] [--title TEXT]   the table; exit code 1 when a row failed or was cut, or none is there
A row: part, result, measured, target. Results: pass, fail, cut (out of time), skipped (with the reason), info (no target).
"""
import argparse
import json
import re
import sqlite3
import statistics
import sys

# What issue and design ask of one H200; shares do not depend on the card, so they are judged on any.
COPY_SHARE = 0.80         # memory-bound ops
CAST_TRANSPOSE_US = 75.0  # 16384 x 4096 bf16, one FP8 copy and its transpose
BF16_MFU = 0.54           # of the card's dense bf16 peak
FP8_OVER_BF16 = 1.22
BF16_OVER_TORCH = 1.10
FP8_OVER_TORCH = 1.15
IDLE_SHARE = 0.03
PART_SHARE = 0.01  # parts below it share a row
DENSE_BF16_TFLOPS = [(r"H100 PCIe", 756.0), (r"H100|H200|GH200", 989.4), (r"A100", 312.0), (r"B200|GB200", 2250.0)]
# GB/s of the memory by data sheet. A copy reaches 85 to 92 % of it; one that does not is no measure for others.
MEMORY_GB_PER_SECOND = [(r"H100 PCIe", 2000.0), (r"H100 NVL", 3900.0), (r"H100", 3350.0), (r"H200", 4800.0), (r"A100.*80", 1935.0), (r"A100", 1555.0)]
COPY_OF_DATA_SHEET = 0.80

# Largest relative difference of a loss within 30 steps of mbtrain's default model with heads of 64, at a learning rate of 5e-4. Sums run in
# another order on a GPU, and 16-bit or 8-bit values near the edge of two then round apart. Measured on one CPU between x86-64-v2 and -v4
# loops, which differ in the order of sums alone: fp32 2e-8, bf16 2e-4, FP8 4e-4 to 1.5e-3 (over scalings and seeds), nvfp4 2.4e-3. Allowed
# is some eight times that in narrow formats, since every sum differs here and not only those of some loops, and FP8 tensor cores keep fewer
# bits; ten times in 16 bits, as tests/parity/loss_tolerance.h, since flash attention also rounds in other places; for fp32 a few hundred
# times, far below what a wrong term would change.
LOSS_TOLERANCE = [(r"nvfp4", 2e-2), (r"fp8|mxfp8", 1.2e-2), (r"fp16|bf16", 2e-3), (r"fp32", 1e-5)]
LOSS_STEPS = 30

FAILING = ("fail", "cut")


def first_match(table, name):
    return next((value for pattern, value in table if re.search(pattern, name)), None)


def judged(ok):
    return "pass" if ok else "fail"


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def gpu_name(facts):
    return facts.get("GPU", "")


def ops_rows(path):
    r = load(path)
    copy, sheet = r["copy_gb_per_second"], first_match(MEMORY_GB_PER_SECOND, gpu_name(r["facts"]))
    if sheet:
        measured = f"{copy:.0f} GB/s, {100 * copy / sheet:.0f} % of the data sheet's {sheet:.0f}"
        yield "copy bandwidth", judged(copy >= COPY_OF_DATA_SHEET * sheet), measured, f"{100 * COPY_OF_DATA_SHEET:.0f} %"
    else:
        yield "copy bandwidth", "info", f"{copy:.0f} GB/s", ""
    size = f"{r['tokens']} x {r['width']}"
    for op in r["ops"]:
        measured = f"{op['microseconds']:.1f} us, {op['gb_per_second']:.0f} GB/s, {100 * op['share_of_copy']:.0f} % of copy"
        yield f"{op['op']} {size}", judged(op["share_of_copy"] >= COPY_SHARE), measured, f"{100 * COPY_SHARE:.0f} % of copy"
        if op["op"] == "cast + transpose delayed" and (r["tokens"], r["width"], r["act"]) == (16384, 4096, "bf16"):
            yield "cast + transpose, time", judged(op["microseconds"] <= CAST_TRANSPOSE_US), f"{op['microseconds']:.1f} us", f"{CAST_TRANSPOSE_US:.0f} us"


def gemm_rows(path):
    """For each kind of operands: the peak, and the best and worst share of it over the layers' products."""
    r = load(path)
    for kind, peak in r["peak_tflops"].items():
        shares = [g["share_of_peak"] for g in r["gemm"] if g["operands"] == kind]
        if not shares:
            yield f"GEMM {kind}", "info", r["execution"][kind], ""
            continue
        average = sum(g["tflops"] * g["seconds"] for g in r["gemm"] if g["operands"] == kind) / sum(
            g["seconds"] for g in r["gemm"] if g["operands"] == kind)
        measured = f"{average:.1f} TFLOP/s; {100 * min(shares):.0f} to {100 * max(shares):.0f} % of the square's {peak:.1f}"
        yield f"GEMM {kind} ({r['execution'][kind]})", "info", measured, ""


def step_rows(paths):
    """Steps of one config under several recipes; the first is bf16."""
    steps = [load(p) for p in paths]
    for s in steps:
        measured = f"{s['step_ms']:.1f} ms, {s['tokens_per_second']:.0f} tokens/s, {s['model_tflops']:.1f} TFLOP/s"
        dense = first_match(DENSE_BF16_TFLOPS, gpu_name(s.get("facts", {})))
        is_bf16 = s["recipe"] == "bf16_mixed"
        if is_bf16 and dense:
            mfu = s["model_tflops"] / dense
            yield f"step {s['recipe']}", judged(mfu >= BF16_MFU), f"{measured}, MFU {100 * mfu:.1f} %", f"MFU {100 * BF16_MFU:.0f} %"
        else:
            yield f"step {s['recipe']}", "info", measured, ""
        yield f"step {s['recipe']}, its GEMMs alone", "info", f"{100 * s['gemm_only_over_step']:.0f} % of the step", ""
        yield from part_rows(s)
    if len(steps) > 1:
        ratio = steps[0]["step_ms"] / steps[1]["step_ms"]
        yield f"{steps[1]['recipe']} over {steps[0]['recipe']}", judged(ratio >= FP8_OVER_BF16), f"{ratio:.2f} x", f"{FP8_OVER_BF16} x"


def part_rows(s):
    """Where the time of one step goes, op by op with the device waited for after each: attention together, then all parts by their time."""
    parts = s.get("parts", {})
    total = sum(p["ms"] for p in parts.values())

    def row(name, some):
        ms, flops = sum(p["ms"] for p in some), sum(p["flops"] for p in some)
        rate = f", {flops / ms * 1e-9:.1f} TFLOP/s" if flops > 0 and ms > 0 else ""
        return f"step {s['recipe']}, {name}", "info", f"{ms:.2f} ms, {100 * ms / total:.1f} % of the parts' {total:.1f} ms{rate}", ""

    if total <= 0:
        return
    if attention := [p for name, p in parts.items() if name.startswith("attention")]:
        yield row("attention", attention)
    small = []
    for name, p in sorted(parts.items(), key=lambda item: -item[1]["ms"]):
        if p["ms"] < PART_SHARE * total:
            small.append(p)
        else:
            yield row(f"part {name}", [p])
    if small:
        yield row(f"{len(small)} parts below {100 * PART_SHARE:.0f} %", small)


# `mbtrain bench step` runs two steps that warm up, those that it times, and one by part; this kernel runs once in each.
WARM_UP_STEPS, STEPS_BY_PART, ONCE_A_STEP = 2, 1, "decide_step_kernel"


def idle_share(intervals):
    """Of the time from the first one's start to the last one's start, the share in which none of (start, end) ran. Sorted by start."""
    begin, until = intervals[0][0], intervals[-1][0]
    busy_until, idle = begin, 0
    for start, end in intervals:
        idle += max(0, start - busy_until)
        busy_until = max(busy_until, end)
    return idle / (until - begin)


def idle_rows(path, steps):
    """From nsys' record: the time between two steps' marks in which nothing, kernel, copy or fill, ran on the GPU; the median step."""
    name, target, steps = "GPU idle inside a step", f"under {100 * IDLE_SHARE:.0f} %", int(steps)
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        tables = {t for t, in db.execute("select name from sqlite_master where type = 'table'")}
        work = []
        if "CUPTI_ACTIVITY_KIND_KERNEL" in tables:
            work = db.execute("select start, end, value from CUPTI_ACTIVITY_KIND_KERNEL join StringIds on StringIds.id = demangledName").fetchall()
        for table in {"CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_MEMSET"} & tables:
            work += [(start, end, "") for start, end in db.execute(f"select start, end from {table}")]
    work.sort()
    marks = [i for i, w in enumerate(work) if ONCE_A_STEP in w[2]]
    if len(marks) != WARM_UP_STEPS + steps + STEPS_BY_PART:
        yield name, "fail", f"nsys saw {len(marks)} {ONCE_A_STEP}, expected {WARM_UP_STEPS + steps + STEPS_BY_PART}", target
        return
    timed = marks[WARM_UP_STEPS - 1:WARM_UP_STEPS + steps]
    share = statistics.median(idle_share([w[:2] for w in work[a:b + 1]]) for a, b in zip(timed, timed[1:]))
    yield name, judged(share < IDLE_SHARE), f"{100 * share:.1f} % of the median step, under nsys, which adds to it", target


def torch_rows(path):
    r = load(path)
    seconds = r["seconds"]
    for name, s in seconds.items():
        if name.startswith("PyTorch"):
            yield f"{name} ({r['torch']})", "info", f"{s * 1e3:.1f} ms, {r['tokens'] / s:.0f} tokens/s", ""
    for name in r["out_of_memory"]:
        yield f"{name} ({r['torch']})", "skipped", "out of memory", ""
    for ours, peer, target in (("mbtrain bf16_mixed", "PyTorch compile", BF16_OVER_TORCH),
                               ("mbtrain bf16_with_fp8_current_scaling_mixed", "PyTorch fp8", FP8_OVER_TORCH)):
        if ours in seconds and peer in seconds:
            ratio = seconds[peer] / seconds[ours]
            yield f"{ours} over {peer}", judged(ratio >= target), f"{ratio:.2f} x", f"{target} x"


def losses_of(path):
    with open(path, encoding="utf-8") as f:
        records = [json.loads(line) for line in f]
    return {r["iteration"]: r["lm_loss"] for r in records if r.get("kind") == "iteration"}


def losses_rows(name, cpu_path, gpu_path):
    cpu, gpu = losses_of(cpu_path), losses_of(gpu_path)
    tolerance = first_match(LOSS_TOLERANCE, name)
    target = f"{tolerance:g} relative over {LOSS_STEPS} steps"
    if len(cpu) < LOSS_STEPS or cpu.keys() != gpu.keys():
        yield f"losses {name}", "fail", f"{len(cpu)} steps on the CPU, {len(gpu)} on the GPU", target
        return
    # A loss that is not finite (null in JSON) is infinitely far from any other.
    differences = [abs(cpu[i] - gpu[i]) / abs(cpu[i]) if None not in (cpu[i], gpu[i]) else float("nan") for i in cpu]
    worst = max(d if d == d else float("inf") for d in differences)
    yield f"losses {name}", judged(worst <= tolerance), f"largest difference {worst:.1e}", target


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def ctest_rows(path, part="parity on the GPU"):
    """From ctest's output: how many passed; a skipped test is a failure here, where there has to be a GPU."""
    text = text_of(path)
    m = re.search(r"(\d+)% tests passed, (\d+) tests? failed out of (\d+)", text)
    skipped = len(re.findall(r"\*\*\*Skipped", text))
    if not m:
        yield part, "fail", "ctest did not end", "all pass"
        return
    total, failed = int(m[3]), int(m[2])
    failures = re.findall(r"^\s*\d+ - (\S+) \((?!Skipped)", text, re.MULTILINE)
    measured = f"{total - failed - skipped} of {total} passed" + (f", {skipped} skipped" if skipped else "") + (": " + ", ".join(failures) if failures else "")
    yield part, judged(failed == 0 and skipped == 0 and total > 0), measured, "all pass"


def sanitizer_rows(path):
    text = text_of(path)
    tool = (re.search(r"^tool: (.+)$", text, re.MULTILINE) or [None, "compute-sanitizer"])[1]
    m = re.search(r"ERROR SUMMARY: (\d+) error", text) or re.search(r"RACECHECK SUMMARY: (\d+) hazard", text)
    tests = re.search(r"(?:All tests passed|test cases: *(\d+))", text)
    if not m or not tests:
        yield tool, "fail", "no summary: it did not end, or no test ran", "0 errors"
        return
    passed = "All tests passed" in text
    yield tool, judged(m[1] == "0" and passed), f"{m[1]} errors" + ("" if passed else ", a test failed"), "0 errors"


def read_rows(path):
    with open(path, encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f if line.strip()]
    for r in rows:
        if len(r) != 4:
            sys.exit(f"gpu_check_rows: {path}: a row has {len(r)} cells, expected 4: {r}")
    return rows


def text_table(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(3)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths)) + "  " + r[3] for r in rows)


def markdown_table(rows):
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in r) + " |" for r in [rows[0], ["---"] * 4, *rows[1:]])


def table(path, markdown, title):
    rows = read_rows(path)
    head = ["part", "result", "measured", "target"]
    print(text_table([head, *rows]))
    counts = {word: sum(r[1] == word for r in rows) for word in ("pass", "fail", "cut", "skipped", "info")}
    summary = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    print(f"\n{summary or 'no part ran'}")
    if markdown:
        with open(markdown, "w", encoding="utf-8") as f:
            f.write(f"# {title}\n\nMade by `scripts/gpu_check.sh`: {summary}.\n\n{markdown_table([head, *rows])}\n")
    return 1 if not rows or any(r[1] in FAILING for r in rows) else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["ops", "gemm", "step", "torch", "losses", "idle", "ctest", "sanitizer", "table"])
    p.add_argument("files", nargs="+")
    p.add_argument("--markdown")
    p.add_argument("--title", default="GPU check")
    a = p.parse_args()
    if a.what == "table":
        return table(a.files[0], a.markdown, a.title)
    make = {"ops": ops_rows, "gemm": gemm_rows, "torch": torch_rows, "ctest": ctest_rows, "sanitizer": sanitizer_rows,
            "losses": losses_rows, "idle": idle_rows}
    rows = step_rows(a.files) if a.what == "step" else make[a.what](*a.files)
    for row in rows:
        print("\t".join(cell.replace("\t", " ") for cell in row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
