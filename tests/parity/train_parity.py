#!/usr/bin/env python3
"""Fifty fp32 steps from the same weights: Katman's losses, gradient norms and final weights are PyTorch's.

The models are `transformers`' OpenAIGPTLMHeadModel, GPT2LMHeadModel and LlamaForCausalLM, imported by `katman checkpoint import`; the batches are those that
`katman data inspect --windows` shows. Then variants that must not change anything: micro-batches, ranks, the
reference backend. Last, the run's TensorBoard file is read by the tensorboard package.
"""
import copy
import json
import pathlib
import shutil
import tempfile

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM

from models import MODELS, fresh
from support import Checks, katman, make_corpus, windows

STEPS, SEQUENCE, BATCH, VOCABULARY, SEED = 50, 64, 8, 512, 3
PEAK, WARMUP, DECAY, CLIP = 3e-3, 5, 0.1, 1.0
VARIANTS = (["data.micro_batch=3"], ["device.kind=reference"], ["mesh.tp=2", "mesh.pp=2"],
            ["mesh.dp=2", "mesh.recompute=full"])

RUN = f"""
steps: {STEPS}
seed: {SEED}
data {{ batch_tokens: {SEQUENCE * BATCH} micro_batch: {BATCH} }}
optimizer {{ beta1: 0.9 beta2: 0.95 weight_decay: {DECAY} clip_norm: {CLIP} }}
learning_rate {{ kind: COSINE peak: {PEAK} warmup_steps: {WARMUP} final_fraction: 0.1 }}
device {{ kind: "cpu" precision: "fp32" }}
"""


def train_pytorch(model, samples, rates):
    def is_position(name):
        return "wpe" in name or "positions_embed" in name
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and not is_position(n)]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or is_position(n)]
    adam = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
                             betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for step, rate in enumerate(rates):
        batch = torch.tensor(samples[step * BATCH:(step + 1) * BATCH])
        logits = model(batch[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
        losses.append(loss.item())
        for group in adam.param_groups:
            group["lr"] = rate
        adam.step()
    return losses, norms


def rounded_otherwise(model):
    """The model with weights off by about their last bit: training it shows how far rounding alone carries."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1 + 1e-7 * torch.randn_like(p))
    return other


def distance(name, a, b):
    """Of two tensors, in the middle, relative to their size. Single elements say little: where gradients are as small
    as rounding, Adam takes whole steps in its direction."""
    difference = a.detach() - b.detach()
    if name.endswith("c_attn.bias"):  # a key's bias moves no probability: its gradient is rounding
        difference = difference.view(3, -1)[[0, 2]]
    return (difference.norm() / b.norm()).item()


def train_katman(folder, start, corpus, name, shape, *sets):
    run = folder / name
    shutil.copytree(start, run)
    (folder / "run.textproto").write_text(RUN + f"model {{ {shape} }}\n")
    fixed = [f"directory={run}", f"data.corpus={corpus}"]
    katman("train", folder / "run.textproto", *[w for s in fixed + list(sets) for w in ("--set", s)])
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = {r["step"]: r for r in records if "loss" in r}
    assert len(steps) == STEPS, f"{len(steps)} steps in {run}/metrics.jsonl"
    return run, [[steps[i][key] for i in range(STEPS)] for key in ("loss", "grad_norm", "learning_rate")]


def check(checks, folder, corpus, samples, kind, tied):
    word = f"{kind} {'tied' if tied else 'untied'}"
    theirs = folder / f"hf-{word}"
    model, shape = fresh(kind, VOCABULARY, SEQUENCE, tied, theirs, noise=0.02)
    shutil.copy(corpus / "tokenizer.json", theirs)
    start = folder / f"start-{word}"
    katman("checkpoint", "import", "--from", "hf", theirs, "--out", start)
    run, (losses, norms, rates) = train_katman(folder, start, corpus, f"run-{word}", shape)
    other = rounded_otherwise(model)
    their_losses, their_norms = train_pytorch(model.train(), samples, rates)
    _, other_norms = train_pytorch(other.train(), samples, rates)
    own = max(abs(a - b) for a, b in zip(other_norms, their_norms)) / max(their_norms)
    print(f"     loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    checks.near(f"{word}: loss and gradient norm of the first step", [losses[0], norms[0]],
                [their_losses[0], their_norms[0]], 1e-5)
    checks.report(losses[-1] < losses[0] - 0.7, f"{word}: it learns")
    checks.near(f"{word}: {STEPS} losses", losses, their_losses, 1e-4)
    checks.near(f"{word}: gradient norms (PyTorch from weights that differ by rounding: {own:.1e})", norms,
                their_norms, max(1e-3, 3 * own))
    katman("checkpoint", "export", "--to", "hf", folder / f"out-{word}", run)
    ours = dict(AutoModelForCausalLM.from_pretrained(folder / f"out-{word}").named_parameters())
    theirs = dict(model.named_parameters())
    apart = {name: distance(name, ours[name], parameter) for name, parameter in theirs.items()}
    own = max(distance(name, parameter, theirs[name]) for name, parameter in other.named_parameters())
    worst = max(apart, key=apart.get)
    allowed = max(1e-3, 5 * own)
    checks.report(apart[worst] <= allowed,
                  f"{word}: weights after {STEPS} steps (PyTorch from weights that differ by rounding: {own:.1e}), "
                  f"{worst}: {apart[worst]:.1e} apart, {allowed:.0e} allowed")
    for sets in VARIANTS if kind == "gpt2" else VARIANTS[-2:]:
        _, (variant, _, _) = train_katman(folder, start, corpus, f"{word}-{sets[0]}", shape, *sets)
        checks.near(f"{word}: losses with {' '.join(sets)}", variant, their_losses, 1e-4)
    return run, losses


def check_tensorboard(checks, run, losses):
    events = EventAccumulator(str(run))
    events.Reload()
    checks.near("TensorBoard reads the losses", [e.value for e in events.Scalars("loss")], losses, 1e-6)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        corpus = make_corpus(folder, VOCABULARY)
        samples = windows(corpus, 0, STEPS * BATCH, SEQUENCE, SEED)
        for kind in MODELS:
            for tied in (True, False):
                run, losses = check(checks, folder, corpus, samples, kind, tied)
        check_tensorboard(checks, run, losses)
    checks.finish()


if __name__ == "__main__":
    main()
