"""scripts/gpu_check.sh and its table, without a GPU: on recorded results, and with stand-ins for the programs that need one."""
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import bench_torch  # noqa: E402
import check_spills  # noqa: E402
import gpu_check_rows as rows  # noqa: E402

FP8 = "bf16_with_fp8_current_scaling_mixed"
OPS = {"device": "cuda", "facts": {"GPU": "NVIDIA H200"}, "tokens": 16384, "width": 4096, "act": "bf16", "copy_gb_per_second": 4000.0,
       "ops": [{"op": "norm_fwd", "microseconds": 70.0, "bytes": 268e6, "gb_per_second": 3834.0, "share_of_copy": 0.958, "counted": "reads x"},
               {"op": "rope", "microseconds": 200.0, "bytes": 268e6, "gb_per_second": 1342.0, "share_of_copy": 0.33, "counted": "reads q and k"},
               {"op": "cast + transpose delayed", "microseconds": 74.0, "bytes": 268e6, "gb_per_second": 3621.0, "share_of_copy": 0.905, "counted": "reads x"}]}
GEMM = {"device": "cuda", "backend": {}, "square": 8192, "peak_tflops": {"bf16": 750.0, "mxfp8": 0.0}, "execution": {"bf16": "native", "mxfp8": "unsupported"},
        "gemm": [{"operands": "bf16", "seconds": 1e-3, "tflops": 600.0, "share_of_peak": 0.8}, {"operands": "bf16", "seconds": 3e-3, "tflops": 700.0, "share_of_peak": 0.93}]}


def step(recipe, ms, tflops):
    return {"recipe": recipe, "tokens": 16384, "step_ms": ms, "tokens_per_second": 16384e3 / ms, "model_tflops": tflops, "gemm_only_over_step": 0.7,
            "facts": {"GPU": "NVIDIA H200, compute capability 9.0"},
            "parts": {"attention_fwd": {"calls": 8, "ms": 20.0, "flops": 4e12}, "attention_bwd": {"calls": 8, "ms": 40.0, "flops": 1e13},
                      "gemm.fprop": {"calls": 8, "ms": 139.0, "flops": 0.0}, "sum": {"calls": 1, "ms": 1.0, "flops": 0.0}}}


STEPS = [step("bf16_mixed", 290.0, 553.0), step(FP8, 240.0, 668.0)]
TORCH = {"torch": "2.9.0", "device": "cuda", "tokens": 16384, "out_of_memory": ["PyTorch bf16"], "seconds": {"PyTorch compile": 0.33, "PyTorch fp8": 0.27, "mbtrain bf16_mixed": 0.29, "mbtrain " + FP8: 0.24}}
CTEST = "1/2 Test #1: parity_gpu.rope ....   Passed    0.5 sec\n\n100% tests passed, 0 tests failed out of 2\n"
CTEST_FAILED = ("50% tests passed, 1 tests failed out of 2\n\nThe following tests FAILED:\n\t  2 - parity_gpu.norm (Failed)\n")
CTEST_SKIPPED = "1/1 Test #1: parity_gpu.rope ....***Skipped   0.0 sec\n\n100% tests passed, 0 tests failed out of 1\n"
MEMCHECK = "tool: memcheck rows\nAll tests passed (10 assertions in 2 test cases)\n========= ERROR SUMMARY: 0 errors\n"
RACECHECK = "tool: racecheck norm\nAll tests passed (10 assertions in 2 test cases)\n========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)\n"
DOCTOR = {"devices": {"cpu": {"usable": True}, "cuda": {"usable": True}},
          "recipes": {"bf16_mixed": {"cuda": {"execution": "native"}}, "bf16_with_mxfp8_mixed": {"cuda": {"execution": "emulated"}}}}


def losses_text(factor=1.0, steps=30):
    """factor None: the last loss is not finite, which is null in JSON."""
    loss = lambda i: (None if i == steps else 6.0 - 0.1 * i) if factor is None else factor * (6.0 - 0.1 * i)
    return "".join(json.dumps({"kind": "iteration", "iteration": i, "lm_loss": loss(i)}) + "\n" for i in range(1, steps + 1))


