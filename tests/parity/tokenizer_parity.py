#!/usr/bin/env python3
"""The tokenizer against Hugging Face `tokenizers` and `tiktoken`, to the id.

    pip install tokenizers tiktoken
    tokenizer_parity.py --peer build/release/tokenizer_peer [--vocab FOLDER] [--texts FOLDER ...]

FOLDER of --vocab (or $KATMAN_VOCAB) holds gpt2.tokenizer.json and cl100k_base.tiktoken; without it
the checks of published vocabularies are reported as skipped. --texts are folders of HTML pages in
many languages, by default those of Debian's debian-handbook.
"""
import argparse
import base64
import html
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

try:
    import tiktoken
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers
except ImportError as error:
    sys.exit(f"tokenizer_parity needs Python packages: {error}; pip install tokenizers tiktoken")

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
          r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UP}*{LOW}+{SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{UP}+{LOW}*{SUFFIX}"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# Characters that sit on the edges of the classes, and a few of each.
ALPHABET = ("aAbzÉéßſKǅʰªकिのख中文ñşĞıİ" "05²½Ⅷ٣๓" "'''.,!/#$€™😀👍\u200d\ufe0f\u0301\u20e3"
            "    \t\n\n\r\u00a0\u3000\u0085\u2028\u200b\u180e\u001c\u000b\ufeff\U00010400\U00016d40")
WORDS = ["'s", "'ll", "'RE", "'ſ", "'Ve", "don't", " I'm", "  ", "\n\n", "\r\n", "x" * 40, "1234567",
         " the", "Hello", "HTTPServer", "straße", "привет", "안녕하세요", "שלום", "สวัสดี", "🏳️‍🌈"]


def frame(texts):
    return b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in texts))


class Peer:
    def __init__(self, program):
        self.program = program

    def run(self, *args, texts=()):
        done = subprocess.run([self.program, *map(str, args)], input=frame(texts),
                              stdout=subprocess.PIPE, check=True)
        return done.stdout

    def encode(self, tokenizer, texts, pattern=None):
        numbers = memoryview(self.run("encode", tokenizer, *filter(None, [pattern]), texts=texts)).cast("I")
        at, ids = 0, []
        while at < len(numbers):
            ids.append(list(numbers[at + 1:at + 1 + numbers[at]]))
            at += 1 + numbers[at]
        return ids


def page_text(path):
    page = re.sub(r"(?s)<(script|style).*?</\1>", "", path.read_text(errors="replace"))
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def real_texts(folders, limit):
    """At most `limit` characters, the same share from each folder of pages."""
    languages = sorted({p.parent for f in folders for p in pathlib.Path(f).rglob("*.html")})
    texts = []
    for folder in languages:
        taken = 0
        for path in sorted(folder.glob("*.html")):
            texts.append(page_text(path))
            taken += len(texts[-1])
            if taken > limit / len(languages):
                break
    return texts


def random_texts(count, seed):
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        draw = lambda: rng.choice(WORDS) if rng.random() < 0.2 else rng.choice(ALPHABET)
        if rng.random() < 0.1:  # any code point at all
            draw = lambda: chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)]))
        texts.append("".join(draw() for _ in range(rng.randrange(1, 40))))
    return texts


class Checks:
    def __init__(self):
        self.failed = 0

    def same(self, name, ours, theirs, what):
        wrong = [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
        if len(ours) != len(theirs):
            wrong.append(min(len(ours), len(theirs)))
        self.failed += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '} {name} ({len(theirs)} compared)")
        for i in wrong[:3]:
            print(f"     {what(i)!r}\n     ours   {ours[i:i + 1]}\n     theirs {theirs[i:i + 1]}")


def hf_ids(path, texts):
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    return [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]


def pre_tokenizer(pattern):
    if pattern == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    regex = tokenizers.Regex({"llama3": LLAMA3, "o200k": O200K}[pattern])
    return pre_tokenizers.Sequence([pre_tokenizers.Split(regex, "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def hf_train(pattern, size, min_frequency, texts):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(pattern)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, min_frequency=min_frequency, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def check_training(checks, peer, folder, texts, probes):
    for pattern, size, min_frequency in [("gpt2", 8000, 2), ("gpt2", 30000, 1), ("llama3", 6000, 3),
                                         ("o200k", 6000, 2)]:
        ours, theirs = folder / "ours.json", folder / "theirs.json"
        peer.run("train", pattern, size, min_frequency, ours, texts=texts)
        hf = hf_train(pattern, size, min_frequency, texts)
        hf.save(str(theirs))
        mine, other = json.loads(ours.read_text())["model"], json.loads(theirs.read_text())["model"]
        pairs = lambda model: [tuple(m) for m in model["merges"]]
        tokens = lambda model: sorted(model["vocab"].items(), key=lambda item: item[1])
        name = f"training {pattern} {size} min {min_frequency}"
        checks.same(f"{name}: merges", pairs(mine), pairs(other), str)
        checks.same(f"{name}: vocabulary", tokens(mine), tokens(other), str)
        checks.same(f"{name}: our file, HF's ids", peer.encode(ours, probes), hf_ids(ours, probes),
                    probes.__getitem__)
        checks.same(f"{name}: HF's file, HF's ids", peer.encode(theirs, probes),
                    hf_ids(theirs, probes), probes.__getitem__)
        if pattern == "gpt2":
            hf.model.save(str(folder))
            (folder / "tokenizer.json").unlink(missing_ok=True)
            checks.same(f"{name}: vocab.json and merges.txt", peer.encode(folder, probes),
                        hf_ids(theirs, probes), probes.__getitem__)


def check_gpt2(checks, peer, folder, vocab, probes):
    path = vocab / "gpt2.tokenizer.json"
    checks.same("published GPT-2", peer.encode(path, probes), hf_ids(path, probes),
                probes.__getitem__)
    peer.run("save", path, folder / "saved.json")
    checks.same("published GPT-2, saved by us", hf_ids(folder / "saved.json", probes),
                hf_ids(path, probes), probes.__getitem__)


def check_cl100k(checks, peer, folder, vocab, probes):
    path = vocab / "cl100k_base.tiktoken"
    lines = [line.split() for line in path.read_bytes().splitlines()]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    encoding = tiktoken.Encoding("cl100k", pat_str=CL100K, mergeable_ranks=ranks, special_tokens={})
    theirs = [encoding.encode_ordinary(text) for text in probes]
    checks.same("published cl100k", peer.encode(path, probes, "cl100k"), theirs, probes.__getitem__)
    peer.run("save", path, "cl100k", folder / "saved.json")
    checks.same("published cl100k, saved by us, read by HF", hf_ids(folder / "saved.json", probes),
                theirs, probes.__getitem__)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, help="the program tokenizer_peer")
    parser.add_argument("--vocab", default=os.environ.get("KATMAN_VOCAB"))
    parser.add_argument("--texts", nargs="*", default=["/usr/share/doc/debian-handbook/html"])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    peer, checks = Peer(args.peer), Checks()
    texts = real_texts(args.texts, 3_000_000)
    probes = texts + random_texts(20_000, args.seed)
    print(f"{len(texts)} pages, {sum(map(len, texts)):,} characters; seed {args.seed}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        check_training(checks, peer, folder, texts, probes)
        if args.vocab:
            check_gpt2(checks, peer, folder, pathlib.Path(args.vocab), probes)
            check_cl100k(checks, peer, folder, pathlib.Path(args.vocab), probes)
        else:
            print("skip published vocabularies: no --vocab and no KATMAN_VOCAB")
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
