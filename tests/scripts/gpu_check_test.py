"""scripts/gpu_check.sh and its table, without a GPU: on recorded results, and with stand-ins for the programs that need one."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
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
            "facts": {"GPU": "NVIDIA H200, compute capability 9.0"}}


STEPS = [step("bf16_mixed", 290.0, 553.0), step(FP8, 240.0, 668.0)]
TORCH = {"torch": "2.9.0", "device": "cuda", "tokens": 16384, "out_of_memory": ["PyTorch bf16"], "seconds": {"PyTorch compile": 0.33, "PyTorch fp8": 0.27, "mbtrain bf16_mixed": 0.29, "mbtrain " + FP8: 0.24}}
CTEST = "1/2 Test #1: parity_gpu.rope ....   Passed    0.5 sec\n\n100% tests passed, 0 tests failed out of 2\n"
CTEST_FAILED = ("50% tests passed, 1 tests failed out of 2\n\nThe following tests FAILED:\n\t  2 - parity_gpu.norm (Failed)\n")
CTEST_SKIPPED = "1/1 Test #1: parity_gpu.rope ....***Skipped   0.0 sec\n\n100% tests passed, 0 tests failed out of 1\n"
MEMCHECK = "tool: memcheck\nAll tests passed (10 assertions in 2 test cases)\n========= ERROR SUMMARY: 0 errors\n"
RACECHECK = "tool: racecheck\nAll tests passed (10 assertions in 2 test cases)\n========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)\n"
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

    def test_the_peer_is_judged_pair_by_pair(self):
        got = self.results(rows.torch_rows(self.file("t", TORCH)))
        self.assertEqual(got["mbtrain bf16_mixed over PyTorch compile"], "pass")
        self.assertEqual(got["PyTorch bf16 (2.9.0)"], "skipped")
        self.assertEqual(got[f"mbtrain {FP8} over PyTorch fp8"], "fail")  # 1.125

    def test_losses_within_the_tolerance_of_the_recipe(self):
        cpu = self.file("cpu", losses_text())
        for recipe, factor, result in (("bf16_mixed", 1.003, "pass"), ("bf16_mixed", 1.005, "fail"), ("fp32", 1.0001, "fail"), ("fp32", 1.0, "pass"),
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
        for text, name, result in ((MEMCHECK, "memcheck", "pass"), (RACECHECK, "racecheck", "fail"), ("tool: memcheck\n", "memcheck", "fail")):
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

    def run_script(self, *args):
        return subprocess.run([ROOT / "scripts/gpu_check.sh", "--build", self.folder / "build", "--out", self.folder / "out", *args], capture_output=True,
                              text=True, env={**os.environ, "PATH": f"{self.folder}/bin:/usr/bin:/bin", "DATA": str(self.folder)})

    def fake_machine(self):
        """Stand-ins that answer with the results above."""
        for name, content in (("ops", OPS), ("gemm", GEMM), ("step0", STEPS[0]), ("step1", STEPS[1]), ("doctor", DOCTOR), ("ctest", CTEST), ("losses", losses_text())):
            (self.folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        binaries = self.folder / "bin"
        self.stand_in(binaries / "python3", f'exec {sys.executable} "$@"\n')
        self.stand_in(binaries / "nvidia-smi", 'case $1 in *compute_cap) echo 9.0 ;; *) echo "NVIDIA H200, 580.65.06" ;; esac\n')
        self.stand_in(binaries / "cmake", "exit 0\n")
        self.stand_in(binaries / "ctest", 'cat "$DATA/ctest"\n')
        self.stand_in(binaries / "compute-sanitizer", 'echo "All tests passed"; echo "========= $([ $2 = memcheck ] && echo ERROR || echo RACECHECK) SUMMARY: 0 '
                      '$([ $2 = memcheck ] && echo errors || echo hazards)"\n')
        self.stand_in(self.folder / "build/mbtrain", """case "$1 $2 $*" in
  doctor*) cat "$DATA/doctor" ;;
  "bench step"*fp8*) cat "$DATA/step1" ;;
  "bench step"*) cat "$DATA/step0" ;;
  bench*) cat "$DATA/$2" ;;
  *) while [ $# -gt 1 ]; do if [ "$1" = --logger.jsonl_path ]; then cp "$DATA/losses" "$2"; fi; shift; done ;;
esac
""")

    def test_without_a_gpu_it_says_so_and_ends_with_2(self):
        if shutil.which("nvidia-smi"):
            self.skipTest("this machine has nvidia-smi")
        done = self.run_script()
        self.assertEqual(done.returncode, 2)
        self.assertIn("no usable NVIDIA GPU", done.stderr)
        self.assertEqual(self.run_script("--nonsense").returncode, 2)

    def test_every_part_has_its_row_and_the_report_is_written(self):
        self.fake_machine()
        done = self.run_script()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)  # rope and the FP8 step miss their targets in these results
        report = (self.folder / "out/report.md").read_text()
        for part in ("build | pass", "parity on the GPU | pass", "memcheck | pass", "racecheck | pass", "losses bf16_mixed | pass", "norm_fwd 16384 x 4096 | pass",
                     "rope 16384 x 4096 | fail", "GEMM bf16 (native) | info", "step bf16_mixed | pass", "whole check | info"):
            self.assertIn("| " + part, report)
        self.assertNotIn("mxfp8_mixed", report)  # emulated: not compared
        self.assertIn("NVIDIA H200", done.stdout)

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

    def test_nothing_to_read_is_bad_usage(self):
        self.assertEqual(subprocess.run([sys.executable, ROOT / "scripts/check_spills.py", "--log", "/dev/null"], capture_output=True).returncode, 2)
        self.assertEqual(subprocess.run([sys.executable, ROOT / "scripts/check_spills.py", "/nowhere"], capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main()