class Table(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name, content):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def results(self, made):
        return {r[0]: r[1] for r in made}

    def test_ops_are_judged_by_their_share_of_a_copy(self):
        got = self.results(rows.ops_rows(self.file("o", OPS)))
        self.assertEqual(got["norm_fwd 16384 x 4096"], "pass")
        self.assertEqual(got["rope 16384 x 4096"], "fail")
        self.assertEqual(got["cast + transpose, time"], "pass")
        self.assertEqual(got["copy bandwidth"], "pass")  # 4000 of 4800
        slow = json.loads(json.dumps(OPS))
        slow["copy_gb_per_second"] = 3000.0
        self.assertEqual(self.results(rows.ops_rows(self.file("c", slow)))["copy bandwidth"], "fail")
        slow["ops"][2]["microseconds"] = 80.0
        self.assertEqual(self.results(rows.ops_rows(self.file("s", slow)))["cast + transpose, time"], "fail")

    def test_gemms_say_their_share_and_what_is_unsupported(self):
        got = {r[0]: r[2] for r in rows.gemm_rows(self.file("g", GEMM))}
        self.assertIn("675.0 TFLOP/s; 80 to 93 % of the square's 750.0", got["GEMM bf16 (native)"])
        self.assertEqual(got["GEMM mxfp8"], "unsupported")

    def test_steps_are_judged_by_mfu_and_by_each_other(self):
        files = [self.file(f"s{i}", s) for i, s in enumerate(STEPS)]
        got = self.results(rows.step_rows(files))
        self.assertEqual(got["step bf16_mixed"], "pass")  # 553 of 989
        self.assertEqual(got[f"{FP8} over bf16_mixed"], "fail")  # 1.21
        unknown = json.loads(json.dumps(STEPS[0]))
        unknown["facts"]["GPU"] = "Another card"
        self.assertEqual(self.results(rows.step_rows([self.file("u", unknown)]))["step bf16_mixed"], "info")

    def test_a_step_says_where_its_time_goes(self):
        got = {r[0]: r[2] for r in rows.step_rows([self.file("s", STEPS[0])])}
        self.assertEqual(got["step bf16_mixed, attention"], "60.00 ms, 30.0 % of the parts' 200.0 ms, 233.3 TFLOP/s")
        self.assertEqual(got["step bf16_mixed, part gemm.fprop"], "139.00 ms, 69.5 % of the parts' 200.0 ms")
        self.assertIn("1.00 ms", got["step bf16_mixed, 1 parts below 1 %"])
        self.assertNotIn("step bf16_mixed, part sum", got)

    def record(self, idle, steps=3, marks=6):
        """As nsys exports it: steps of 1000 ns that begin with their mark, each kernel overlapping the next, then nothing for `idle` ns."""
        path = self.folder / f"{idle}_{marks}.sqlite"
        with sqlite3.connect(path) as db:
            db.execute("create table StringIds (id integer, value text)")
            db.executemany("insert into StringIds values (?, ?)", [(1, "mbt::cuda::decide_step_kernel(double const*)"), (2, "nvjet_tst_128x256")])
            db.execute("create table CUPTI_ACTIVITY_KIND_KERNEL (start integer, end integer, demangledName integer)")
            db.execute("create table CUPTI_ACTIVITY_KIND_MEMCPY (start integer, end integer)")
            for i in range(marks):
                at, gap = 1000 * i, idle if 1 < i <= steps + 1 else 900  # steps that are not timed are idle for long
                db.executemany("insert into CUPTI_ACTIVITY_KIND_KERNEL values (?, ?, ?)", [(at, at + 50, 1), (at + 40, at + 90, 2)])
                db.execute("insert into CUPTI_ACTIVITY_KIND_MEMCPY values (?, ?)", (at + 90, at + 1000 - gap))
        return str(path)

    def test_idle_time_of_the_timed_steps(self):
        for idle, result, text in ((10, "pass", "1.0 %"), (40, "fail", "4.0 %")):
            # The window before the first timed mark's step is warm-up's: of three windows two at least have the gap, and the median is theirs.
            row, = rows.idle_rows(self.record(idle), "3")
            self.assertEqual((row[1], row[2][:5]), (result, text), row)
        row, = rows.idle_rows(self.record(10, marks=5), "3")
        self.assertEqual(row[1], "fail")
        self.assertIn("5 decide_step_kernel, expected 6", row[2])

    def test_the_peer_is_judged_pair_by_pair(self):
        got = self.results(rows.torch_rows(self.file("t", TORCH)))
        self.assertEqual(got["mbtrain bf16_mixed over PyTorch compile"], "pass")
        self.assertEqual(got["PyTorch bf16 (2.9.0)"], "skipped")
        self.assertEqual(got[f"mbtrain {FP8} over PyTorch fp8"], "fail")  # 1.125

    def test_losses_within_the_tolerance_of_the_recipe(self):
        cpu = self.file("cpu", losses_text())
        for recipe, factor, result in (("bf16_mixed", 1.0015, "pass"), ("bf16_mixed-math", 1.0025, "fail"), ("fp32", 1.0001, "fail"), ("fp32", 1.0, "pass"),
                                       (FP8, 1.01, "pass"), (FP8, 1.02, "fail"), (FP8, float("nan"), "fail"), (FP8, None, "fail")):
            made = list(rows.losses_rows(recipe, cpu, self.file("gpu", losses_text(factor))))
            self.assertEqual(made[0][1], result, (recipe, factor))
        short = list(rows.losses_rows("fp32", cpu, self.file("short", losses_text(steps=29))))
        self.assertEqual(short[0][1], "fail")

    def test_skipped_and_failed_tests_fail(self):
        for text, result in ((CTEST, "pass"), (CTEST_FAILED, "fail"), (CTEST_SKIPPED, "fail"), ("no summary", "fail")):
            self.assertEqual(list(rows.ctest_rows(self.file("c", text)))[0][1], result, text)
        self.assertIn("parity_gpu.norm", list(rows.ctest_rows(self.file("c", CTEST_FAILED)))[0][2])

    def test_sanitizers(self):
        for text, name, result in ((MEMCHECK, "memcheck rows", "pass"), (RACECHECK, "racecheck norm", "fail"), ("tool: memcheck\n", "memcheck", "fail")):
            self.assertEqual(list(rows.sanitizer_rows(self.file("m", text)))[0][:2], (name, result))

    def test_the_table_fails_with_any_failing_row_and_with_none(self):
        for lines, code in (("a\tpass\t1\t2\nb\tinfo\tx\t\n", 0), ("a\tpass\t1\t2\nb\tfail\tx\t\n", 1), ("a\tcut\t\t\n", 1), ("", 1)):
            markdown = self.folder / "report.md"
            self.assertEqual(rows.table(self.file("rows", lines), str(markdown), "NVIDIA H200"), code)
            self.assertIn("# NVIDIA H200", markdown.read_text())


