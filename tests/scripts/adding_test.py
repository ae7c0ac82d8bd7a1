"""docs/adding.md, sections "A recipe" and "A config field": every listed file is there, no list of recipes or fields is left out, and an addition
to the listed files alone really adds a recipe and a field.

usage: adding_test.py [--root REPOSITORY] --binary MBTRAIN [--compiler C++]

A recipe is added by running the program on a changed copy of recipes.json, which goes through the same reader as the embedded one; the embedded
text is checked to be the file. A field is added to a changed copy of its header, and a small program that includes it prints the fields that
`visit` lists. JSON, command line, --help, schema and reference are made from that list: for the program as it is, the schema's and the reference's
fields are checked to be that list. So nothing needs to be built again.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
OPTIONS.add_argument("--binary", type=pathlib.Path, required=True)
OPTIONS.add_argument("--compiler", default="c++")

PATH = re.compile(r"`((?:[\w.<>-]+/)*[\w.<>-]+\.(?:h|cpp|cu|json|md|py|txt|cmake))`")
PROBE = """#include <cstdio>
#include "core/config/run_config.h"
int main() {
  const mbt::RunConfig config;
  mbt::RunConfig::visit_sections(config, [](const char* name, const auto& section, const char*) {
    std::decay_t<decltype(section)>::visit(section, [&](const auto&, const mbt::FieldInfo& info) { std::printf("%s.%s\\n", name, info.name); });
  });
}
"""


# Not fields, but other ways in which a config file sets some.
ONLY_IN_FILES = {"dataset.blend_per_split", "mixed_precision.extends"}


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)


def section(title):
    """The text of adding.md below `## title`."""
    text = (options.root / "docs/adding.md").read_text()
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2]))
    if title not in found:
        raise AssertionError(f"docs/adding.md has no section '## {title}'")
    return found[title]


def listed(title):
    """Paths in backticks in the section's bullets, continued lines included."""
    bullets = re.findall(r"^- (?:.|\n(?=  ))*", section(title), flags=re.MULTILINE)
    paths = [path for bullet in bullets for path in PATH.findall(bullet)]
    if not paths:
        raise AssertionError(f"docs/adding.md, '{title}': no bullet names a file")
    return paths


def mentioned(title, sections):
    """Paths anywhere in the section, <section> standing for each section's name."""
    return {path.replace("<section>", name) for path in PATH.findall(section(title)) for name in sections}


def sources():
    """Every text file of the repository that people edit: drawings and build folders are left out."""
    for top in ("apps", "cmake", "configs", "core", "docs", "kernels", "scripts", "tests", "README.md", "recipes.json"):
        path = options.root / top
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.suffix in (".h", ".cpp", ".cu", ".json", ".md", ".py", ".sh", ".cmake", ".txt"):
                yield file.relative_to(options.root).as_posix(), file.read_text(errors="replace")


def that_name_all(names):
    """Files in which each of these identifiers stands."""
    names = set(names)
    return {path for path, text in sources() if names <= set(re.findall(r"\w+", text))}


