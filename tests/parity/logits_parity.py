#!/usr/bin/env python3
"""The same logits and the same greedy text from Katman and `transformers`, in both directions of exchange; and
the exported tokenizer gives the same ids."""
import json
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from support import ROOT, Checks, katman, make_corpus

VOCABULARY, SEQUENCE = 512, 64


def fresh_model(folder, tied, dtype):
    torch.manual_seed(11)
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=80, n_head=5, n_positions=SEQUENCE, vocab_size=VOCABULARY,
                                       n_inner=208, tie_word_embeddings=tied, bos_token_id=0, eos_token_id=0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model = model.to(dtype)
    model.save_pretrained(folder)
    return model.float().eval()


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


def check_tokenizer(checks, exported):
    text = (ROOT / "README.md").read_text() + "  çok güzel 中文 😀\n\n\tdef f(x):\r\n"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(exported / "tokenizer.json"))
    theirs = tokenizer(text)["input_ids"]
    checks.same("AutoTokenizer reads the exported directory", AutoTokenizer.from_pretrained(exported)(text)["input_ids"],
                theirs)
    checks.same("the exported tokenizer gives the text back", tokenizer.decode(theirs), text)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        corpus = make_corpus(folder, VOCABULARY)
        for tied, dtype in ((True, torch.float32), (False, torch.float32), (True, torch.bfloat16), (True, torch.float16)):
            what = f"{'tied' if tied else 'untied'} {str(dtype).split('.')[1]}"
            theirs, run, back = (folder / f"{part}-{what.replace(' ', '-')}" for part in ("hf", "run", "back"))
            model = fresh_model(theirs, tied, dtype)
            shutil.copy(corpus / "tokenizer.json", theirs)
            katman("checkpoint", "import", "--from", "hf", theirs, "--out", run)
            check_logits(checks, f"imported {what}", folder, run, model)
            check_greedy(checks, f"imported {what}", run, model)
            katman("checkpoint", "export", "--to", "hf", back, run)
            again = GPT2LMHeadModel.from_pretrained(back).eval()
            same = all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
            checks.report(same, f"exported {what}: transformers loads the same bits")
        check_tokenizer(checks, back)
    checks.finish()


if __name__ == "__main__":
    main()
