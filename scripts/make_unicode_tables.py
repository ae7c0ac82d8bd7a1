#!/usr/bin/env python3
"""Writes core/tokenizer/unicode/unicode_tables.cpp: what the `tokenizers` package knows of each character (needs: tokenizers, perl).

usage: make_unicode_tables.py > core/tokenizer/unicode/unicode_tables.cpp

The package takes its knowledge from four places, of four versions of Unicode: its regex library (categories, white space), the language it is
written in (digits, letters, lower case), a list of punctuation, and its normalizer. So each is asked through the package itself.
"""
import subprocess
import sys

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CHUNK = 4096
NORMALIZER_UNICODE = "9.0"


def chunks():
    for i in range(0, len(CODE_POINTS), CHUNK):
        yield CODE_POINTS[i : i + CHUNK]


def matched(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(c) for chunk in chunks() for word, _ in split.pre_tokenize_str("".join(map(chr, chunk))) for c in word}


def split_off(pre_tokenizer):
    """The characters that a pre-tokenizer takes for its own: each between two letters, which it leaves together otherwise."""
    found = set()
    for chunk in chunks():
        for c in chunk:
            if len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")) > 1:
                found.add(c)
    return found


def beside_added_token(**how):
    """For each character whether the token after it is found, and whether it takes the character in."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken("X\u0001X", normalized=False, **how)])
    found, taken = set(), set()
    for chunk in chunks():
        text = "".join(chr(c) + "X\u0001X\u0002" for c in chunk)
        starts = {start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets}
        for i, c in enumerate(chunk):
            found |= {c} if starts & {5 * i, 5 * i + 1} else set()
            taken |= {c} if 5 * i in starts else set()
    return found, taken


def ranges(points):
    result = []
    for c in sorted(points):
        if result and result[-1][1] == c - 1:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def rows(values):
    line = " "
    for v in values:
        if len(line) + len(v) + 2 > 140:
            yield line
            line = " "
        line += " " + v + ","
    yield line


def emit(doc, kind, name, values):
    print(f"// {doc}\nconst {kind} {name}[] = {{")
    print("\n".join(rows(values)))
    print(f"}};\nconst int {name}Count = {len(values)};\n")


def emit_ranges(doc, name, points):
    emit(doc, "CodePointRange", name, [f"{{0x{a:x}, 0x{b:x}}}" for a, b in ranges(points)])


def main():
    category = {c: i for i, name in enumerate(CATEGORIES) if name != "Cs" for c in matched(r"\p{%s}" % name)}
    category.update({c: CATEGORIES.index("Cs") for c in range(0xD800, 0xE000)})
    starts = [c for c in range(0x110000) if c == 0 or category[c] != category[c - 1]]
    letter = {c for c in category if CATEGORIES[category[c]][0] in "LM" or CATEGORIES[category[c]] in ("Nd", "Nl", "Pc")}
    word = set(CODE_POINTS) - beside_added_token(single_word=True)[0]
    digit = split_off(pre_tokenizers.Digits(individual_digits=True))
    numbers = {c for c in category if CATEGORIES[category[c]][0] == "N"}
    lower = normalizers.Lowercase()
    known = subprocess.run(["perl", "-e", r'for (0..0x10ffff) { print "$_\n" if chr($_) =~ /\p{Present_In: %s}/ }' % NORMALIZER_UNICODE],
                           capture_output=True, text=True, check=True).stdout.split()
    print("// Made by scripts/make_unicode_tables.py with tokenizers " + __import__("tokenizers").__version__ + "; do not edit.")
    print('// clang-format off\n#include "core/tokenizer/unicode/unicode_tables.h"\n\nnamespace mbt {\n')
    emit("First code point << 8 | category of each run of code points of one category.", "uint32_t", "kCategoryRuns",
         [f"0x{c << 8 | category[c]:x}" for c in starts])
    space = matched(r"\s")
    assert space == beside_added_token(lstrip=True)[1], "patterns and added tokens have white space of their own each"
    emit_ranges("White space: of the regex library, and what an added token with lstrip or rstrip takes in.", "kSpace", space)
    emit_ranges("Where words, beside which single_word tokens are not found, differ from letters, marks, Nd, Nl and Pc.", "kWordDifference", word ^ letter)
    emit_ranges("Where what Digits splits off differs from category N.", "kDigitDifference", digit ^ numbers)
    emit_ranges("What Punctuation splits off.", "kPunctuation", split_off(pre_tokenizers.Punctuation("isolated")))
    emit("Lowercase: code point, and what it becomes.", "CodePointLower", "kLower",
         ["{0x%x, %s}" % (c, '"' + "".join(f"\\x{b:02x}" for b in lower.normalize_str(chr(c)).encode()) + '"')
          for c in CODE_POINTS if lower.normalize_str(chr(c)) != chr(c)])
    emit_ranges(f"Unassigned in Unicode {NORMALIZER_UNICODE}, that of the package's normalizer: stays as it is.", "kUnknownToNormalizer",
                set(range(0x110000)) - set(map(int, known)) - set(range(0xD800, 0xE000)))
    print("}  // namespace mbt")


if __name__ == "__main__":
    sys.exit(main())
