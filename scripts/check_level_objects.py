#!/usr/bin/env python3
"""Checks the objects of the CPU loops, compiled once per x86-64 level.

The linker keeps one copy of a function that several objects define (weak: inline functions, templates). If an object of a high level
defined a weak symbol outside its own namespace, that copy could be the one the whole program calls, and an older processor would stop
at its first unknown instruction. So such objects may define symbols only in mbt::cpu::<level>.

usage: check_level_objects.py LEVEL OBJECT...   prints every symbol that does not belong and exits 1 when there is one
"""
import re
import subprocess
import sys

# Data without code, and clang's two calls on the way to std::terminate.
HARMLESS = re.compile(r"^(DW\.ref\.|\.gomp_critical|__clang_call_terminate$)")
EXTERNAL = set("TDBRGSCVWuvwi")  # nm's letters for symbols that the linker may share


def foreign_symbols(obj, level):
    prefix = f"3mbt3cpu{len(level)}{level}"  # the mangled namespace, anywhere in the name: a template on a type of the level is the level's own
    lines = subprocess.run(["nm", "--defined-only", obj], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        kind, name = line.split()[-2:]
        if kind in EXTERNAL and prefix not in name and not HARMLESS.match(name):
            yield kind, name


def main(level, objects):
    found = [(obj, kind, name) for obj in objects for kind, name in foreign_symbols(obj, level)]
    for obj, kind, name in found:
        demangled = subprocess.run(["c++filt", name], capture_output=True, text=True).stdout.strip()
        print(f"{obj}: defines {demangled} ({kind}) outside mbt::cpu::{level}")
    if not objects:
        print("no objects given")
    elif not found:
        print(f"{len(objects)} objects define nothing outside mbt::cpu::{level}")
    return 1 if found or not objects else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
