"""scripts/curves.awk: each curve lies at its own iterations on the axis of the longest run."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "curves.awk"


def record(iteration, loss):
    return json.dumps({"kind": "iteration", "iteration": iteration, "lm_loss": loss}) + "\n"


class Curves(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def curves(self, **runs):
        """The rows of the table by iteration, and the points of each curve of the SVG."""
        for name, text in runs.items():
            (self.folder / f"{name}.jsonl").write_text(text)
        done = subprocess.run(["awk", "-v", "svg=out.svg", "-f", SCRIPT, *(f"{name}.jsonl" for name in runs)], cwd=self.folder,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        table = done.stdout[done.stdout.index("iteration  "):].splitlines()[1:]
        lines = re.findall(r'points="([^"]*)"', (self.folder / "out.svg").read_text())
        points = [[tuple(map(float, p.split(","))) for p in line.split()] for line in lines]
        self.drawn = done.stdout
        return {int(row.split()[0]): row.split()[1:] for row in table}, points

    def test_runs_of_unequal_length(self):
        short = "".join(record(i, 3.0) for i in range(1, 101))
        long = "".join(record(i, 5.0 - i / 100) for i in range(1, 401))
        for first in ("short", "long"):
            runs = {"short": short, "long": long} if first == "short" else {"long": long, "short": short}
            table, points = self.curves(**runs)
            of = list(runs)
            self.assertEqual(list(table), [50, 100, 150, 200, 250, 300, 350, 400])
            self.assertEqual([row[of.index("short")] for row in table.values()], ["3.0000"] * 2 + ["-"] * 6)
            self.assertEqual(table[100][of.index("long")], "4.0450")  # the mean of iterations 91 to 100
            self.assertEqual(table[400][of.index("long")], "1.0450")
            short_points, long_points = points[of.index("short")], points[of.index("long")]
            self.assertEqual(long_points[-1][0], 620.0)
            self.assertEqual(short_points[-1][0], 200.0)  # a quarter of the axis from 60 to 620
            self.assertEqual(short_points[-1][0], long_points[99][0])
            mark = "o" if first == "short" else "+"
            columns = [line.index("|") for line in self.drawn.splitlines() if "|" in line]
            ends = [line.rindex(mark) - line.index("|") for line in self.drawn.splitlines() if "|" in line and mark in line]
            self.assertTrue(columns)
            self.assertLess(max(ends), 20)  # of 72 columns

    def test_a_run_that_begins_later_and_records_every_tenth(self):
        table, points = self.curves(a="".join(record(i, 2.0) for i in range(10, 81, 10)), b="".join(record(i, 1.0) for i in range(45, 81)))
        self.assertEqual([row[1] for row in table.values()], ["-"] * 4 + ["1.0000"] * 4)
        self.assertEqual([row[0] for row in table.values()], ["2.0000"] * 8)
        self.assertEqual(points[1][0][0], 375.0)  # 60 + 560 * 45 / 80

    def test_of_an_iteration_that_was_run_twice_the_last_record_counts(self):
        twice = "".join(record(i, 9.0) for i in range(1, 61)) + "".join(record(i, 1.0) for i in range(21, 41))
        table, points = self.curves(a=twice)
        self.assertEqual(list(table), [5, 10, 15, 20, 25, 30, 35, 40])
        self.assertEqual(table[40], ["1.0000"])
        self.assertEqual(len(points[0]), 40)


if __name__ == "__main__":
    unittest.main()
