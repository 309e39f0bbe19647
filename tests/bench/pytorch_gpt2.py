#!/usr/bin/env python3
"""One training step of GPT-2 in PyTorch on a CPU or a GPU: the yardstick for `katman bench step`.

The step is the one people run: bf16 autocast over fp32 parameters, fused causal attention
(scaled_dot_product_attention), the loss over every position, clipping by the global norm, fused AdamW.
The peak of a large matrix product in the same precision is measured in the same process, before and
after the steps, because a utilisation means nothing against the peak of another machine or another hour.

    pytorch_gpt2.py --size gpt2-124m --batch 4 --threads 2 --steps 5 --compile

prints one JSON object: tokens_per_s (of the median step), mfu, peak_flops and what was run. cpu_share is the
part of the threads' time that the machine gave: well under 1, something else was running, so measure again.
"""
import argparse
import json
import os
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SIZES = {  # name: layers, hidden, heads
    "tiny": (2, 64, 4),
    "gpt2-124m": (12, 768, 12),
    "gpt2-355m": (24, 1024, 16),
    "gpt2-774m": (36, 1280, 20),
    "gpt2-1.5b": (48, 1600, 25),
}
VOCABULARY = 50257


class Block(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.projection = nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x):  # [batch, sequence, hidden]
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [batch, heads, sequence, hidden / heads]
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, layers, hidden, heads, sequence):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, hidden), nn.Embedding(sequence, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, ids, targets):  # both [batch, sequence]
        x = self.tokens(ids) + self.positions.weight[: ids.size(1)]
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def flops_per_token(layers, hidden, sequence):
    """Forward and backward, as in GptConfig::flops_per_token(): 6 per weight of a matrix product, the logits
    included, and attention's two products, halved for the causal mask (Chowdhery et al., 2022, appendix B)."""
    weights = 12 * layers * hidden * hidden + VOCABULARY * hidden
    return 6 * weights + 6 * layers * hidden * sequence


def peak_flops(dtype, device, extent=4096, repeats=3):
    a, b = (torch.randn(extent, extent, device=device).to(dtype) for _ in range(2))
    in_a_row = 20 if device == "cuda" else 1  # so that starting a kernel costs nothing

    def products():
        for _ in range(in_a_row):
            torch.mm(a, b)

    products()
    best = min(timed(products) for _ in range(repeats)) / in_a_row
    return 2 * extent**3 / best


def timed(work):
    start = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def optimizer_for(model):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95), fused=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="gpt2-124m")
    parser.add_argument("--sequence", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=4, help="sequences per step")
    parser.add_argument("--steps", type=int, default=5, help="measured steps, after two that are not")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="through torch.compile instead of eager")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    layers, hidden, heads = SIZES[args.size]
    torch.set_default_device(args.device)
    model = Gpt2(layers, hidden, heads, args.sequence)
    optimizer = optimizer_for(model)
    run = torch.compile(model) if args.compile else model
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    ids = torch.randint(VOCABULARY, (args.batch, args.sequence + 1))

    def step():
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            loss = run(ids[:, :-1], ids[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    load_before = os.getloadavg()[0]
    peak = peak_flops(dtype, args.device)
    first_s = timed(step)
    timed(step)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    seconds = [timed(step) for _ in range(args.steps)]
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    memory_bytes = torch.cuda.max_memory_allocated() if args.device == "cuda" else 0
    peak = max(peak, peak_flops(dtype, args.device))
    tokens_per_s = args.batch * args.sequence / statistics.median(seconds)
    per_token = flops_per_token(layers, hidden, args.sequence)
    print(json.dumps({
        "tool": f"pytorch {torch.__version__}", "mode": "compile" if args.compile else "eager",
        "size": args.size, "precision": args.precision, "batch": args.batch, "sequence": args.sequence,
        "threads": args.threads, "tokens_per_s": round(tokens_per_s, 1),
        "fastest_tokens_per_s": round(args.batch * args.sequence / min(seconds), 1),
        "device": args.device, "memory_bytes": memory_bytes, "flops_per_token": per_token, "peak_flops": round(peak), "mfu": round(tokens_per_s * per_token / peak, 4),
        "steps_s": [round(s, 3) for s in seconds], "first_step_s": round(first_s, 2),
        "cpu_share": round(cpu_s / wall_s / args.threads, 3), "load_before": round(load_before, 2)}))


if __name__ == "__main__":
    main()
