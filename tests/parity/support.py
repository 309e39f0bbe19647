"""What the parity checks share: the program under test, a small corpus, and the count of checks."""
import json
import os
import pathlib
import subprocess
import sys

import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
KATMAN = pathlib.Path(os.environ.get("KATMAN", ROOT / "build/release/katman"))


transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def katman(*words):
    """Standard output of `katman WORDS`; ends this program with what went wrong when it fails."""
    done = subprocess.run([str(KATMAN), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"katman {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def make_corpus(folder, vocabulary=512):
    """A corpus of this repository's own words: prose and code."""
    pages = folder / "pages.jsonl"
    texts = [p.read_text() for p in sorted(ROOT.rglob("*.h")) + [ROOT / "README.md"] if "build" not in p.parts]
    pages.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    katman("data", "build", "--out", folder / "corpus", "--vocabulary", vocabulary, pages)
    return folder / "corpus"


def windows(corpus, first, count, sequence, seed):
    """Training samples as lists of sequence + 1 ids."""
    out = katman("data", "inspect", corpus, "--windows", f"{first}:{count}", "--sequence", sequence, "--seed", seed)
    return json.loads(out)["samples"]


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def near(self, what, ours, theirs, tolerance):
        """Largest |ours - theirs| relative to the largest |theirs|, over two sequences of numbers."""
        assert len(ours) == len(theirs), f"{what}: {len(ours)} and {len(theirs)} numbers"
        size = max(map(abs, theirs))
        worst = max(abs(a - b) for a, b in zip(ours, theirs)) / size
        self.report(worst <= tolerance, f"{what}: {worst:.1e} apart, {tolerance:.0e} allowed")

    def same(self, what, ours, theirs):
        self.report(ours == theirs, what if ours == theirs else f"{what}: {ours!r} and {theirs!r}")

    def report(self, ok, line):
        self.passed += ok
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {line}", flush=True)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped")
        sys.exit(1 if self.failed else 0)