class Script(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def stand_in(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/bash\n" + body)
        path.chmod(0o755)

    def run_script(self, *args, **variables):
        environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        return subprocess.run([ROOT / "scripts/gpu_check.sh", "--build", self.folder / "build", "--out", self.folder / "out", *args], capture_output=True,
                              text=True, env={**environment, "PATH": f"{self.folder}/bin:/usr/bin:/bin", "DATA": str(self.folder), **variables})

    def lines(self, name):
        return (self.folder / name).read_text().splitlines()

    def fake_machine(self):
        """Stand-ins that answer with the results above."""
        for name, content in (("ops", OPS), ("gemm", GEMM), ("step0", STEPS[0]), ("step1", STEPS[1]), ("doctor", DOCTOR), ("ctest", CTEST), ("losses", losses_text())):
            (self.folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        binaries = self.folder / "bin"
        self.stand_in(binaries / "python3", f'exec {sys.executable} "$@"\n')
        self.stand_in(binaries / "nvidia-smi", """echo "$*" >>"$DATA/asked"
case $* in
  -L) [ -z "$MANY" ] || seq -f "GPU %.0f: NVIDIA H200 (UUID: GPU-many)" 2 5; echo "GPU 0: NVIDIA H200 (UUID: GPU-aaaa-1)"; echo "  MIG 1g.18gb Device 0: (UUID: MIG-cccc-3)"; echo "GPU 1: NVIDIA L4 (UUID: GPU-bbbb-2)" ;;
  *compute_cap*-i\\ 1) echo 8.9 ;; *compute_cap*) echo 9.0 ;; *-i\\ 1) echo "NVIDIA L4, 580.65.06" ;; *) echo "NVIDIA H200, 580.65.06" ;;
esac
""")
        self.stand_in(binaries / "cmake", 'echo "$*" >>"$DATA/configured"\n')
        self.stand_in(binaries / "ctest", 'cat "$DATA/ctest"\n')
        self.stand_in(binaries / "compute-sanitizer", 'echo "$*" >>"$DATA/sanitized"; echo "All tests passed"; echo "========= $([ $2 = racecheck ] && echo RACECHECK || echo ERROR) SUMMARY: 0 '
                      '$([ $2 = racecheck ] && echo hazards || echo errors)"\n')
        self.stand_in(self.folder / "build/mbtrain", """case "$1 $2 $*" in
  doctor*) cat "$DATA/doctor" ;;
  "bench step"*fp8*) cat "$DATA/step1" ;;
  "bench step"*) cat "$DATA/step0" ;;
  bench*) cat "$DATA/$2" ;;
  *) echo "$*" >>"$DATA/trained"; while [ $# -gt 1 ]; do if [ "$1" = --logger.jsonl_path ]; then cp "$DATA/losses" "$2"; fi; shift; done ;;
esac
""")

    def test_without_a_gpu_it_says_so_and_ends_with_2(self):
        if shutil.which("nvidia-smi"):
            self.skipTest("this machine has nvidia-smi")
        done = self.run_script()
        self.assertEqual(done.returncode, 2)
        self.assertIn("no usable NVIDIA GPU", done.stderr)
        self.assertEqual(self.run_script("--nonsense").returncode, 2)

    def test_with_four_gpus_ranks_are_tested_on_all_of_them(self):
        self.fake_machine()
        self.stand_in(self.folder / "bin/ctest", 'echo "$* ${CUDA_VISIBLE_DEVICES-all}" >>"$DATA/tested"; cat "$DATA/ctest"\n')
        self.run_script(MANY="1")
        self.assertIn("| ranks over NCCL | pass | 2 of 2 passed", (self.folder / "out/report.md").read_text())
        self.assertRegex(self.lines("tested")[1], r"-R \^e2e\[\.\]ranks\$ .* all$")
        self.assertIn("--target mbtrain test_parity_gpu test_e2e", self.lines("configured")[-1])

    def test_every_part_has_its_row_and_the_report_is_written(self):
        self.fake_machine()
        done = self.run_script()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)  # rope and the FP8 step miss their targets in these results
        report = (self.folder / "out/report.md").read_text()
        for part in ("build | pass", "parity on the GPU | pass", "ranks over NCCL | skipped | 2 GPU", "memcheck rows | pass", "memcheck gemm | pass", "racecheck attention | pass", "synccheck quantize | pass", "losses bf16_mixed | pass",
                     "losses bf16_mixed-math | pass", "step bf16_mixed, attention | info", "GPU idle inside a step | skipped | nsys is not installed", "norm_fwd 16384 x 4096 | pass",
                     "rope 16384 x 4096 | fail", "GEMM bf16 (native) | info", "step bf16_mixed | pass", "whole check | info"):
            self.assertIn("| " + part, report)
        self.assertNotIn("mxfp8_mixed", report)  # emulated: not compared
        self.assertIn("NVIDIA H200", done.stdout)

        self.assertIn("--config configs/qwen2.5_1.5b.json --mixed-precision bf16_mixed --train.device cuda", report)  # what nsys would run

    def test_losses_go_through_flash_attention_and_once_through_math(self):
        self.fake_machine()
        self.run_script()
        for device in ("cuda", "cpu"):
            for path in ("flash", "math"):
                asked = f"--attention-backend {path} --model.kv_channels 64 ", f"--device {device} "
                self.assertTrue(any(all(a in t for a in asked) for t in self.lines("trained")), asked)

    def test_sanitizers_run_cases_that_are_there(self):
        self.fake_machine()
        self.run_script()
        sources = [*(ROOT / "tests/parity").glob("*_test.cpp"), *(ROOT / "tests/unit").glob("*_test.cpp")]
        names = re.findall(r'TEST_CASE\("([^"]+)"', "".join(f.read_text() for f in sources))
        files = {f.stem for f in sources}
        commands = [line.split(" -# ") for line in self.lines("sanitized")]
        for options, cases in commands:
            for case in cases.split(","):
                if case.startswith("[#"):
                    self.assertIn(case[2:-1], files)
                else:
                    self.assertTrue(any(n == case or case.endswith("*") and n.startswith(case[:-1]) for n in names), case)
            self.assertEqual("--kernel-name kns=mbt" in options, "memcheck" not in options)
        self.assertEqual(len(commands), 13)

    def test_nsys_measures_the_idle_time_where_it_is(self):
        self.fake_machine()
        table = Table()
        table.folder = self.folder
        recorded = table.record(10, steps=10, marks=13)
        self.stand_in(self.folder / "bin/nsys", f"""if [ "$1" = export ]; then
  while [ $# -gt 1 ]; do if [ "$1" = -o ]; then cp {recorded} "$2"; fi; shift; done
fi
""")
        self.run_script()
        self.assertIn("| GPU idle inside a step | pass | 1.0 %", (self.folder / "out/report.md").read_text())

    def test_the_gpu_is_the_first_visible_one(self):
        self.fake_machine()
        (self.folder / "doctor").write_text(json.dumps({"devices": {"cuda": {"usable": False, "problem": "enough"}}, "recipes": {}}))
        for visible, index, architecture in (("1", 1, "89"), ("GPU-bbbb", 1, "89"), ("0,1", 0, "90a"), ("MIG-cccc-3", 0, "90a")):
            for file in ("asked", "configured"):
                (self.folder / file).unlink(missing_ok=True)
            self.assertIn("enough", self.run_script(CUDA_VISIBLE_DEVICES=visible).stderr)
            self.assertTrue(all(a == "-L" or a.endswith(f"-i {index}") for a in self.lines("asked")), visible)
            self.assertIn(f"-DCMAKE_CUDA_ARCHITECTURES={architecture} ", self.lines("configured")[0] + " ")
        for hidden in ("", "-1", "7", "GPU-ffff"):
            done = self.run_script(CUDA_VISIBLE_DEVICES=hidden)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"CUDA_VISIBLE_DEVICES begins with '{hidden}'", done.stderr)

    def test_only_a_folder_of_its_own_is_cleared(self):
        self.fake_machine()
        out = self.folder / "out"
        out.mkdir()
        foreign = out / "recipes.json"
        foreign.write_text("mine")
        done = self.run_script()
        self.assertEqual(done.returncode, 2)
        self.assertIn("is not empty", done.stderr)
        self.assertEqual([f.name for f in out.iterdir()], ["recipes.json"])
        foreign.unlink()
        self.assertEqual(self.run_script().returncode, 1)
        (out / "old.json").write_text("of an earlier check")
        self.assertEqual(self.run_script().returncode, 1)
        self.assertFalse((out / "old.json").exists())

    def test_bad_usage_ends_with_2_and_help_with_0(self):
        self.fake_machine()
        in_the_way = self.folder / "file"
        in_the_way.write_text("")
        for args, said in ((["--limit", "abc"], "--limit is 'abc'"), (["--limit", "0"], "--limit is '0'"), (["--limit"], "--limit needs a value"),
                           (["--out", in_the_way / "x"], "--out: "), (["--out", in_the_way], "--out: "),
                           (["--nonsense"], "unknown argument '--nonsense'")):
            done = self.run_script(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn("gpu_check: " + said, done.stderr)
            self.assertIn("usage: scripts/gpu_check.sh", done.stderr)
            self.assertNotIn("unbound", done.stderr)
        done = self.run_script("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("usage: scripts/gpu_check.sh", done.stdout)

    def test_a_build_that_is_cut_says_how_to_build(self):
        self.fake_machine()
        self.stand_in(self.folder / "bin/cmake", "sleep 60\n")
        done = self.run_script("--limit", "3")
        self.assertEqual(done.returncode, 1)
        report = (self.folder / "out/report.md").read_text()
        self.assertIn("| build | cut | stopped after", report)
        self.assertRegex(report, r"build first, .*: cmake -S \. -B .* && cmake --build .* --target mbtrain test_parity_gpu")
        self.assertNotIn("| parity", report)

    def test_a_part_that_takes_too_long_is_cut_and_the_rest_is_said(self):
        self.fake_machine()
        self.stand_in(self.folder / "bin/ctest", "sleep 60\n")
        done = self.run_script("--limit", "4")
        self.assertEqual(done.returncode, 1)
        report = (self.folder / "out/report.md").read_text()
        self.assertIn("| parity | cut | stopped after", report)
        self.assertIn("| gemm | cut | not begun", report)

    def test_a_device_that_cannot_be_used_ends_with_2(self):
        self.fake_machine()
        (self.folder / "doctor").write_text(json.dumps({"devices": {"cuda": {"usable": False, "problem": "the driver is too old"}}, "recipes": {}}))
        done = self.run_script()
        self.assertEqual(done.returncode, 2)
        self.assertIn("the driver is too old", done.stderr)


class Spills(unittest.TestCase):
    LOG = ("ptxas info    : 0 bytes gmem\n"
           "ptxas info    : Compiling entry function '_ZN3mbt4cuda11fast_kernelEPf' for 'sm_90a'\n"
           "ptxas info    : Function properties for _ZN3mbt4cuda11fast_kernelEPf\n"
           "    8 bytes stack frame, {} bytes spill stores, {} bytes spill loads\n"
           "ptxas info    : Used 40 registers, used 1 barriers, 8 bytes stack, 1024 bytes smem\n")

    def check(self, stores, loads):
        with tempfile.NamedTemporaryFile("w", suffix=".log") as f:
            f.write(self.LOG.format(stores, loads))
            f.flush()
            return subprocess.run([sys.executable, ROOT / "scripts/check_spills.py", "--log", f.name], capture_output=True, text=True)

    def test_a_log_is_read(self):
        kernel, = check_spills.parse(self.LOG.format(4, 12))
        self.assertEqual((kernel["registers"], kernel["shared"], kernel["stack"], kernel["spills"], kernel["arch"]), (40, 1024, 8, 16, "sm_90a"))

    def test_an_unknown_spill_fails_and_none_passes(self):
        self.assertEqual(self.check(0, 0).returncode, 0)
        done = self.check(4, 12)
        self.assertEqual(done.returncode, 1)
        self.assertIn("SPILLS", done.stdout)

    def test_jobs_must_be_at_least_one(self):
        for jobs in ("0", "-1", "x"):
            done = subprocess.run([sys.executable, ROOT / "scripts/check_spills.py", ROOT, "--jobs", jobs], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertNotIn("Traceback", done.stderr)
            self.assertIn("--jobs", done.stderr)

    def test_nothing_to_read_is_bad_usage(self):
        self.assertEqual(subprocess.run([sys.executable, ROOT / "scripts/check_spills.py", "--log", "/dev/null"], capture_output=True).returncode, 2)
        self.assertEqual(subprocess.run([sys.executable, ROOT / "scripts/check_spills.py", "/nowhere"], capture_output=True).returncode, 2)


class Peer(unittest.TestCase):
    CONFIG = {"model": {"activation_func": "swiglu", "position_embedding_type": "rope", "normalization": "RMSNorm", "rotary_percent": 1.0,
                        "rope_scaling": False, "softmax_scale": None, "sliding_window": None, "qk_layernorm": True, "recompute_granularity": None},
              "optimizer": {"optimizer": "adam", "decoupled_weight_decay": True, "exp_avg_dtype": "fp32", "exp_avg_sq_dtype": "fp32", "clip_grad": 1.0}}

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def changed(self, path, value):
        config = json.loads(json.dumps(self.CONFIG))
        section, field = path.split(".")
        config[section][field] = value
        return config

    def bench(self, config, *args):
        """With an mbtrain that resolves to this config, and without PyTorch."""
        program = self.folder / "mbtrain"
        (self.folder / "config").write_text(json.dumps(config))
        program.write_text(f'#!/bin/sh\ncat "{self.folder}/config"\n')
        program.chmod(0o755)
        # -S: no site-packages, and so no PyTorch.
        return subprocess.run([sys.executable, "-S", ROOT / "scripts/bench_torch.py", program, *args], capture_output=True, text=True)

    def test_a_model_that_the_peer_does_not_have_is_refused_by_name(self):
        self.assertEqual(bench_torch.unlike_peer(self.CONFIG), [])
        for path, value in (("model.activation_func", "relu"), ("model.activation_func", "gelu_erf"), ("model.position_embedding_type", "none"),
                            ("model.rotary_percent", 0.5), ("model.rope_scaling", True), ("model.softmax_scale", 0.1), ("model.normalization", "LayerNorm"),
                            ("model.recompute_granularity", "full"), ("optimizer.exp_avg_sq_dtype", "bf16"), ("optimizer.clip_grad", 0.0),
                            ("model.sliding_window", 4096), ("model.a_later_field", 4096)):
            done = self.bench(self.changed(path, value))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("qk_layernorm" if path == "model.normalization" else path, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_every_field_of_the_model_is_known(self):
        limited = {path.split(".")[1] for path, *_ in bench_torch.PEER_LIMITS}
        schema = json.loads((ROOT / "configs/schema.json").read_text())
        self.assertEqual(set(schema["properties"]["model"]["properties"]) - bench_torch.PEER_READS - bench_torch.WITHOUT_EFFECT - limited, set())

    def test_what_is_missing_or_no_number_is_said_without_a_traceback(self):
        for done, said in ((self.bench(self.CONFIG), "has no PyTorch"), (self.bench(self.CONFIG, "--steps", "0"), "--steps"),
                           (self.bench(self.CONFIG, "--rounds", "0"), "--rounds"),
                           (subprocess.run([sys.executable, ROOT / "scripts/bench_torch.py", "/nowhere/mbtrain"], capture_output=True, text=True),
                            "/nowhere/mbtrain is not a program")):
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
            self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
