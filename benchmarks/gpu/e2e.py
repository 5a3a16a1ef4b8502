"""One training step of OpenVLA-7B's size, in plain PyTorch and with Sightline's operators.

    PYTHONPATH=<folder of the package and its libraries> python3 e2e.py [--blocks 32] [--tiny] [--out FILE]

Llama-2-7B sizes, random weights, bf16, batch 8, BOS + 256 image tokens + 30 text tokens, LoRA
r = 32, alpha = 16 on every linear layer and the head, alignment with a frozen projector at the output of
block 16 of 32 with lambda = 0.2, cross-entropy on the last 8 tokens, AdamW. The plain step is the
paper's: PEFT's arithmetic (base, then B(A(x)) * scale, adapters in fp32) and an fp32 projector,
both under bf16 autocast, fused torch.optim.AdamW. Both steps share frozen weights and start from
the same adapters. Losses are compared over 20 steps; the tolerance is what plain PyTorch differs
from itself when the order of its sums changes (at least 2e-2 of the loss). Then segments of both
are timed in turn. Exit code 1: losses differ, 77: no GPU or no PyTorch.
"""

import argparse
import json
import resource
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("SKIPPED: no PyTorch here")
    sys.exit(77)

import sightline

SCALE, LAMBDA, IMAGE_TOKENS, TEXT_TOKENS, ACTION_TOKENS = 16 / 32, 0.2, 256, 30, 8


class Linear(torch.nn.Module):
    """Frozen [N,K] in bf16 with a LoRA adapter in fp32."""

    def __init__(self, inputs, outputs, rank, device):
        super().__init__()
        weight = torch.randn(outputs, inputs, device=device, dtype=torch.bfloat16)
        self.weight = torch.nn.Parameter(weight * inputs**-0.5, requires_grad=False)
        self.a = torch.nn.Parameter(torch.randn(rank, inputs, device=device) / rank)
        self.b = torch.nn.Parameter(torch.zeros(outputs, rank, device=device))


def linears(fused, x, *layers):
    if not fused:
        return [F.linear(x, m.weight) + F.linear(F.linear(x, m.a), m.b) * SCALE for m in layers]
    if len(layers) == 1:
        (m,) = layers
        return [sightline.lora_linear(x, m.weight, None, m.a, m.b, SCALE)]
    return sightline.lora_linears(x, [m.weight for m in layers], [None] * len(layers),
                                  [m.a for m in layers], [m.b for m in layers],
                                  [SCALE] * len(layers))


class Block(torch.nn.Module):
    def __init__(self, size, device):
        super().__init__()
        d, f, r = size["hidden"], size["mlp"], size["rank"]
        self.heads = size["heads"]
        self.q, self.k, self.v, self.o = (Linear(d, d, r, device) for _ in range(4))
        self.gate, self.up = Linear(d, f, r, device), Linear(d, f, r, device)
        self.down = Linear(f, d, r, device)

    def forward(self, h, rotary, fused):
        batch, tokens, d = h.shape
        x = F.rms_norm(h, (d,))
        q, k, v = (t.view(batch, tokens, self.heads, -1).transpose(1, 2)
                   for t in linears(fused, x, self.q, self.k, self.v))
        cos, sin = rotary

        def rotate(t):
            half = t.shape[-1] // 2
            return t * cos + torch.cat((-t[..., half:], t[..., :half]), -1) * sin

        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        h = h + linears(fused, y.transpose(1, 2).reshape(batch, tokens, d), self.o)[0]
        gate, up = linears(fused, F.rms_norm(h, (d,)), self.gate, self.up)
        return h + linears(fused, F.silu(gate) * up, self.down)[0]


