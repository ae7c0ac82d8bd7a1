"""Writes tokenizer_folders/cases.json: the tokens that transformers' AutoTokenizer gives texts with the files of a folder.

usage: make_tokenizer_folders.py     needs transformers 5, tokenizers, sentencepiece and protobuf
Each case: name, files, texts and ids; "chats" has the ids of rendered conversations. Of the files an object is JSON, and "@model", "@json",
"@vocab" and "@merges" stand for the tokenizers here: tokenizer.model, and tokenizers/gpt2 in its two forms.
"""
import json, os, tempfile
from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
BPE = json.load(open(HERE + "/tokenizers/gpt2/tokenizer.json"))
VOCAB = BPE["model"]["vocab"]
MERGES = "#version: 0.2\n" + "".join((m if isinstance(m, str) else " ".join(m)) + "\n" for m in BPE["model"]["merges"])
MODEL = open(HERE + "/tokenizer_folders/tokenizer.model", "rb").read()
SOURCE = {"@model": MODEL, "@json": json.dumps(BPE).encode(), "@vocab": json.dumps(VOCAB).encode(), "@merges": MERGES.encode()}
NEXT = 1 + max([*VOCAB.values(), *(t["id"] for t in BPE["added_tokens"])])
TEXTS = ["hello", "  hello  there ", "<s> hello</s> x", "a <x> b<y>", "<|im_start|>user\nhi<|im_end|>", "q<pad>z <mask> \u00e9<|end|>"]


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True, **flags}


def open_folder(files):
    folder = tempfile.mkdtemp()
    for name, content in files.items():
        data = SOURCE[content] if isinstance(content, str) else json.dumps(content).encode()
        with open(os.path.join(folder, name), "wb") as file: file.write(data)
    return AutoTokenizer.from_pretrained(folder)


cases = []


def case(name, files, texts=TEXTS):
    tokenizer = open_folder(files)
    ids = [tokenizer(t, add_special_tokens=False).input_ids for t in texts]
    cases.append({"name": name, "files": files, "texts": texts, "ids": ids, "size": len(tokenizer)})


def llama(**more): return {"tokenizer.model": "@model", "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", **more}}


case("llama", llama())
case("llama legacy", llama(legacy=True))
case("llama without a blank", llama(add_prefix_space=False))
case("llama pad and mask", llama(pad_token="<pad>", mask_token="<mask>"))
case("llama decoder", llama(added_tokens_decoder={"513": token("<y>", lstrip=True), "512": token("<x>", special=False, rstrip=True)}))
case("llama added", {**llama(), "added_tokens.json": {"<y>": 513, "<x>": 512}})
case("llama map", {**llama(), "special_tokens_map.json": {"pad_token": "<pad>", "mask_token": {"content": "<mask>", "lstrip": True}}})
case("llama decoder hides the others", {**llama(added_tokens_decoder={}), "added_tokens.json": {"<x>": 512}, "special_tokens_map.json": {"pad_token": "<pad>"}})
case("model alone", {"tokenizer.model": "@model", "tokenizer_config.json": {}})
case("model alone not legacy", {"tokenizer.model": "@model", "tokenizer_config.json": {"legacy": False}})

fast = {"tokenizer_class": "PreTrainedTokenizerFast"}
bpe = lambda config, **more: {"tokenizer.json": "@json", "tokenizer_config.json": config, **more}
case("json", bpe(fast))
case("json pad, mask, extra", bpe({**fast, "pad_token": "<pad>", "mask_token": {"__type": "AddedToken", **token("<mask>", lstrip=True)}, "additional_special_tokens": ["<y>", "<x>"]}))
case("json extra hides additional", bpe({**fast, "extra_special_tokens": ["<x>"], "additional_special_tokens": ["<y>"]}))
case("json decoder", bpe({**fast, "added_tokens_decoder": {str(NEXT + 1): token("<y>"), str(NEXT): token("<x>", rstrip=True)}}))
case("json decoder sets flags", bpe({**fast, "added_tokens_decoder": {str(next(t["id"] for t in BPE["added_tokens"] if t["content"] == "<|end|>")): token("<|end|>", lstrip=True)}}))
case("json added", bpe(fast, **{"added_tokens.json": {"<y>": NEXT + 1, "<x>": NEXT}}))
case("json map", bpe(fast, **{"special_tokens_map.json": {"pad_token": "<x>", "additional_special_tokens": ["<y>"]}}))
case("json named", bpe({**fast, "image_token": "<x>"}))
case("gpt2 class with a blank", bpe({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}))

vocab = {"vocab.json": "@vocab", "merges.txt": "@merges"}
case("vocab and merges", {**vocab, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}})
case("vocab and merges with a blank", {**vocab, "tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True}})
case("vocab and merges, more tokens", {**vocab, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "pad_token": "<pad>"}, "added_tokens.json": {"<x>": len(VOCAB)}})
case("vocab and merges, Qwen 2", {**vocab, "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}}, TEXTS + ["don't 123\n\n x", "e\u0301"])

# Conversations as a template renders them: each turn, and where the answer's first token lies among the ids.
CHATS = [["You are a hen.", "Tell me.", "The hen says cluck."], [" blank ", "a\n", "\nline"], ["", "x", " y"]]
chats = []
for name, files in {"llama": llama(), "legacy": llama(legacy=True), "no blank": llama(add_prefix_space=False),
                    "bpe": bpe({**fast, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})}.items():
    tokenizer = open_folder(files)
    for chat in CHATS:
        turns = "".join(f"<|im_start|>{r}\n{t}<|im_end|>\n" for r, t in zip(("system", "user", "assistant"), chat))
        encoded = tokenizer(turns, add_special_tokens=False)
        answer = len(turns) - len(chat[2] + "<|im_end|>\n")
        chats.append({"name": name, "files": files, "turns": chat, "ids": encoded.input_ids, "answer": encoded.char_to_token(answer)})

json.dump({"cases": cases, "chats": chats}, open(HERE + "/tokenizer_folders/cases.json", "w"), separators=(",", ":"))
