"""scripts/demo.sh, test.sh and check_format.sh on machines that are not there: programs of the system are replaced by stand-ins in PATH."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMI = """case $* in
  -L) echo "GPU 0: NVIDIA H200 (UUID: GPU-aaaa-1)"; echo "GPU 1: NVIDIA L4 (UUID: GPU-bbbb-2)" ;;
  *compute_cap*-i\\ 1) echo 8.9 ;; *compute_cap*) echo ${CAPABILITY:-9.0} ;; *) echo "NVIDIA H200, 580.65.06" ;;
esac
"""


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # Of the system only what the scripts need: no nvcc, nvidia-smi or clang-format that this machine may have.
        for tool in ("bash", "awk", "dirname", "tr", "nproc", "mkdir", "find", "xargs", "sed", "sort", "wc", "grep", "tail", "rm", "id", "cat"):
            self.link(tool)

    def link(self, tool):
        path = self.folder / "bin" / tool
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(shutil.which(tool))

    def stand_in(self, name, body):
        path = self.folder / "bin" / name
        path.write_text(f"#!{self.folder}/bin/bash\n{body}\n")
        path.chmod(0o755)

    def run_script(self, name, *args, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CUDA")}
        return subprocess.run([ROOT / "scripts" / name, *args], capture_output=True, text=True,
                              env={**environment, "PATH": str(self.folder / "bin"), "CUDA_HOME": "/nowhere", **variables})


class Demo(Scripts):
    def dry(self, **variables):
        done = self.run_script("demo.sh", "--dry-run", **variables)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_on_the_cpu(self, out, why):
        self.assertIn(f"Device: the CPU; {why}", out)
        self.assertIn(" -DMBT_CUDA=OFF", out)
        self.assertEqual(out.count("--train.device cpu "), 2)
        self.assertIn("generate --device cpu ", out)
        self.assertNotIn("cuda", out)
        self.assertNotIn("--emulate-precision", out)

    def test_without_a_gpu_it_trains_on_the_cpu(self):
        self.stand_in("nvcc", "")
        self.assert_on_the_cpu(self.dry(), "no usable GPU: nvidia-smi is not installed")
        self.stand_in("nvidia-smi", "echo 'NVIDIA-SMI has failed: no driver'; exit 9")
        self.assert_on_the_cpu(self.dry(), "no usable GPU: NVIDIA-SMI has failed: no driver")
        self.stand_in("nvidia-smi", SMI)
        self.assert_on_the_cpu(self.dry(CUDA_VISIBLE_DEVICES=""), "no usable GPU: CUDA_VISIBLE_DEVICES begins with ''")

    def test_without_a_toolkit_it_trains_on_the_cpu(self):
        self.stand_in("nvidia-smi", SMI)
        self.assert_on_the_cpu(self.dry(), "there is a GPU (NVIDIA H200, 580.65.06) but no CUDA toolkit: nvcc is missing")

    def test_with_both_it_builds_for_the_gpu_and_trains_on_it(self):
        self.stand_in("nvidia-smi", SMI)
        self.stand_in("nvcc", "")
        for variables, architecture in (({}, "90a"), ({"CUDA_VISIBLE_DEVICES": "1"}, "89"), ({"CUDA_VISIBLE_DEVICES": "GPU-bbbb-2"}, "89"),
                                        ({"CAPABILITY": "10.0"}, "100a"), ({"CAPABILITY": "12.0"}, "120a"), ({"CAPABILITY": "8.0"}, "80")):
            out = self.dry(**variables)
            self.assertIn("Device: the GPU (NVIDIA H200, 580.65.06)", out)
            self.assertIn(f" -DMBT_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES={architecture} ", out)
            self.assertEqual(out.count("--train.device cuda --emulate-precision true "), 2)
            self.assertIn("generate --device cuda ", out)

    def test_a_toolkit_outside_of_path_is_found(self):
        self.stand_in("nvidia-smi", SMI)
        toolkit = self.folder / "toolkit/bin"
        toolkit.mkdir(parents=True)
        self.stand_in("nvcc", "")
        (self.folder / "bin/nvcc").rename(toolkit / "nvcc")
        self.assertIn(" -DMBT_CUDA=ON ", self.dry(CUDA_HOME=str(toolkit.parent)))

    def test_every_stage_says_what_it_does_and_how_long(self):
        out = self.dry()
        stages = [line for line in out.splitlines() if line.startswith("== Stage")]
        self.assertEqual(len(stages), 6)
        for i, line in enumerate(stages):
            self.assertRegex(line, rf"^== Stage {i + 1} of 6: .* \(.*(second|minute)s?.*\)$")

    def test_bad_usage(self):
        self.assertEqual(self.run_script("demo.sh", "--nonsense").returncode, 2)


class Test(Scripts):
    def setUp(self):
        super().setUp()
        self.stand_in("dpkg-query", "echo install ok installed")
        self.stand_in("apt-get", "exit 1")
        self.stand_in("cmake", 'echo "cmake $*"')
        self.stand_in("ctest", 'echo "ctest $*"; exit ${CTEST_CODE:-0}')

    def test_stages_with_their_times(self):
        done = self.run_script("test.sh", "-L", "unit")
        self.assertEqual(done.returncode, 0, done.stderr)
        for i in (1, 2, 3):
            self.assertRegex(done.stdout, rf"== Stage {i} of 3: .* \(.*minutes.*\)\n")
            self.assertRegex(done.stdout, rf"== Stage {i} of 3 took \d+ s\n")
        self.assertRegex(done.stdout, r"ctest --test-dir build/test --parallel \d+ --output-on-failure --no-tests=error -L unit\n")
        self.assertRegex(done.stdout, r"All passed, in \d+ s")

    def test_failed_tests_fail_the_script(self):
        done = self.run_script("test.sh", CTEST_CODE="8")
        self.assertEqual(done.returncode, 8)
        self.assertNotIn("All passed", done.stdout)


class Format(Scripts):
    def repository(self, source):
        for folder in ("apps", "core", "kernels", "tests", "cmake"):
            (self.folder / "tree" / folder).mkdir(parents=True, exist_ok=True)
        (self.folder / "tree/.clang-format").write_text("BasedOnStyle: Google\n")
        (self.folder / "tree/core/fine.h").write_text("int f();\n")
        (self.folder / "tree/core/some.cu").write_text(source)
        return self.folder / "tree"

    def test_without_version_14_nothing_is_checked(self):
        tree = self.repository("int  f( );\n")
        self.assertEqual(self.run_script("check_format.sh", tree).returncode, 77)
        self.stand_in("clang-format", "echo 'clang-format version 19.1.4 (Debian)'")
        done = self.run_script("check_format.sh", tree)
        self.assertEqual(done.returncode, 77)
        self.assertIn("clang-format 14 is not installed", done.stdout)

    @unittest.skipUnless(shutil.which("clang-format-14"), "no clang-format-14 here")
    def test_a_source_that_is_not_formatted_is_named(self):
        self.link("clang-format-14")
        self.assertEqual(self.run_script("check_format.sh", self.repository("int f();\n")).returncode, 0)
        done = self.run_script("check_format.sh", self.repository("int  f( );\n"))
        self.assertEqual((done.returncode, done.stdout), (1, "core/some.cu\n"))
        self.assertIn("1 files differ", done.stderr)

    @unittest.skipUnless(shutil.which("clang-format-14"), "no clang-format-14 here")
    def test_a_formatter_that_fails_is_no_pass(self):
        self.link("clang-format-14")
        tree = self.repository("int f();\n")
        (tree / ".clang-format").write_text("BasedOnStyle: Nonsense\n")
        self.assertEqual(self.run_script("check_format.sh", tree).returncode, 1)


if __name__ == "__main__":
    unittest.main()
