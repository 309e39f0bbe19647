#!/usr/bin/env python3
"""Tokenizing one text with katman and with Hugging Face `tokenizers`, side by side, per core.

    pip install tokenizers
    tokenize_vs_hf.py --peer build/release/tokenizer_peer --tokenizer tokenizer.json TEXT ...

The same documents go to both in turn, `--rounds` times; each side counts the CPU seconds of its
one thread, and the fastest round of each makes the ratio. The ids are compared as well.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
try:
    import tokenizers
except ImportError as error:
    sys.exit(f"tokenize_vs_hf needs a Python package: {error}; pip install tokenizers")


def documents(paths, size, limit):
    """Cuts the texts at empty lines into documents of about `size` bytes."""
    found, total = [], 0
    for path in paths:
        document = ""
        for part in open(path, encoding="utf-8", errors="replace").read().split("\n\n"):
            document += part + "\n\n"
            if len(document) >= size and total < limit:
                found.append(document)
                total += len(document)
                document = ""
        if total >= limit:
            break
        found.append(document)
    return found


def time_hf(tokenizer, texts):
    start, ids = time.thread_time(), 0
    for text in texts:
        ids += len(tokenizer.encode(text, add_special_tokens=False))
    return time.thread_time() - start, ids


def time_ours(args, texts):
    frames = b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in texts))
    done = subprocess.run([args.peer, "time", args.tokenizer, "5"], input=frames,
                          stdout=subprocess.PIPE, check=True)
    rounds = [line.split() for line in done.stdout.decode().splitlines()]
    return float(rounds[0][0]), min(float(r[0]) for r in rounds), int(rounds[0][1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--peer", required=True, help="the program tokenizer_peer")
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json")
    parser.add_argument("--document-bytes", type=int, default=4000)
    parser.add_argument("--limit", type=int, default=20_000_000, help="bytes of text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    texts = documents(args.texts, args.document_bytes, args.limit)
    size = sum(len(text.encode()) for text in texts)
    hf = tokenizers.Tokenizer.from_file(args.tokenizer)
    first, ours, theirs = [], [], []
    for _ in range(args.rounds):
        cold, warm, our_ids = time_ours(args, texts)
        hf_s, hf_ids = time_hf(hf, texts)
        if our_ids != hf_ids:
            sys.exit(f"the ids differ: {our_ids} of ours, {hf_ids} of tokenizers")
        first.append(cold)
        ours.append(warm)
        theirs.append(hf_s)
    figures = {"bytes": size, "documents": len(texts), "tokens": our_ids,
               "katman_mb_per_s": size / min(ours) / 1e6,
               "katman_first_pass_mb_per_s": size / min(first) / 1e6,
               "tokenizers_mb_per_s": size / min(theirs) / 1e6,
               "tokenizers_version": tokenizers.__version__,
               "ratio": min(theirs) / min(ours), "ratio_first_pass": min(theirs) / min(first)}
    if args.json:
        print(json.dumps(figures))
        return
    print(f"{size:,} bytes in {len(texts):,} documents, {our_ids:,} tokens, one thread each")
    print(f"  katman            {figures['katman_mb_per_s']:8.1f} MB/s"
          f"  (first pass, empty cache: {figures['katman_first_pass_mb_per_s']:.1f})")
    print(f"  tokenizers {tokenizers.__version__:<6} {figures['tokenizers_mb_per_s']:8.1f} MB/s")
    print(f"  ratio             {figures['ratio']:8.1f}      "
          f"  (first pass: {figures['ratio_first_pass']:.1f})")


if __name__ == "__main__":
    main()
