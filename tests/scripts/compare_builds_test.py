"""scripts/compare_builds.sh: the same program twice passes, and a program of which one thing differs does not.

usage: compare_builds_test.py MBTRAIN
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPE = "bf16_with_fp8_current_scaling_mixed"


class CompareBuilds(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def script(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/bash\n" + body)
        path.chmod(0o755)
        return path

    def wrapper(self, verb, change):
        """The program, with a command that changes what `verb` prints or writes."""
        return self.script(self.folder / f"changed_{verb}", f"""if [ "$1" != {verb} ]; then exec {BINARY} "$@"; fi
{change}
""")

    def compare(self, *args):
        done = subprocess.run([ROOT / "scripts/compare_builds.sh", *args], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_the_same_program_twice_is_the_same(self):
        code, out, err = self.compare("--recipes", RECIPE, BINARY, BINARY)
        self.assertEqual((code, err), (0, ""), out)
        self.assertNotIn("DIFFERENT", out)
        for name in ("recipes", "plan llama_10m", "tokens qwen", "tokens qwen, special", "tokens qwen, decoded", f"codes {RECIPE} (594 tensors)",
                     f"losses {RECIPE} (loss 1."):
            self.assertIn(f"same       {name}", out)
        self.assertIn("LEFT OUT   losses on the emulated device: OLD is a program, not a build folder.", out)
        self.assertRegex(out, r", 0 differences, \d+ s; the emulated device was left out")

    def assert_different(self, part, program, *said):
        code, out, _ = self.compare("--only", part, "--recipes", RECIPE, BINARY, program)
        self.assertEqual(code, 1, out)
        different = [line for line in out.splitlines() if line.startswith("DIFFERENT")]
        self.assertEqual(len(different), 1, out)
        for text in said:
            self.assertIn(text, different[0])

    def test_another_value_of_a_recipe(self):
        program = self.wrapper("recipes", f"{BINARY} \"$@\" | sed 's/\"hysteresis\": 2/\"hysteresis\": 3/'")
        self.assert_different("recipes", program, "recipes: [0].hysteresis: 2 | 3", "12 more")

    def test_another_sentence_is_no_difference_and_free_memory_neither(self):
        program = self.wrapper("recipes", f"{BINARY} \"$@\" | sed 's/\"description\": \"/&Now: /'")
        self.assertEqual(self.compare("--only", "recipes", BINARY, program)[0], 0)
        program = self.wrapper("plan", f"{BINARY} \"$@\" | sed 's/\"free\": [0-9]*/\"free\": 5/'")
        self.assertEqual(self.compare("--only", "plans", BINARY, program)[0], 0)

    def test_another_plan(self):
        program = self.wrapper("plan", f"""case "$*" in *qwen3_8b*) {BINARY} "$@" | sed 's/"weights": [0-9]*/"weights": 5/' ;; *) exec {BINARY} "$@" ;; esac""")
        self.assert_different("plans", program, "plan qwen3_8b: memory.categories.weights: ", " | 5")

    def test_a_plan_that_is_refused(self):
        program = self.wrapper("plan", f"""case "$*" in *qwen3_8b*) exit 2 ;; *) exec {BINARY} "$@" ;; esac""")
        self.assert_different("plans", program, "plan qwen3_8b: ", 'exit code: 0 | 2')

    def test_another_token(self):
        program = self.wrapper("tokenize", f"""case "$*" in *golden/tokenizers/qwen*special*) {BINARY} "$@" | sed '7s/[0-9]/9/' ;; *) exec {BINARY} "$@" ;; esac""")
        self.assert_different("tokens", program, "tokens qwen, special: line 7: ")

    def test_another_code(self):
        program = self.wrapper("quantize", f"""{BINARY} "$@" || exit
case "$*" in *weight*columnwise*) printf '\\x7f' | dd of="$3" bs=1 seek=$(($(stat -c %s "$3") - 1)) conv=notrunc 2>/dev/null ;; esac""")
        self.assert_different("codes", program, f"codes {RECIPE}: weight--columnwise ", ", byte ", " | 127")

    def trainer(self, name, steps=30, other=None):
        """A stand-in that writes metrics at once; the loss of step `other` has another last digit."""
        return self.script(self.folder / name, f"""if [ "$1" != train ]; then exec {BINARY} "$@"; fi
for i in $(seq {steps}); do
  echo '{{"kind":"iteration","iteration":'$i',"elapsed_ms":'$RANDOM',"lm_loss":5.5'$([ $i = {other} ] && echo 1 || echo 2)'}}'
done >losses.jsonl""")

    def compare_losses(self, new):
        return self.compare("--only", "losses", "--recipes", RECIPE, self.trainer("old"), new)[:2]

    def test_losses(self):
        self.assertEqual(self.compare_losses(self.trainer("same"))[0], 0)
        for new, said in ((self.trainer("other", other=17), "iteration 17.lm_loss: 5.52 | 5.51"), (self.trainer("short", steps=19), "new made 19 steps, expected 30")):
            code, out = self.compare_losses(new)
            self.assertEqual(code, 1, out)
            self.assertIn(f"DIFFERENT  losses {RECIPE}: {said}", out)

    def build(self, name, losses):
        """A build folder whose test_parity prints these losses; None: it has no such test."""
        folder = self.folder / name
        (folder / "tests/parity").mkdir(parents=True)
        (folder / "mbtrain").symlink_to(BINARY)
        names = "echo 0 matching test cases" if losses is None else "echo '  five steps of every recipe on the emulated device'"
        lines = "\n".join(losses or [])
        self.script(folder / "tests/parity/test_parity", f"if [ $# = 2 ]; then {names}; else cat <<'END'\nFilters: x\n{lines}\nEND\nfi\n")
        return folder

    def test_losses_on_the_emulated_device(self):
        losses = [f"losses {RECIPE}: 0x1.8p+2 0x1.7p+2", "losses fp32: 0x1.8p+2"]
        one = self.build("one", losses)
        for name, others, code in (("same", losses, 0), ("other", [losses[0].replace("7p", "6p"), losses[1]], 1), ("fewer", losses[1:], 1)):
            done = self.compare("--only", "emulated", "--recipes", f"{RECIPE},fp32", one, self.build(name, others))
            self.assertEqual(done[0], code, done)
            self.assertIn("same       emulated losses fp32", done[1])
            self.assertIn(f"{'DIFFERENT' if code else 'same     '}  emulated losses {RECIPE}", done[1])

    def test_an_older_build_has_no_losses_on_the_emulated_device(self):
        code, out, _ = self.compare("--only", "emulated", self.build("old", None), self.build("new", ["losses fp32: 0x1p+2"]))
        self.assertEqual(code, 0)
        self.assertIn("LEFT OUT   losses on the emulated device: test_parity of OLD has no test case [print_losses]", out)
        self.assertIn("the emulated device was left out", out.splitlines()[-1])

    def test_bad_usage(self):
        for args, said in (([BINARY], "got 1 builds, expected 2"), (["/nowhere", BINARY], "/nowhere is not a program"),
                           ([self.folder, BINARY], "mbtrain is not a program"), (["--only", "nonsense", BINARY, BINARY], "there is no part 'nonsense'"),
                           (["--recipes", "fp33", BINARY, BINARY], "NEW has no recipe 'fp33'"), (["--faster", BINARY, BINARY], "unknown argument '--faster'")):
            code, _, err = self.compare(*args)
            self.assertEqual(code, 2, args)
            self.assertIn(said, err)
            self.assertIn("usage: scripts/compare_builds.sh", err)


if __name__ == "__main__":
    BINARY = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
