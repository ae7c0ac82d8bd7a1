#!/usr/bin/env python3
"""Writes tests/golden/tokenizers: small tokenizers in the styles of well-known ones, and what the `tokenizers` package does with texts.

usage: make_tokenizers.py OUT      (needs: tokenizers)
OUT/<style>/tokenizer.json, and OUT/<style>/cases.jsonl with one {"text", "ids", "ids_special", "decoded", "decoded_special"} a line: tokens
without and with those of the post-processor, and the text of the former without and with special tokens.
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACE = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
FRONT, HIGH, LOW = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def cl100k(digits):
    return CONTRACTIONS + "|" + FRONT + r"\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACE


O200K = (FRONT + HIGH + "*" + LOW + "+" + CONTRACTIONS + "?|" + FRONT + HIGH + "+" + LOW + "*" + CONTRACTIONS + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*"
         + SPACE)
MARKS = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACE
DEEP = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + SPACE)

CORPUS = ["The quick brown fox jumps over the lazy dog, and it's 1234 times we'll say: don't!\n\n    for (int i = 0; i < n; ++i) { x += y[i]; }\n",
          "Größe, café, naïve, œuvre. Привет, мир! Ελληνικά. 你好，世界。こんにちは 안녕하세요 สวัสดี नमस्ते مرحبا שלום\n"] * 4
RANGES = [(0x20, 0x7E)] * 6 + [(0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF),
          (0x1E00, 0x1FFF), (0x2000, 0x218F), (0x2460, 0x24FF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFB50), (0xFF00, 0xFFEF),
          (0x10000, 0x10FFF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F6FF), (0, 0x1F), (0x7F, 0x9F)]
GAPS = [" ", " ", " ", "  ", "\n", "\n\n", "\t", " \n ", "\r\n", "\u00a0", "\u3000", "", "   \n", "\u200b", "\u0085", "\u2028"]
FIXED = ["", " ", "\n", " \n", "  a", "a  ", "a \n b", "it's we'll I'M HE'D they've x'\u017f 'S'tt", "1 12 123 1234 12345 3.14159 1,000,000 \u0661\u0662 \u00bd\u2167x\u00b2",
         "x=1;y+=2;//c++\n\tfor(int i=0;i<n;++i){}\n\n\n  return;\n/", "e\u0301 \u00e9 A\u030a \u212b \ufb01 \u1e9b\u0323 \u0344 \u0958 \u1112\u1161\u11ab", "\u0000\u0001\u007f",
         "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7", "CamelCaseWords HTTPServer \u01c5x \u02b0A", "\r\r\n\n\r", "a" * 60 + " " * 60 + "b" * 60,
         "a<|end|>b <|end|> x<|start|><|start|>", "abcab <|st ab_ab ab", " <tool>  \n <tool>x", "\u00c5ngstr\u00f6m \u212bngstr\u00f6m", "\u0897\U00010d69 new in Unicode 16"]


def text(random_, n):
    def word():
        a, b = random_.choice(RANGES)
        return "".join(chr(random_.randint(a, b)) for _ in range(random_.randint(1, 8)))

    return "".join(word() + random_.choice(GAPS) for _ in range(n))


def split(pattern, behavior="isolated"):
    return pre_tokenizers.Split(Regex(pattern), behavior)


def styles():
    """name: pre-tokenizers before ByteLevel, options of ByteLevel, normalizer, options of the model, added tokens"""
    plain = [AddedToken("<|end|>", special=True, normalized=False), AddedToken("<|start|>", special=True, normalized=False)]
    many = plain + [AddedToken("ab", single_word=True), AddedToken("<|st", normalized=False), AddedToken("abc", normalized=True),
                    AddedToken("<tool>", lstrip=True, rstrip=True, normalized=False), AddedToken("\u00c5ngstr\u00f6m", normalized=True)]
    bytes_ = dict(add_prefix_space=False, use_regex=False)
    yield "gpt2", [], dict(add_prefix_space=False), None, {}, plain
    yield "roberta", [], dict(add_prefix_space=True), None, {}, plain
    yield "llama3", [split(cl100k(r"\p{N}{1,3}"))], bytes_, None, dict(ignore_merges=True), plain
    yield "qwen", [split(cl100k(r"\p{N}"))], bytes_, normalizers.NFC(), {}, many
    yield "o200k", [split(O200K)], bytes_, None, {}, plain
    yield "marks", [split(MARKS)], bytes_, normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), {}, many
    yield "deep", [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEP)], bytes_, None, {}, plain
    yield "starcoder", [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous")], dict(add_prefix_space=False), normalizers.NFD(), {}, many
    yield "merging", [split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(r"\s+", "merged_with_next"), split("e", "merged_with_previous")], bytes_, normalizers.NFKD(), {}, plain


def make(name, steps, byte_level, normalizer, model, added):
    t = Tokenizer(models.BPE(**model))
    if normalizer is not None:
        t.normalizer = normalizer
    last = pre_tokenizers.ByteLevel(**byte_level)
    t.pre_tokenizer = pre_tokenizers.Sequence(steps + [last]) if steps else last
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    for token in added:
        (t.add_special_tokens if token.special else t.add_tokens)([token])
    start = ("<|start|>", t.token_to_id("<|start|>"))
    end = ("<|end|>", t.token_to_id("<|end|>"))
    if name == "roberta":
        t.post_processor = processors.RobertaProcessing(end, start)
    elif name != "gpt2":
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single=[start[0], "$A"] + ([end[0]] if name == "qwen" else []), special_tokens=[start, end])])
    return t


def main(out):
    for name, *style in styles():
        random_ = random.Random(name)
        folder = pathlib.Path(out) / name
        folder.mkdir(parents=True, exist_ok=True)
        written = json.loads(make(name, *style).to_str())
        if name == "gpt2":
            written["model"]["merges"] = [" ".join(m) for m in written["model"]["merges"]]  # as older files have them
        (folder / "tokenizer.json").write_text(json.dumps(written, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
        t = Tokenizer.from_file(str(folder / "tokenizer.json"))
        with open(folder / "cases.jsonl", "w", encoding="utf-8") as f:
            for s in FIXED + [text(random_, random_.randint(1, 9)) for _ in range(25)]:
                ids = t.encode(s, add_special_tokens=False).ids
                case = dict(text=s, ids=ids, ids_special=t.encode(s).ids, decoded=t.decode(ids), decoded_special=t.decode(ids, skip_special_tokens=False))
                f.write(json.dumps(case, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
