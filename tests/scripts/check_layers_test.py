"""scripts/check_layers.py on small trees with one fault each."""
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import check_layers  # noqa: E402


def problems(files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        return [p for p in check_layers.check(root) if "HEADER_OF of scripts" not in p]


class CheckLayers(unittest.TestCase):
    def test_refuses_an_include_of_a_later_folder(self):
        found = problems({"core/base/a.h": '#include "core/model/b.h"\n', "core/model/b.h": ""})
        self.assertEqual(found, ['core/base/a.h: may not include "core/model/b.h"'])

    def test_wants_a_header_for_each_source(self):
        for source in ("core/base/a.cpp", "kernels/cpu/a.cpp", "kernels/a.cpp"):
            self.assertIn(f"{source}: has no header {source[:-3]}h", problems({source: ""})[0])

    def test_wants_the_header_to_be_included(self):
        found = problems({"core/base/a.cpp": "", "core/base/a.h": ""})
        self.assertEqual(found, ['core/base/a.cpp: does not include its header "core/base/a.h"'])
        self.assertEqual(problems({"core/base/a.cpp": '#include "core/base/a.h"\n', "core/base/a.h": ""}), [])

    def test_leaves_kernels_of_the_gpu_and_verbs_alone(self):
        self.assertEqual(problems({"kernels/cuda/a.cu": "", "apps/mbtrain/cmd_a.cpp": ""}), [])


if __name__ == "__main__":
    unittest.main()
