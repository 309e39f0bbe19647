#!/usr/bin/env python3
"""The same logits and the same greedy text from Katman and `transformers`, in both directions of exchange; and
the exported tokenizer gives the same ids."""
import json
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from models import MODELS, fresh
from support import ROOT, Checks, katman, make_corpus

VOCABULARY, SEQUENCE = 512, 64


def check_logits(checks, what, folder, checkpoint, model):
    ids = [(37 * i * i + 11) % VOCABULARY for i in range(SEQUENCE)]
    file = folder / f"logits-{what.replace(' ', '-')}.safetensors"
    katman("generate", "--checkpoint", checkpoint, "--ids", ",".join(map(str, ids)), "--logits", file)
    ours = load_file(file)
    assert ours["tokens"].tolist() == ids
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0]
    checks.near(f"{what}: logits", ours["logits"].flatten().tolist(), theirs.flatten().tolist(), 1e-4)


def check_greedy(checks, what, checkpoint, model):
    prompt = [5, 300, 42, 7]
    out = katman("generate", "--checkpoint", checkpoint, "--ids", ",".join(map(str, prompt)), "--tokens", 40,
                 "--temperature", 0, "--json")
    theirs = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                            max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0)[0].tolist()
    ours = json.loads(out)["ids"]
    checks.same(f"{what}: greedy text of {len(ours)} tokens", ours, theirs[len(prompt):len(prompt) + len(ours)])
    checks.report(len(ours) > 5, f"{what}: the text is not empty")


def check_tokenizer(checks, what, exported):
    text = (ROOT / "README.md").read_text() + "  çok güzel 中文 😀\n\n\tdef f(x):\r\n"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(exported / "tokenizer.json"))
    theirs = tokenizer(text)["input_ids"]
    checks.same(f"{what}: AutoTokenizer reads the exported directory", AutoTokenizer.from_pretrained(exported)(text)["input_ids"],
                theirs)
    checks.same(f"{what}: the exported tokenizer gives the text back", tokenizer.decode(theirs), text)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        corpus = make_corpus(folder, VOCABULARY)
        cases = [(kind, tied, torch.float32) for kind in MODELS for tied in (True, False)]
        for kind, tied, dtype in cases + [("gpt2", True, torch.bfloat16), ("gpt2", True, torch.float16)]:
            what = f"{kind} {'tied' if tied else 'untied'} {str(dtype).split('.')[1]}"
            theirs, run, back = (folder / f"{part}-{what.replace(' ', '-')}" for part in ("hf", "run", "back"))
            model, _ = fresh(kind, VOCABULARY, SEQUENCE, tied, theirs, dtype)
            shutil.copy(corpus / "tokenizer.json", theirs)
            katman("checkpoint", "import", "--from", "hf", theirs, "--out", run)
            check_logits(checks, f"imported {what}", folder, run, model)
            check_greedy(checks, f"imported {what}", run, model)
            katman("checkpoint", "export", "--to", "hf", back, run, "--shard-bytes", 200_000 if tied else 5_000_000_000)
            again = AutoModelForCausalLM.from_pretrained(back).eval()
            checks.same(f"exported {what}: its class", type(again), type(model))
            same = all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
            checks.report(same, f"exported {what}: transformers loads the same bits")
            check_tokenizer(checks, what, back)
    checks.finish()


if __name__ == "__main__":
    main()