class Step:
    """Model, data and both ways to train it."""

    def __init__(self, size, device):
        torch.manual_seed(0)
        d, tokens = size["hidden"], 1 + IMAGE_TOKENS + TEXT_TOKENS
        self.blocks = torch.nn.ModuleList(Block(size, device) for _ in range(size["blocks"]))
        self.head = Linear(d, size["vocabulary"], size["rank"], device)
        self.at = max(1, size["blocks"] // 2)
        p, z = size["projector"], size["teacher"]
        self.projector = torch.nn.Sequential(
            torch.nn.LayerNorm(d), torch.nn.Linear(d, p), torch.nn.SiLU(), torch.nn.Linear(p, p),
            torch.nn.SiLU(), torch.nn.Linear(p, z)).to(device).requires_grad_(False)
        self.prepared = sightline.Projector.from_module(self.projector, bf16=True)
        bf16 = {"device": device, "dtype": torch.bfloat16}
        self.embedded = torch.randn(size["batch"], tokens, d, **bf16)
        self.teacher = torch.randn(size["batch"], IMAGE_TOKENS, z, **bf16)
        self.labels = torch.randint(size["vocabulary"], (size["batch"], ACTION_TOKENS),
                                    device=device)
        width = d // size["heads"]
        frequency = 10000.0 ** (-torch.arange(0, width, 2, device=device) / width)
        angle = torch.outer(torch.arange(tokens, device=device), frequency).repeat(1, 2)
        self.rotary = angle.cos().bfloat16(), angle.sin().bfloat16()
        modules = [m for m in [*self.blocks.modules(), self.head] if isinstance(m, Linear)]
        self.adapters = [t for m in modules for t in (m.a, m.b)]
        self.initial = [t.detach().clone() for t in self.adapters]

    def restart(self, fused):
        with torch.no_grad():
            for t, start in zip(self.adapters, self.initial):
                t.copy_(start)
        if fused:
            return sightline.AdamW(self.adapters, lr=5e-4)
        return torch.optim.AdamW(self.adapters, lr=5e-4, fused=True)

    def alignment(self, h, fused):
        if fused:
            return sightline.alignment_loss(self.prepared, h, self.teacher, first_token=1)
        z = self.projector(h[:, 1:1 + IMAGE_TOKENS])
        return -(F.normalize(z, dim=-1) * F.normalize(self.teacher, dim=-1)).sum(-1).mean()

    def forward(self, fused):
        h = self.embedded
        for i, block in enumerate(self.blocks):
            h = block(h, self.rotary, fused)
            if i + 1 == self.at:
                alignment = self.alignment(h, fused)
        last = F.rms_norm(h[:, -ACTION_TOKENS - 1:-1], (h.shape[-1],))
        logits = linears(fused, last, self.head)[0]
        action = F.cross_entropy(logits.flatten(0, 1).float(), self.labels.flatten())
        return action + LAMBDA * alignment

    def train(self, fused, optimizer, steps):
        losses = []
        for _ in range(steps):
            # Our operators take bf16 as it is: nothing of theirs is for autocast to cast.
            with torch.autocast(self.embedded.device.type, torch.bfloat16, enabled=not fused):
                loss = self.forward(fused)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
        return [loss.item() for loss in losses]


def difference(a, b):
    return max(abs(x - y) / max(abs(x), 1e-6) for x, y in zip(a, b))


def timed(step, fused, optimizer, steps):
    """Milliseconds a step, and the most memory in use, torch's on a GPU, the process's without."""
    if step.embedded.device.type == "cpu":
        start = time.perf_counter()
        step.train(fused, optimizer, steps)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return (time.perf_counter() - start) * 1e3 / steps, most * 1024
    torch.cuda.reset_peak_memory_stats()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    step.train(fused, optimizer, steps)
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / steps, torch.cuda.max_memory_allocated()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="small sizes, a GPU or not: a test")
    parser.add_argument("--out")
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        print("SKIPPED: no GPU here")
        return 77
    size = {"hidden": 4096, "mlp": 11008, "heads": 32, "rank": 32, "vocabulary": 32064,
            "projector": 2048, "teacher": 1024, "blocks": options.blocks, "batch": options.batch}
    if options.tiny:
        size.update(hidden=128, mlp=352, heads=4, rank=8, vocabulary=512, projector=64, teacher=32,
                    blocks=2, batch=1)
    cuda = torch.cuda.is_available()
    step = Step(size, "cuda" if cuda else "cpu")

    losses = {}
    matmul = torch.backends.cuda.matmul
    for name, fused, reduced in (("torch", False, True), ("torch, other sums", False, False),
                                 ("sightline", True, True)):
        matmul.allow_bf16_reduced_precision_reduction = reduced
        losses[name] = step.train(fused, step.restart(fused), options.steps)
    matmul.allow_bf16_reduced_precision_reduction = True
    spread = difference(losses["torch"], losses["torch, other sums"])
    tolerance = max(2e-2, 3 * spread)
    found = difference(losses["torch"], losses["sightline"])
    print(f"losses over {options.steps} steps: torch {losses['torch'][0]:.4f} to "
          f"{losses['torch'][-1]:.4f}, sightline {losses['sightline'][0]:.4f} to "
          f"{losses['sightline'][-1]:.4f}; relative difference {found:.1e}, tolerance "
          f"{tolerance:.1e} (torch to itself {spread:.1e})")
    result = {"size": size, "losses": losses, "difference": found, "tolerance": tolerance,
              "torch": torch.__version__}
    result["gpu"] = torch.cuda.get_device_name() if cuda else None
    runs = {False: [], True: []}
    optimizers = {fused: step.restart(fused) for fused in runs}
    free = {}
    for fused in (False, True):
        timed(step, fused, optimizers[fused], 2)  # warm
        torch.cuda.empty_cache()
        free[fused] = torch.cuda.mem_get_info()[0] if cuda else 0
    for _ in range(options.rounds):
        for fused in runs:
            runs[fused].append(timed(step, fused, optimizers[fused], 5))
    for fused, name in ((False, "torch"), (True, "sightline")):
        times = sorted(ms for ms, _ in runs[fused])
        result[name] = {"ms": times, "median_ms": statistics.median(times),
                        "peak_bytes": max(peak for _, peak in runs[fused])}
    # What the library holds outside torch's allocator appears with its first warm step.
    result["sightline"]["own_bytes"] = max(0, free[False] - free[True])
    plain, ours = result["torch"], result["sightline"]
    print(f"step: torch {plain['median_ms']:.1f} ms, sightline {ours['median_ms']:.1f} ms, "
          f"{plain['median_ms'] / ours['median_ms']:.2f} times; peak memory "
          f"{plain['peak_bytes'] / 2**30:.1f} and "
          f"{(ours['peak_bytes'] + ours['own_bytes']) / 2**30:.1f} GiB")
    if options.out:
        with open(options.out, "w") as file:
            json.dump(result, file, indent=1)
    return 0 if found <= tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