class Adding(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def output(self, *command, **more):
        done = run(*command, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_every_listed_file_is_there(self):
        for title in ("A recipe", "A config field"):
            for path in listed(title):
                if "<" not in path:
                    self.assertTrue((options.root / path).is_file(), f"docs/adding.md, '{title}' lists {path}, which is not there")


class ARecipe(Adding):
    def names(self, **variables):
        return [r["name"] for r in json.loads(self.output(options.binary, "recipes", "--json", env={**os.environ, **variables}))]

    def file(self):
        self.assertIn("recipes.json", listed("A recipe"))
        return json.loads((options.root / "recipes.json").read_text())

    def test_the_built_in_recipes_are_those_of_the_file(self):
        self.assertEqual(sorted(self.names()), sorted(self.file()["recipes"]))

    def test_no_file_that_names_every_recipe_is_left_out(self):
        lists = that_name_all(self.file()["recipes"])
        self.assertIn("recipes.json", lists)
        self.assertEqual(lists - mentioned("A recipe", [""]), set(), "these name every recipe; docs/adding.md, 'A recipe' does not mention them")

    def test_a_recipe_that_only_the_file_has_is_known_everywhere(self):
        added = self.file()
        added["recipes"] = {"recipe_of_a_test": {"extends": "bf16_mixed", "description": "Made by a test",
                                                 "fp8": "hybrid", "fp8_recipe": "tensorwise"}}
        file = self.folder / "recipes.json"
        file.write_text(json.dumps(added))
        more = {"env": {**os.environ, "MBTRAIN_RECIPES": str(file)}}
        self.assertIn("recipe_of_a_test", self.names(MBTRAIN_RECIPES=str(file)))
        self.assertIn("recipe_of_a_test", json.loads(self.output(options.binary, "doctor", "--json", **more))["recipes"])
        plan = json.loads(self.output(options.binary, "plan", "--mixed-precision", "recipe_of_a_test", "--train.device", "cpu", "--json", **more))
        self.assertEqual(plan["config"]["mixed_precision"]["name"], "recipe_of_a_test")
        self.assertEqual(plan["config"]["model"]["fp8"], "hybrid")
        self.output(options.binary, "train", "--mixed-precision", "recipe_of_a_test", "--train.device", "cpu", "--train-iters", "1", "--seq-length", "32",
                    "--global-batch-size", "2", "--micro-batch-size", "2", "--eval-iters", "0", **more)


class AField(Adding):
    def fields(self, *include):
        """What `visit` lists, "section.field" a line, as a compiler sees it."""
        probe = self.folder / "probe.cpp"
        probe.write_text(PROBE)
        flags = [f"-I{folder}" for folder in (*include, options.root)]
        self.output(options.compiler, "-std=c++20", "-O0", *flags, probe, "-o", self.folder / "probe")
        return self.output(self.folder / "probe").split()

    def schema(self):
        """"section.field" of everything that a config file may hold; the recipe's section may also be a name."""
        sections = json.loads((options.root / "configs/schema.json").read_text())["properties"]
        return [f"{name}.{field}" for name, s in sections.items() if not name.startswith("$")
                for field in (s if "properties" in s else s["oneOf"][1])["properties"]]

    def header(self):
        """The first header in the list: that of one section."""
        return next(path for path in listed("A config field") if path.endswith(".h") and "<" not in path)

    def test_schema_and_reference_are_made_of_the_list(self):
        self.assertLessEqual({"configs/schema.json", "docs/config-reference.md"}, set(listed("A config field")))
        for verb, path in (("schema", "configs/schema.json"), ("reference", "docs/config-reference.md")):
            printed = self.output(options.binary, "config", verb)
            self.assertTrue(printed == (options.root / path).read_text(), f"{path} is not what `mbtrain config {verb}` prints")
        fields = self.fields()
        self.assertEqual([f for f in self.schema() if f not in ONLY_IN_FILES], fields)
        reference = (options.root / "docs/config-reference.md").read_text()
        self.assertEqual([f for f in fields if f"`{f.split('.')[1]}`" not in reference], [])

    def test_no_file_that_names_every_field_of_a_section_is_left_out(self):
        sections = {}
        for field in self.fields():
            sections.setdefault(field.split(".")[0], []).append(field.split(".")[1])
        known = mentioned("A config field", sections)
        # In shorter sections fields are words of the language, such as seed and path.
        sections = {name: names for name, names in sections.items() if len(names) >= 12}
        self.assertIn("model", sections)
        for name, fields in sections.items():
            self.assertEqual(that_name_all(fields) - known, set(), f"these name every field of '{name}'; docs/adding.md, 'A config field' does not mention them")

    def test_a_member_and_its_line_in_the_listed_header_add_a_field(self):
        path = self.header()
        text = (options.root / path).read_text()
        text, members = re.subn(r"^(struct \w+Config \{\n)", r"\1  int64_t field_of_a_test = 7;\n", text, count=1, flags=re.MULTILINE)
        text, lines = re.subn(r"^( *)(static void visit\(.*\{\n)", r'\1\2\1  v(s.field_of_a_test, FieldInfo{.name = "field_of_a_test", .doc = "Made by a test", .min = 1});' "\n",
                              text, count=1, flags=re.MULTILINE)
        self.assertEqual((members, lines), (1, 1), f"{path} has no struct ...Config with a visit")
        changed = self.folder / "changed" / path
        changed.parent.mkdir(parents=True)
        changed.write_text(text)
        before, after = self.fields(), self.fields(self.folder / "changed")
        added = [f for f in after if f not in before]
        self.assertEqual([f.split(".")[1] for f in added], ["field_of_a_test"])
        self.assertEqual([f for f in after if f != added[0]], before)


if __name__ == "__main__":
    options, rest = OPTIONS.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
